"""What is learned of a call while it runs, kept beside its span until the span has ended.

The caller's thread only notes times and references here; what follows from them is worked out later, on the worker.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, get_value
from opentelemetry.sdk.trace import ReadableSpan

from genai_observability import signals
from genai_observability._calls.call import Value
from genai_observability._calls.provider_names import provider_name

_MOST: Final = 20_000  # calls at a time; more can only be spans that nobody ends, and the oldest are forgotten

_CALLS: Final = tuple(
    f"opentelemetry.genai.client.{kind}.context" for kind in ("inference", "embedding", "fetch_response")
)
"""What the wrappers of OpenTelemetry set in the context of a call."""


class OpenCall:
    """One call that has begun. Times are in nanoseconds since the epoch, as in spans."""

    __slots__ = (
        "answered",
        "attribution",
        "chunks",
        "complete",
        "first_token",
        "headers",
        "late",
        "prompt_bytes",
        "refusals",
        "refused",
        "response_id",
        "scope",
        "sent",
        "span",
        "streams",
        "told",
        "usage_is_ours",
    )

    def __init__(self, span: ReadableSpan, attribution: Mapping[str, Value]) -> None:
        self.span = span
        self.scope = scope_of(span)
        self.attribution = attribution
        self.sent: tuple[int, ...] = ()
        """When each attempt left: the first one, and each retry of the client library."""
        self.refusals: tuple[int, ...] = ()
        """HTTP statuses of the attempts that were refused."""
        self.answered: int | None = None
        """When the answer was there; of a stream, its headers."""
        self.headers: Mapping[str, str] | None = None
        """Headers of the answer, or of the last refusal."""
        self.streams = False
        """Whether the request asks for a stream."""
        self.prompt_bytes = 0
        """Size of a streaming request's body."""
        self.first_token: int | None = None
        """When the first chunk came that carried something of the answer."""
        self.chunks = 0
        """Chunks that carried something of the answer."""
        self.complete = False
        """Whether the stream was read to its end."""
        self.refused = False
        """Whether that first chunk brought a refusal."""
        self.response_id: str | None = None
        """Id of the answer, where ``late`` is set."""
        self.late: Callable[[Any], Mapping[str, Any]] | None = None
        """Reads, on the worker and from ``told``, attributes that the call's span has not been given."""
        self.told: Any = None
        self.usage_is_ours = False
        """Whether the stream's usage was asked for here, and not by the application."""


class OpenCalls:
    """The calls that have begun and not ended.

    ``wrappers`` are the scopes of the instrumentations whose calls contain no other: a call that begins within one of
    theirs is the same one, seen by another instrumentation.
    """

    def __init__(self, wrappers: frozenset[str] = frozenset()) -> None:
        self._wrappers = wrappers
        self._calls: dict[int, OpenCall] = {}

    def begin(self, span: ReadableSpan, attribution: Mapping[str, Value]) -> None:
        """A span has started that is the call of a model."""
        if len(self._calls) >= _MOST:
            self._calls.pop(next(iter(self._calls)), None)
        if span.context is None:
            return
        outer = self._calls.get(span.parent.span_id) if span.parent else None
        if outer is None or outer.scope not in self._wrappers or outer.scope == scope_of(span):
            outer = OpenCall(span, attribution)
        self._calls[span.context.span_id] = outer

    def of(self, span: object) -> OpenCall | None:
        """The call that this very span is of."""
        context = getattr(span, "context", None)
        call = self._calls.get(context.span_id) if context is not None else None
        return call if call is not None and call.span is span else None

    def current(self) -> OpenCall | None:
        """The call whose span is the current one."""
        return self._calls.get(trace.get_current_span().get_span_context().span_id)

    def contain(self, context: Context) -> bool:
        """Whether what happens in this context is part of a call, such as its HTTP request."""
        if any(get_value(key, context) is not None for key in _CALLS):
            return True
        span = trace.get_current_span(context)
        parent = getattr(span, "parent", None)
        ids = (span.get_span_context().span_id, parent.span_id if parent else None)
        return any(each in self._calls for each in ids)

    def end(self, span: ReadableSpan) -> OpenCall | None:
        """What was learned of the call of a span that has ended; ``span`` of it may be another one of the same call."""
        call = self._calls.pop(span.context.span_id, None) if span.context is not None else None
        if call is not None and call.span.context is span.context:
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


def scope_of(span: ReadableSpan) -> str:
    """The name of the instrumentation that made a span."""
    return span.instrumentation_scope.name if span.instrumentation_scope else ""
