"""The steps of a chain as spans, by the building blocks that OpenTelemetry's own instrumentations use."""

import copy
import functools
import json
import logging
from collections.abc import Callable, Collection, Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from uuid import UUID

from opentelemetry.context import Context, attach, get_current, set_value

from genai_observability import signals
from genai_observability._calls.call import finite
from genai_observability._context.attribution import text
from genai_observability._context.decoration import Setting, decorated
from genai_observability._instrument import recorder
from genai_observability._process.place import go_to, here

if TYPE_CHECKING:
    from opentelemetry.util.genai.handler import TelemetryHandler
    from opentelemetry.util.genai.invocation import GenAIInvocation

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Begin = Callable[["TelemetryHandler", Context], "GenAIInvocation"]

_logger = logging.getLogger("genai_observability")

_SETTING: Final = Setting(here, go_to)
_MOST_DOCUMENTS: Final = 100  # whose ids and scores are kept; all are counted


class Step:
    """A step that is under way: what ``with genai_observability.retrieval("handbook") as step`` gives.

    Without ``instrument()`` it does nothing.
    """

    __slots__ = ("_invocation",)

    def __init__(self, invocation: "GenAIInvocation | None") -> None:
        self._invocation: Any = invocation

    def documents(self, documents: Collection[object]) -> None:
        """Note what a retrieval or a reranking found, best first: ids and scores, never content.

        Args:
            documents: Ids (texts, integers or UUIDs), pairs of id and score, or anything with ``id`` and ``score`` as
                keys or attributes. A score is any finite number; the higher, the better. All are counted, and the ids
                and scores of the first 100 kept. An iterator is left as it is, as it could be read only once.
        """
        if self._invocation is not None and isinstance(documents, Collection):
            _harmless(lambda: self._invocation.attributes.update(_document_attributes(documents)))

    def tokens(self, count: int) -> None:
        """Note the input tokens of an embedding, by which it is priced.

        Args:
            count: Tokens of all the texts together.
        """
        if self._invocation is not None:
            self._invocation.input_tokens = count


class Opening:
    """A step to be: ``with`` opens it around one block, as a decorator it makes a step of each call of a function.

    The function may be ``async`` or not, a generator or not. Exceptions go through; they make the step's outcome
    ``error``, ``timeout`` or ``cancelled``.
    """

    def __init__(self, begin: _Begin) -> None:
        self._begin = begin
        self._step = Step(None)
        self._token: Token[Context] | None = None

    def __enter__(self) -> Step:
        self._step, self._token = Step(None), None
        _harmless(self._open)
        return self._step

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._step._invocation is not None:  # noqa: SLF001 - of this module
            _harmless(lambda: self._close(error))

    def __call__(self, function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
        """Decorate a function: each call of it is a step."""
        return decorated(lambda: copy.copy(self), function, _SETTING)

    def _open(self) -> None:
        recording = recorder()
        if recording is None:
            return
        invocation = self._begin(_handler(recording), get_current())
        self._step = Step(invocation)
        invocation.suspend()  # it would complain where the block ends in another context than it began in
        span_id = invocation.span.get_span_context().span_id
        self._token = attach(recording.open_steps.note(span_id, invocation.context))

    def _close(self, error: BaseException | None) -> None:
        invocation: Any = self._step._invocation  # noqa: SLF001 - of this module
        if self._token is not None:
            try:
                self._token.var.reset(self._token)
            except ValueError:  # a generator that was closed in another context: there is nothing to restore there
                _logger.debug("A step ends in another context than it began in")
        if error is None:
            invocation.stop()
        else:
            invocation.fail(error)


def workflow(name: str) -> Opening:
    """A chain as a whole: everything that one request of a user needs.

    Like every step it has its time, its outcome, and the price of the model calls inside, on its span and as metrics.

    Args:
        name: One of a few names, as it is a metric label; so are those of the other steps.

    Example:
        with genai_observability.workflow("answer"):
            client.responses.create(model="gpt-4.1-mini", input="Where is my order?")
    """
    return Opening(lambda handler, context: handler.workflow(text(name), context=context))


def agent(name: str, *, version: str | None = None, model: str | None = None) -> Opening:
    """One run of an agent.

    Args:
        name: Name of the agent.
        version: Its version, such as ``"7"``.
        model: The model that it is told to use; each call inside says for itself which one answered.
    """

    def begin(handler: "TelemetryHandler", context: Context) -> "GenAIInvocation":
        invocation = handler.invoke_local_agent(agent_name=text(name), request_model=model, context=context)
        if version is not None:
            invocation.attributes[signals.AGENT_VERSION.name] = text(version)
        return invocation

    return Opening(begin)


def tool(name: str, *, call_id: str | None = None, type: str | None = None) -> Opening:  # noqa: A002 - the conventions' word
    """One use of a tool.

    Args:
        name: Name of the tool.
        call_id: ``id`` of the tool call in the model's answer.
        type: ``"function"``, ``"extension"`` or ``"datastore"``.

    Example:
        @genai_observability.tool("find_order")
        def find_order(number: str) -> str:
            return f"Order {number} was sent yesterday."


        find_order("1234")
    """

    def begin(handler: "TelemetryHandler", context: Context) -> "GenAIInvocation":
        invocation = handler.tool(text(name), tool_type=type, context=context)
        if call_id is not None:
            invocation.tool_call_id = text(call_id)
        return invocation

    return Opening(begin)


def retrieval(name: str, *, top_k: int | None = None) -> Opening:
    """A search for documents; give what it finds to ``documents()`` of the step.

    Args:
        name: What is searched: an index, a collection.
        top_k: Most documents that it is to find.

    Example:
        with genai_observability.retrieval("handbook", top_k=20) as step:
            step.documents([("shipping", 0.83), ("returns", 0.79)])  # what your search returns
    """
    return Opening(functools.partial(_retrieve, name, top_k=top_k))


def rerank(name: str, *, model: str | None = None, top_k: int | None = None) -> Opening:
    """Putting found documents into a better order; give them in that order to ``documents()`` of the step.

    Args:
        name: What reranks them.
        model: The model that it uses.
        top_k: Most documents that it is to keep.
    """

    def begin(handler: "TelemetryHandler", context: Context) -> "GenAIInvocation":
        invocation = _retrieve(name, handler, context, top_k=top_k, model=model)
        invocation.span.set_attribute(signals.OPERATION.name, "rerank")  # the conventions have no such operation yet
        invocation.span.update_name(f"rerank {text(name)}")
        return invocation

    return Opening(begin)


def embedding(model: str, *, provider: str) -> Opening:
    """An embedding by a model that no client library is asked for, such as one in this process: a model call.

    Around a call of a client that is recorded anyway the two become one.

    Args:
        model: Name of the model; prices of your own can price it (``docs/cost.md``).
        provider: Who provides it, such as ``"sentence_transformers"``.

    Example:
        with genai_observability.embedding("all-minilm-l6-v2", provider="sentence_transformers") as step:
            step.tokens(12)
    """
    return Opening(
        lambda handler, context: handler.embedding(text(provider), request_model=text(model), context=context)
    )


def _retrieve(
    name: str, handler: "TelemetryHandler", context: Context, *, top_k: int | None, model: str | None = None
) -> "GenAIInvocation":
    from opentelemetry.util.genai.invocation import CLIENT_RETRIEVAL_CONTEXT_KEY  # comes with the clients' extras

    # Upstream makes one of two retrievals inside of each other; here each is a step that somebody wrote down.
    apart = set_value(CLIENT_RETRIEVAL_CONTEXT_KEY, None, context)
    invocation = handler.retrieval(data_source_id=text(name), request_model=model, context=apart)
    invocation.top_k = top_k
    return invocation


def _document_attributes(documents: Collection[object]) -> dict[str, str | int | float]:
    found = [_document(document) for document in documents]
    scores = [score for _, score in found if score is not None]
    kept = [{"id": id_, "score": score} if score is not None else {"id": id_} for id_, score in found[:_MOST_DOCUMENTS]]
    attributes: dict[str, str | int | float] = {
        signals.DOCUMENTS.name: json.dumps(kept, ensure_ascii=False),
        signals.DOCUMENT_COUNT.name: len(found),
    }
    if scores:
        attributes[signals.BEST_SCORE.name] = max(scores)
    return attributes


def _document(document: Any) -> tuple[str | None, float | None]:
    if isinstance(document, (str, int)):
        return text(document), None
    if isinstance(document, tuple) and len(document) == 2:
        return _identity(getattr(document[0], "id", document[0])), _score(document[1])
    if isinstance(document, Mapping):
        return _identity(document.get("id")), _score(document.get("score"))
    return _identity(getattr(document, "id", None)), _score(getattr(document, "score", None))


def _identity(value: object) -> str | None:
    return text(value) if isinstance(value, (str, int, UUID)) else None  # anything else may be the document itself


def _score(value: Any) -> float | None:
    try:
        return finite(value.__float__())  # a number of numpy's too
    except (AttributeError, OverflowError):
        return None


@functools.cache
def _say_what_is_missing(error: str) -> None:
    _logger.warning(
        "Steps are not recorded: %s. Install opentelemetry-util-genai 1.3b0 or newer, which comes with "
        "'genai-observability[openai]'.", error,
    )  # fmt: skip


def _handler(recording: Any) -> "TelemetryHandler":
    try:
        handler: TelemetryHandler = recording.steps
    except ImportError as error:
        _say_what_is_missing(str(error))
        raise
    return handler


def _harmless(action: Callable[[], object]) -> None:
    try:
        action()
    except Exception:
        _logger.debug("A step could not be recorded", exc_info=True)
