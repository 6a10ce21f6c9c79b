"""Spans to export: attributes can no longer be changed when a span ends, so a copy gets what is known only then."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace.status import Status
from opentelemetry.util.types import AttributeValue

from genai_observability import signals
from genai_observability._calls.call import Call
from genai_observability._content.messages import scrubbed
from genai_observability._content.recorded import is_content
from genai_observability._content.watch import without_content

_CONTENT_EVENTS: Final = (  # until semantic conventions 1.36
    "gen_ai.content.", "gen_ai.system.", "gen_ai.user.", "gen_ai.assistant.", "gen_ai.tool.", "gen_ai.choice",
)  # fmt: skip
_OTLP_MOST: Final = 2**63 - 1


def enriched(
    span: ReadableSpan, call: Call, values: Mapping[str, Any], derived: Mapping[str, AttributeValue]
) -> ReadableSpan:
    """The span of a call to export: with what was derived from the call, and with its error message scrubbed."""
    kept = {name: value for name, value in values.items() if not is_content(name) and _is_encodable(value)}
    attributes = {**kept, signals.PROVIDER.name: call.provider, **call.attribution, **derived}
    return with_attributes(span, attributes, scrubbed_status(span))


def scrubbed_status(span: ReadableSpan) -> Status:
    """The span's status with its error message scrubbed."""
    status = span.status
    return Status(status.status_code, scrubbed(status.description)) if status.description else status


def with_attributes(
    span: ReadableSpan,
    attributes: Mapping[str, AttributeValue],
    status: Status | None = None,
) -> ReadableSpan:
    """A copy of a span with other attributes, without the events in which content used to be put."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=[event for event in span.events if not event.name.startswith(_CONTENT_EVENTS)],
        links=span.links,
        kind=span.kind,
        status=status or span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _is_encodable(value: object) -> bool:
    """Whether it is no number of more than OTLP's 64 bits."""
    return type(value) is not int or -_OTLP_MOST <= value <= _OTLP_MOST


def bare(span: ReadableSpan) -> ReadableSpan:
    """A span without what it may carry of content, where nothing else could be done with it."""
    return with_attributes(span, without_content(span.attributes or {}))
