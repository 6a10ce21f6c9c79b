"""The spans of model calls, at a third of the SDK's work for one, where nobody but this package looks at them.

The SDK makes a span for any use: it bounds the number of its attributes, keeps places for events and links, and hands
on a copy at the end. A model call's span has few attributes, hardly ever an event, and is copied later, off its
caller's thread.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from threading import Lock
from time import time_ns
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span as SDKSpan
from opentelemetry.sdk.trace import Tracer as SDKTracer
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    get_current_span,
)
from opentelemetry.trace.status import Status
from opentelemetry.util.types import Attributes

from genai_observability import signals
from genai_observability._calls.spans import MODEL_OPERATIONS

_UNSET: Final = Status()
_PLAIN: Final = frozenset((str, int, float, bool))
_NOT_NEEDED: Final = {"_sampler", "_trace_config", "_record_end_metrics"}
"""Fields of the SDK's spans that are for its own beginning and end."""
_SAMPLED: Final = int(TraceFlags.SAMPLED)
_RANDOM: Final = int(TraceFlags.RANDOM_TRACE_ID)


class CallTracer(Tracer):
    """A tracer of the SDK, whose spans of model calls are light.

    Args:
        tracer: Makes all other spans.
        alone: Whether nobody else sees the spans.
    """

    def __init__(self, tracer: SDKTracer, alone: Callable[[], bool]) -> None:
        self._tracer = tracer
        self._alone = alone
        self._ordinary = _is_ordinary(tracer)

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002 - OpenTelemetry's signature, and the next two
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002
    ) -> Span:
        """A light span for a model call, as the sampler decides; any other as the SDK makes it."""
        is_call = attributes is not None and attributes.get(signals.OPERATION.name) in MODEL_OPERATIONS
        ordinary = self._ordinary and not links and record_exception and set_status_on_exception
        if is_call and ordinary and self._alone() and self._tracer._is_enabled():  # noqa: SLF001
            span = self._light_span(name, context, kind, attributes, start_time)
            if span is not None:
                return span
        return self._tracer.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> AbstractContextManager[Span]:  # type: ignore[override]
        """As the SDK's."""
        return self._tracer.start_as_current_span(*args, **kwargs)

    def _light_span(
        self, name: str, context: Context | None, kind: SpanKind, attributes: Attributes, start_time: int | None
    ) -> Span | None:
        """``None`` where it is not to be recorded; the ids and flags are found as the SDK finds them."""
        tracer = self._tracer
        ids = tracer.id_generator
        parent: SpanContext | None = get_current_span(context).get_span_context()
        if parent is not None and parent.is_valid:
            trace_id, flags = parent.trace_id, parent.trace_flags & _RANDOM
        else:
            parent = None
            trace_id, flags = ids.generate_trace_id(), _RANDOM if ids.is_trace_id_random() else 0
        result = tracer.sampler.should_sample(context, trace_id, name, kind, attributes, ())
        if result.decision is Decision.DROP:
            return None
        if result.decision is Decision.RECORD_AND_SAMPLE:
            flags |= _SAMPLED
        own = SpanContext(trace_id, ids.generate_span_id(), False, TraceFlags(flags), result.trace_state)  # noqa: FBT003
        span = CallSpan(name, own, parent, kind, result.attributes, tracer, start_time or time_ns())
        tracer.span_processor.on_start(span, context)
        return span


class _SDKsOwn(SDKSpan):
    """A span as the SDK makes it: its own class refuses to be instantiated."""


def _is_ordinary(tracer: Any) -> bool:
    """Whether the SDK is the one that this was written for, and its spans are neither bounded in length nor counted."""
    try:
        span: Any = _SDKsOwn("", INVALID_SPAN_CONTEXT, resource=tracer.resource)
        light: Any = CallSpan("", INVALID_SPAN_CONTEXT, None, SpanKind.CLIENT, {}, tracer, 0)
        same = vars(span).keys() - vars(light).keys() == _NOT_NEEDED and vars(light).keys() <= vars(span).keys()
        bounded = tracer._span_limits.max_span_attribute_length is not None  # noqa: SLF001 - there is no public way
        counted = type(tracer._tracer_metrics).__name__ != "NoOpTracerMetrics"  # noqa: SLF001
        return same and not bounded and not counted and tracer._is_enabled() is True  # noqa: SLF001
    except Exception:  # another version of the SDK
        return False


class CallSpan(SDKSpan):
    """A span whose attributes are a plain dictionary, and which is its own copy once it has ended."""

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Attributes,
        tracer: SDKTracer,
        start_time: int,
    ) -> None:
        # Not the SDK's own initialisation, which is what takes the time: the same fields.
        self._name = name
        self._context = context
        self._parent = parent
        self._kind = kind
        self._resource = tracer.resource
        self._instrumentation_info = None
        self._instrumentation_scope = tracer._instrumentation_scope  # noqa: SLF001
        self._span_processor = tracer.span_processor
        self._limits = tracer._span_limits  # noqa: SLF001
        self._record_exception = self._set_status_on_exception = True
        self._lock = Lock()
        self._status = _UNSET
        self._events = ()
        self._links = ()
        self._start_time = start_time
        self._end_time = None
        self._attributes: dict[str, Any] = _cleaned(attributes or {})

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute, or warn that the span has ended."""
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Likewise, for several."""
        with self._lock:
            if self._end_time is None:
                self._attributes.update(_cleaned(attributes))
                return
        super().set_attributes(attributes)  # warns

    def _add_event(self, event: Any) -> None:
        self._events = self._events or self._new_events()  # type: ignore[no-untyped-call]
        super()._add_event(event)

    def _add_link(self, link: Link) -> None:
        self._links = self._links or self._new_links(())
        super()._add_link(link)

    def end(self, end_time: int | None = None) -> None:
        """End it, or warn that it has ended."""
        with self._lock:
            ended = self._end_time is not None
            if not ended:
                self._end_time = end_time if end_time is not None else time_ns()
        if ended:
            super().end()  # warns
        else:
            self._span_processor.on_end(self)


def _cleaned(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as the SDK would take them."""
    if all(type(value) in _PLAIN and name for name, value in attributes.items()):
        return dict(attributes)
    return dict(BoundedAttributes(attributes=attributes))
