"""Which spans are recorded, and what they are like when they are exported.

Whatever share of the traces is kept, every model call is counted, priced and logged. Attributes can no longer be
changed when a span ends, so a copy gets what is known only then.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace import Tracer as SDKTracer
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Tracer, TracerProvider, TraceState
from opentelemetry.trace.status import Status
from opentelemetry.util.types import Attributes, AttributeValue

from genai_observability import signals
from genai_observability._call import Call
from genai_observability._content.recorded import is_content, without_content
from genai_observability._detection import scrubbed
from genai_observability._record.read import RECORDED_OPERATIONS

_CONTENT_EVENTS: Final = (  # until semantic conventions 1.36
    "gen_ai.content.", "gen_ai.system.", "gen_ai.user.", "gen_ai.assistant.", "gen_ai.tool.", "gen_ai.choice",
)  # fmt: skip
Span = ReadableSpan
"""A span that has ended, as the SDK has it."""
_OTLP_MOST: Final = 2**63 - 1  # its numbers have 64 bits


class CallsRecorded(Sampler):
    """Another sampler, but model calls that it drops are recorded all the same: processed, and not exported."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The other sampler's answer, with the lowest kind of recording for a call that it drops."""
        result = self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is Decision.DROP and (attributes or {}).get(signals.OPERATION.name) in RECORDED_OPERATIONS:
            return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)
        return result

    def get_description(self) -> str:
        """As the other sampler describes itself."""
        return self._sampler.get_description()


class AllCallsProvider(TracerProvider):
    """The application's tracer provider, or ours, for the client wrappers: their tracers alone record every call."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        """A tracer of the provider."""
        tracer = self._provider.get_tracer(*args, **kwargs)
        if not isinstance(tracer, SDKTracer) or isinstance(tracer.sampler, CallsRecorded):
            return tracer
        tracer = copy.copy(tracer)  # the application may use this one too
        tracer.sampler = CallsRecorded(tracer.sampler)
        return tracer


def enriched(
    span: ReadableSpan, call: Call, values: Mapping[str, Any], derived: Mapping[str, AttributeValue]
) -> ReadableSpan:
    """The span of a call to export, with what was derived from the call."""
    kept = {
        name: value
        for name, value in values.items()
        if not is_content(name) and (type(value) is not int or abs(value) <= _OTLP_MOST)
    }
    attributes = {**kept, signals.PROVIDER.name: call.provider, **call.attribution, **derived}
    return with_attributes(span, attributes)


def with_attributes(span: ReadableSpan, attributes: Mapping[str, AttributeValue]) -> ReadableSpan:
    """A copy with other attributes, its error message scrubbed, without the events in which content used to be put."""
    status = span.status
    return ReadableSpan(
        name=span.name, context=span.context, parent=span.parent, resource=span.resource, attributes=attributes,
        events=[_told(event) for event in span.events if not event.name.startswith(_CONTENT_EVENTS)],
        status=Status(status.status_code, scrubbed(status.description)) if status.description else status,
        links=span.links, kind=span.kind, start_time=span.start_time, end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )  # fmt: skip


def _told(event: Event) -> Event:
    """An event; that of an exception, whose message and trace may quote what was asked, with its message scrubbed."""
    said = event.attributes or {}
    message = said.get("exception.message")
    if event.name != "exception" or not isinstance(message, str) or not message:
        return event
    clean = scrubbed(message) or ""
    told = {**said, "exception.message": clean}
    if trace := said.get("exception.stacktrace"):
        told["exception.stacktrace"] = str(trace).replace(message, clean)
    return Event(event.name, told, event.timestamp)


def bare(span: ReadableSpan) -> ReadableSpan:
    """A span without what it may carry of content, where nothing else could be done with it."""
    return with_attributes(span, without_content(span.attributes or {}))
