"""Between the OpenTelemetry SDK and a ``Call``: the one place that knows the SDK's quirks.

A span's attributes can no longer be changed when it ends (not even in ``_on_ending``), so what is known only then is
added by handing the next processor a copy of the span.
"""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import NonRecordingSpan, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from genai_observability import _attribution, signals
from genai_observability._call import Call, Tokens, Value, utc
from genai_observability._content.recorded import is_content
from genai_observability._content.watch import without_content
from genai_observability._outcome import outcome, scrubbed

_logger = logging.getLogger("genai_observability")

MODEL_OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""``gen_ai.operation.name`` of the spans that are calls of a model; agents and tools are not."""

_OLDER_PROVIDER: Final = "gen_ai.system"  # the name of gen_ai.provider.name until semantic conventions 1.37
_OLDER_CACHE_WRITE: Final = "gen_ai.usage.cache_creation.input_tokens"
_PARAMETERS: Final = (signals.TEMPERATURE.name, signals.TOP_P.name, signals.MAX_TOKENS.name)
_CONTENT_EVENTS: Final = (  # until semantic conventions 1.36
    "gen_ai.content.", "gen_ai.system.", "gen_ai.user.", "gen_ai.assistant.", "gen_ai.tool.", "gen_ai.choice",
)  # fmt: skip
_ATTRIBUTION: Final = frozenset(attribute.name for attribute in signals.ATTRIBUTION)


class GenAISpanProcessor(SpanProcessor):
    """Gives every span its attribution, and finished model calls to ``on_call``, off the caller's thread.

    Args:
        submit: Queues a task for later and says whether there was room.
        on_call: Records a finished call's span and returns the span to export.
        on_content: The attributes to export of a span that is no model call but carries content, such as a tool's.
        on_dropped: Called where there was no room: the call is exported as it is, but not recorded.
        exporter: The processor that finished spans go to next. ``None`` where the application's own provider has its
            own processors: it keeps its spans as they are.
    """

    def __init__(
        self,
        *,
        submit: Callable[[Callable[[], object]], bool],
        on_call: Callable[[ReadableSpan], ReadableSpan],
        on_content: Callable[[ReadableSpan], Mapping[str, AttributeValue]],
        on_dropped: Callable[[], None],
        exporter: SpanProcessor | None,
    ) -> None:
        self._submit = submit
        self._on_call = on_call
        self._on_content = on_content
        self._on_dropped = on_dropped
        self._exporter = exporter
        self.active = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Set the attribution in force where the span starts."""
        if self.active and (attributes := _attribution.current()):
            span.set_attributes(attributes)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a finished model call; hand on every other span at once."""
        if self.active and is_model_call(span):
            if self._submit(lambda: self._finish(span)):
                return
            self._on_dropped()
        if self._exporter is None or not carries_content(span):
            self._export(span)
        elif not self._submit(lambda: self._export(with_attributes(span, self._on_content(span)))):
            self._export(with_attributes(span, without_content(span.attributes or {})))

    def _finish(self, span: ReadableSpan) -> None:
        finished = span
        try:
            finished = self._on_call(span)
        finally:
            self._export(finished)

    def _export(self, span: ReadableSpan) -> None:
        if self._exporter is not None:
            self._exporter.on_end(span)

    def shutdown(self) -> None:
        """Record nothing more; end the exporter."""
        self.active = False
        if self._exporter is not None:
            self._exporter.shutdown()

    @property
    def exports(self) -> bool:
        """Whether finished spans go through here to their exporter."""
        return self._exporter is not None

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what was handed on so far; for queued calls too, use the handle's ``force_flush``."""
        return self._exporter is None or self._exporter.force_flush(timeout_millis)


def is_model_call(span: ReadableSpan) -> bool:
    """Whether a span is the call of a model, by any instrumentation that follows the conventions."""
    attributes = span.attributes
    return attributes is not None and attributes.get(signals.OPERATION.name) in MODEL_OPERATIONS


def carries_content(span: ReadableSpan) -> bool:
    """Whether a span of a GenAI instrumentation has attributes that carry content."""
    attributes = span.attributes
    return attributes is not None and signals.OPERATION.name in attributes and any(map(is_content, attributes))


def read_call(span: ReadableSpan) -> Call:
    """The finished call that a span describes. Values of a wrong type are left out, never an error."""
    attributes = _Attributes(span.attributes or {})
    started, ended = span.start_time or 0, span.end_time or 0
    error_type, message = attributes.text(signals.ERROR_TYPE), span.status.description
    if error_type is None and span.status.status_code is StatusCode.ERROR:
        error_type = "_OTHER"  # the conventions' word for an error of unknown type
    tokens = Tokens(
        input=attributes.count(signals.INPUT_TOKENS),
        output=attributes.count(signals.OUTPUT_TOKENS),
        cached=attributes.count(signals.CACHED_TOKENS) or 0,
        cache_write=attributes.count(signals.CACHE_WRITE_TOKENS) or attributes.count_of(_OLDER_CACHE_WRITE) or 0,
        reasoning=attributes.count(signals.REASONING_TOKENS) or 0,
    )
    streamed = attributes.get(signals.STREAM.name) is True
    finish_reasons = attributes.texts(signals.FINISH_REASONS)
    return Call(
        operation=attributes.text(signals.OPERATION) or "chat",
        provider=attributes.text(signals.PROVIDER) or attributes.text_of(_OLDER_PROVIDER) or "_OTHER",
        started=utc(started),
        duration=max(ended - started, 0) / 1e9,
        outcome=outcome(
            error_type, message, streamed=streamed, finish_reasons=finish_reasons, usage=tokens.reported
        ),
        request_model=attributes.text(signals.REQUEST_MODEL),
        response_model=attributes.text(signals.RESPONSE_MODEL),
        response_id=attributes.text(signals.RESPONSE_ID),
        finish_reasons=finish_reasons,
        streamed=streamed,
        time_to_first_token=attributes.seconds(signals.TIME_TO_FIRST_TOKEN),
        server_address=attributes.text(signals.SERVER_ADDRESS),
        parameters=attributes.select(lambda name: name in _PARAMETERS),
        tokens=tokens,
        error_type=error_type,
        error_message=scrubbed(message),
        attribution=attributes.select(
            lambda name: name in _ATTRIBUTION or name.startswith(signals.METADATA_PREFIX)
        ),
    )  # fmt: skip


def enriched(span: ReadableSpan, call: Call, derived: Mapping[str, Value]) -> ReadableSpan:
    """The span to export: with what was derived from the call, and with its error message scrubbed."""
    status = span.status
    if status.description:
        status = Status(status.status_code, call.error_message)
    return with_attributes(span, {**without_content(span.attributes or {}), **derived}, status)


def with_attributes(
    span: ReadableSpan, attributes: Mapping[str, AttributeValue], status: Status | None = None
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


def context_of(span: ReadableSpan) -> Context:
    """A context whose current span is this finished one: without it a metric gets no exemplar, a log no trace id."""
    return set_span_in_context(NonRecordingSpan(span.context), Context()) if span.context else Context()


class _Attributes:
    """Typed access to a span's attributes, which any instrumentation may have filled with anything."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.get = values.get

    def text_of(self, name: str) -> str | None:
        value = self._values.get(name)
        return value if isinstance(value, str) and value else None

    def count_of(self, name: str) -> int | None:
        value = self._values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    def text(self, attribute: signals.Attribute) -> str | None:
        return self.text_of(attribute.name)

    def texts(self, attribute: signals.Attribute) -> tuple[str, ...]:
        value = self._values.get(attribute.name)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (tuple, list)) else ()

    def count(self, attribute: signals.Attribute) -> int | None:
        return self.count_of(attribute.name)

    def seconds(self, attribute: signals.Attribute) -> float | None:
        value = self._values.get(attribute.name)
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) and value >= 0 else None

    def select(self, wanted: Callable[[str], bool]) -> dict[str, Value]:
        return {
            name: value
            for name, value in self._values.items()
            if wanted(name) and isinstance(value, (str, int, float, bool))
        }
