"""The steps of a chain as spans."""

import json
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, ParamSpec, TypeVar
from uuid import UUID

from opentelemetry.context import attach, get_current
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from opentelemetry.trace.status import Status, StatusCode

from genai_observability import signals
from genai_observability._call import error_type, finite
from genai_observability._capture.steps import Opened
from genai_observability._context.attribution import text
from genai_observability._context.decoration import Setting, decorated
from genai_observability._context.threads import go_to, here
from genai_observability._instrument import recorder
from genai_observability._recorder import Recorder

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_logger = logging.getLogger("genai_observability")

_SETTING: Final = Setting(here, go_to)
_MOST_DOCUMENTS: Final = 100  # whose ids and scores are kept; all are counted
_LONGEST_MESSAGE: Final = 2_000  # characters of an error's


class Step:
    """A step that is under way: what ``with genai_observability.retrieval("handbook") as step`` gives.

    Made by ``with`` alone. Without ``instrument()`` it does nothing.
    """

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def documents(self, documents: Collection[object]) -> None:
        """Note what a retrieval or a reranking found, best first: ids and scores, never content.

        Args:
            documents: Ids (texts, integers or UUIDs), pairs of id and score, or anything with ``id`` and ``score`` as
                keys or attributes. A score is any finite number; the higher, the better. All are counted, and the ids
                and scores of the first 100 kept. An iterator is left as it is, as it could be read only once.
        """
        if isinstance(documents, Collection):
            _harmless(lambda: self._span.set_attributes(_document_attributes(documents)))

    def tokens(self, count: int) -> None:
        """Note the input tokens of an embedding, by which it is priced.

        Args:
            count: Tokens of all the texts together.
        """
        self._span.set_attribute(signals.INPUT_TOKENS.name, count)


_NO_STEP: Final = Step(INVALID_SPAN)


class Opening:
    """A step to be: ``with`` opens it around one block, as a decorator it makes a step of each call of a function.

    The function may be ``async`` or not, a generator or not. Exceptions go through; they make the step's outcome
    ``error``, ``timeout`` or ``cancelled``. The same one may be opened several times, also at once and inside itself.
    Made by functions such as ``workflow()`` alone.
    """

    def __init__(
        self,
        operation: str,
        named_by: signals.Attribute,
        name: object,
        more: Mapping[signals.Attribute, object] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        named = text(name)
        self._name = f"{operation} {named}".rstrip()
        self._kind = kind
        self._attributes = {signals.OPERATION.name: operation, named_by.name: named, **_valid(more or {})}
        self._opened: dict[Opened, None] = {}  # those that are under way, in their order

    def __enter__(self) -> Step:
        recording = recorder()
        if recording is None:
            return _NO_STEP
        opened = Opened(self, Opened.innermost())
        _harmless(lambda: self._open(opened, recording))
        return Step(opened.span)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._opened:
            _harmless(lambda: self._close(error))

    def __call__(self, function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
        """Decorate a function: each call of it is a step."""
        return decorated(self, function, _SETTING)

    def _open(self, opened: Opened, recording: Recorder) -> None:
        context = get_current()
        opened.span = recording.tracer.start_span(self._name, context, self._kind, self._attributes)
        self._opened[opened] = None
        span_id = opened.span.get_span_context().span_id
        opened.token = attach(recording.open_steps.note(span_id, opened.note(context)))

    def _close(self, error: BaseException | None) -> None:
        opened = self._innermost()
        del self._opened[opened]
        if opened.token is not None:
            try:
                opened.token.var.reset(opened.token)
            except ValueError:  # a generator that was closed in another context: there is nothing to restore there
                _logger.debug("A step ends in another context than it began in")
        if opened.counted_by is not None:
            opened.span.set_attribute(signals.DUPLICATE_OF.name, opened.counted_by)
        if error is not None:
            opened.span.set_attribute(signals.ERROR_TYPE.name, error_type(error))
            opened.span.set_status(Status(StatusCode.ERROR, text(error, longest=_LONGEST_MESSAGE)))
        opened.span.end()

    def _innermost(self) -> Opened:
        """The one that was opened last where this code is; closed in another context, the one that was opened last."""
        at = Opened.innermost()
        while at is not None and (at.by is not self or at not in self._opened):
            at = at.outer
        return at or next(reversed(self._opened))


def workflow(name: str) -> Opening:
    """A chain as a whole: everything that one request of a user needs.

    Like every step it has its time, its outcome, and the price of the model calls inside, on its span and as metrics.

    Args:
        name: One of a few names, as it is a metric label; so are those of the other steps.

    Example:
        with genai_observability.workflow("answer"):
            client.responses.create(model="gpt-4.1-mini", input="Where is my order?")
    """
    return Opening("invoke_workflow", signals.WORKFLOW_NAME, name)


def agent(name: str, *, version: str | None = None, model: str | None = None) -> Opening:
    """One run of an agent.

    Args:
        name: Name of the agent.
        version: Its version, such as ``"7"``.
        model: The model that it is told to use; each call inside says for itself which one answered.
    """
    more = {signals.AGENT_VERSION: version, signals.REQUEST_MODEL: model}
    return Opening("invoke_agent", signals.AGENT_NAME, name, more)


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
    return Opening("execute_tool", signals.TOOL_NAME, name, {signals.TOOL_CALL_ID: call_id, signals.TOOL_TYPE: type})


def retrieval(name: str, *, top_k: int | None = None) -> Opening:
    """A search for documents; give what it finds to ``documents()`` of the step.

    Args:
        name: What is searched: an index, a collection.
        top_k: Most documents that it is to find.

    Example:
        with genai_observability.retrieval("handbook", top_k=20) as step:
            step.documents([("shipping", 0.83), ("returns", 0.79)])  # what your search returns
    """
    return Opening("retrieval", signals.DATA_SOURCE, name, {signals.TOP_K: top_k}, SpanKind.CLIENT)


def rerank(name: str, *, model: str | None = None, top_k: int | None = None) -> Opening:
    """Putting found documents into a better order; give them in that order to ``documents()`` of the step.

    Args:
        name: What reranks them.
        model: The model that it uses.
        top_k: Most documents that it is to keep.
    """
    more = {signals.TOP_K: top_k, signals.REQUEST_MODEL: model}
    return Opening("rerank", signals.DATA_SOURCE, name, more, SpanKind.CLIENT)  # our word: the conventions have none


def embedding(model: str, *, provider: str) -> Opening:
    """An embedding by a model that no client library is asked for, such as one in this process: a model call.

    Around calls of a client that are recorded anyway it is not counted besides.

    Args:
        model: Name of the model; prices of your own can price it (``docs/cost.md``).
        provider: Who provides it, such as ``"sentence_transformers"``.

    Example:
        with genai_observability.embedding("all-minilm-l6-v2", provider="sentence_transformers") as step:
            step.tokens(12)
    """
    return Opening("embeddings", signals.REQUEST_MODEL, model, {signals.PROVIDER: provider}, SpanKind.CLIENT)


def _valid(given: Mapping[signals.Attribute, object]) -> dict[str, str | int]:
    values: dict[str, str | int] = {}
    for attribute, value in given.items():
        if attribute.type == "string" and value is not None:
            values[attribute.name] = text(value)
        elif isinstance(value, int):
            values[attribute.name] = value
    return values


def _document_attributes(documents: Collection[object]) -> dict[str, str | int | float]:
    found = [_document(document) for document in documents]
    scores = [score for _, score in found if score is not None]
    kept = [{"id": id_, "score": score} if score is not None else {"id": id_} for id_, score in found[:_MOST_DOCUMENTS]]
    attributes: dict[str, str | int | float] = {signals.DOCUMENTS.name: json.dumps(kept, ensure_ascii=False)}
    attributes[signals.DOCUMENT_COUNT.name] = len(found)
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


def _harmless(action: Callable[[], object]) -> None:
    try:
        action()
    except Exception:
        _logger.debug("A step could not be recorded", exc_info=True)
