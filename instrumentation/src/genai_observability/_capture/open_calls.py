"""What is learned of a call while it runs, from its beginning to its end.

The caller's thread only notes times and keeps references: to what the span needs and, where content is looked at, to
the body that the client built, the answer that it returned, and the text of a stream's chunks. The worker makes
something of them.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import time_ns
from typing import Any, Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context, get_value
from opentelemetry.trace import Span, SpanContext
from opentelemetry.trace.status import Status, StatusCode

from genai_observability import signals
from genai_observability._call import Value, error_type
from genai_observability._capture.apis import Api
from genai_observability._capture.attributes import provider_name
from genai_observability._context.attribution import text
from genai_observability._detection import scrubbed

_LONGEST_STREAM: Final = 200_000  # characters of a streamed answer that are kept


@dataclass(kw_only=True)
class Room:
    """Bounds what is kept: so many dialogues, and texts of so many characters in all. What does not fit is counted."""

    on_full: Callable[[], None]
    calls: int = 2_000
    characters: int = 50_000_000
    _lock: Any = field(default_factory=threading.RLock)  # a dialogue is let go of wherever the garbage collector runs

    def hold(self, api: str, body: Mapping[str, Any]) -> "Dialogue | None":
        """A dialogue, where there is room for it."""
        size = _size(body)
        with self._lock:
            if self.calls <= 0 or self.characters < size:
                self.on_full()
                return None
            self.calls -= 1
            self.characters -= size
        return Dialogue(api, body, lambda: self._give_back(size))

    def _give_back(self, size: int) -> None:
        with self._lock:
            self.calls += 1
            self.characters += size


@dataclass(slots=True, eq=False)
class Dialogue:
    """One request and its answer, by reference. ``api`` is ``chat``, ``responses`` or ``completions``."""

    api: str
    body: Any
    let_go: Callable[[], object] = lambda: None
    answer: Any = None
    pieces: list[str] = field(default_factory=list)  # text of a stream
    choices: list[Any] = field(default_factory=list)  # chunks of a stream that are more than text
    size: int = 0

    def __del__(self) -> None:
        self.let_go()

    def note(self, chunk: Any) -> None:
        """Keep what a chunk of a stream says. On the caller's thread: raises nothing, whatever the chunk is."""
        try:
            if self.api == "responses":
                if chunk.type == "response.output_text.delta":
                    self._keep(chunk.delta)
                elif (answer := getattr(chunk, "response", None)) is not None:
                    self.answer = answer  # the last one is the whole answer
                return
            for choice in chunk.choices:
                if self.api == "completions":
                    self._keep(choice.text)
                    continue
                delta, first = choice.delta, choice.index == 0
                if first and delta.content:
                    self._keep(delta.content)
                    if choice.finish_reason is None and delta.tool_calls is None:
                        continue  # nearly every chunk
                self.size += 1
                if self.size < _LONGEST_STREAM:
                    self.choices.append(choice)
        except Exception:  # noqa: S110 - a chunk of a type that only the application knows
            pass

    def _keep(self, piece: str) -> None:
        self.size += len(piece)
        if self.size < _LONGEST_STREAM:
            self.pieces.append(piece)


def _size(body: Any) -> int:
    """Roughly the characters of a request's messages: cheap, on the caller's thread."""
    messages = body.get("messages") or body.get("input") or body.get("prompt")
    if not isinstance(messages, list):
        return length(messages)
    size = 0
    for message in messages:
        content = message.get("content") if type(message) is dict else message
        size += len(content) if type(content) is str else length(message)
    return size


def length(item: Any) -> int:
    """The characters of all texts in a value."""
    if isinstance(item, str):
        return len(item)
    if isinstance(item, dict):
        return sum(map(length, item.values()))
    return sum(map(length, item)) if isinstance(item, list) else 0


_MOST: Final = 20_000  # calls at a time; more can only be spans that nobody ends, and the oldest are forgotten
_LONGEST_MESSAGE: Final = 2_000  # characters of an error's
_MOST_PIECES: Final = 1_000  # chunks of a stream that are more than text: the first, the last, an end for each choice

_CALLS: Final = tuple(
    f"opentelemetry.genai.client.{kind}.context" for kind in ("inference", "embedding", "fetch_response")
)
"""What the wrappers of OpenTelemetry set in the context of a call."""


class FinishedSpan(Protocol):
    """A span as the SDK of OpenTelemetry has it: what is read of one that has ended."""

    @property
    def context(self) -> SpanContext | None: ...
    @property
    def parent(self) -> SpanContext | None: ...
    @property
    def attributes(self) -> Mapping[str, Any] | None: ...
    @property
    def start_time(self) -> int | None: ...
    @property
    def end_time(self) -> int | None: ...
    @property
    def status(self) -> Status: ...


@dataclass(slots=True, eq=False)
class OpenCall:
    """One call that has begun. Times are in nanoseconds since the epoch, as in spans."""

    span: Any
    attribution: Mapping[str, Value]
    scope: str
    api: Api | None = None  # which kind of request it is, where it went through the client's seam
    reservation: Any = None  # what the budgets have set aside for the call
    counted: bool = True
    """Whether it is recorded: not where a budget refuses a call that another instrumentation has begun."""
    sent: tuple[int, ...] = ()  # when each attempt left: the first one, and each retry of the client library
    refusals: tuple[int, ...] = ()  # HTTP statuses of the attempts that were refused
    answered: int | None = None  # when the answer was there; of a stream, its headers
    headers: Mapping[str, str] | None = None  # headers of the answer, or of the last refusal
    streams: bool = False  # whether the request asks for a stream
    prompt: Any = None  # the body of a request for a stream, until its answer reports its tokens
    first_chunk: int | None = None
    first_token: int | None = None  # when the first chunk came that carried something of the answer
    chunks: int = 0  # chunks that carried something of the answer
    pieces: list[Any] = field(default_factory=list)  # chunks that are more than text
    parsed: bool = False  # whether the stream's chunks are made, and not read as bytes
    complete: bool = False  # whether the stream was read to its end
    refused: bool = False  # whether the first chunk of the answer brought a refusal
    usage_is_ours: bool = False  # whether the stream's usage was asked for here, and not by the application
    dialogue: Dialogue | None = None  # what was asked and answered, where content is looked at
    read: dict[str, Any] = field(default_factory=dict)  # what the answer says, as attributes
    end_span: Callable[[Mapping[str, Any]], object] | None = None
    """Ends the span of the call, where that was begun here; gets what the answer says."""

    def keep(self, piece: Any) -> None:
        """Keep a chunk of a stream that is more than text."""
        if len(self.pieces) < _MOST_PIECES:
            self.pieces.append(piece)
        else:
            self.pieces[-1] = piece

    def end(self, read: Callable[[], Mapping[str, Any]], error: BaseException | None = None) -> None:
        """The answer is there, or will never be: read it, and end the span where it is ours. Only the first time."""
        end_span, self.end_span = self.end_span, None
        if self.read or (end_span is None and self.api is None):
            return
        try:
            self.read = dict(read())
        except Exception:  # an answer of an unforeseen shape
            self.read = {}
        if error is not None:
            self.read[signals.ERROR_TYPE.name] = error_type(error)
        if end_span is not None:
            end_span(self.read)

    def fail(self, error: BaseException, read: Callable[[], Mapping[str, Any]] = dict) -> None:
        """There is no answer, or only its beginning, which can be read."""
        if self.end_span is not None:
            self.span.set_status(failure(error))
        if self.answered is None and (response := getattr(error, "response", None)) is not None:
            self.answered, self.headers = time_ns(), getattr(response, "headers", None)
        self.end(read, error)


def failure(error: BaseException) -> Status:
    """What a span says of an error: its message, scrubbed of what it may quote before anyone sees the span."""
    return Status(StatusCode.ERROR, scrubbed(text(error, longest=_LONGEST_MESSAGE)))


OTHER_REQUEST: Final = object()
"""In place of a call: a request to a provider that is none, such as for a list of its models."""
current: Final[ContextVar[Any]] = ContextVar("genai_observability_call", default=None)
"""The call whose request is under way, or ``OTHER_REQUEST``: nothing of ours may leave with it."""


class OpenCalls:
    """The calls that have begun and not ended.

    ``wrappers`` are the scopes of the instrumentations whose calls contain no other: a call that begins within one of
    theirs is the same one.
    """

    def __init__(self, wrappers: frozenset[str] = frozenset()) -> None:
        self._wrappers = wrappers
        self._calls: OrderedDict[int, OpenCall] = OrderedDict()

    def begin(self, span: Any, attribution: Mapping[str, Value]) -> None:
        """A span has started that is the call of a model."""
        if len(self._calls) >= _MOST:
            self._calls.popitem(last=False)
        if span.context is None:
            return
        outer = self._calls.get(span.parent.span_id) if span.parent else None
        scope = scope_of(span)
        if outer is None or outer.scope not in self._wrappers or outer.scope == scope:
            outer = OpenCall(span, attribution, scope)
        self._calls[span.context.span_id] = outer

    def of(self, span: Span) -> OpenCall | None:
        """The call that this very span is of."""
        call = self._calls.get(span.get_span_context().span_id)
        return call if call is not None and call.span is span else None

    def begun_by_wrapper(self) -> OpenCall | None:
        """The call in which the running code is, where the wrapper of a client has begun it."""
        call = self._around()
        return call if call is not None and call.scope in self._wrappers and call.api is None else None

    def contain(self, context: Context) -> bool:
        """Whether what happens in this context is part of a call, such as its HTTP request."""
        return any(get_value(key, context) is not None for key in _CALLS) or self._around(context) is not None

    def _around(self, context: Context | None = None) -> OpenCall | None:
        """The call of the current span, or of its parent: a span of another instrumentation may lie between."""
        span = trace.get_current_span(context)
        call = self._calls.get(span.get_span_context().span_id)
        parent = getattr(span, "parent", None)
        return call or (self._calls.get(parent.span_id) if parent else None)

    def end(self, span: Any) -> OpenCall | None:
        """What was learned of the call of a span that has ended; ``span`` of it may be another one of the same call."""
        call = self._calls.pop(span.context.span_id, None) if span.context is not None else None
        if call is not None and call.span.get_span_context() is span.context:
            call.span = span  # lets go of the one that could still be written to
        return call

    def streams(self) -> list[OpenCall]:
        """The calls whose answer has begun and is being streamed."""
        return [call for call in list(self._calls.values()) if call.streams and call.answered is not None]

    def by_model(self) -> Counter[tuple[str, str]]:
        """How many calls are open, by provider and requested model; those around others are seen in these."""
        found: Counter[tuple[str, str]] = Counter()
        calls = set(list(self._calls.values()))  # noqa: C414 - a list is made in one go, while other threads add calls
        around = {call.span.parent.span_id for call in calls if call.span.parent}
        for call in calls:
            if call.span.context is not None and call.span.context.span_id in around:
                continue
            attributes: Mapping[str, Any] = call.span.attributes or {}
            found[provider_name(attributes), str(attributes.get(signals.REQUEST_MODEL.name, ""))] += 1
        return found

    def forget(self) -> None:
        """In a child made by fork: the open calls are the parent's."""
        self._calls.clear()


def scope_of(span: Any) -> str:
    """The name of the instrumentation that made a span."""
    scope = getattr(span, "instrumentation_scope", None)
    return scope.name if scope else ""
