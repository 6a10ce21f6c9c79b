"""Exporters that drop what they get, after counting it and, when asked to, searching it for content."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider as SDKMeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

_INTERVAL = int(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "5000"))
"""Milliseconds between two exports of metrics, for every variant."""


@dataclass
class Dropped:
    """What has reached the exporters."""

    marker: str
    """A text that occurs in every prompt and answer."""
    examining: bool = True
    """Whether to search for the marker: for the warm-up only, as it takes long."""
    spans: int = 0
    logs: int = 0
    metrics: set[str] = field(default_factory=set)
    content: bool = False

    def add_spans(self, spans: Iterable[ReadableSpan]) -> None:
        """Count spans."""
        for span in spans:
            self.spans += 1
            self.examine(span.to_json)

    def add_logs(self, batch: Iterable[Any]) -> None:
        """Count log records."""
        for record in batch:
            self.logs += 1
            self.examine(record.to_json)

    def add_metrics(self, data: MetricsData) -> None:
        """Note the names of metrics."""
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics.update(metric.name for metric in scope.metrics)

    def examine(self, text: Callable[[], str]) -> None:
        """Look for content."""
        if self.examining and self.marker in text():
            self.content = True


class DropSpans(SpanExporter):
    def __init__(self, dropped: Dropped) -> None:
        self._dropped = dropped

    def export(self, spans: Any) -> SpanExportResult:
        self._dropped.add_spans(spans)
        return SpanExportResult.SUCCESS


class DropMetrics(MetricExporter):
    def __init__(self, dropped: Dropped) -> None:
        super().__init__()
        self._dropped = dropped

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **kwargs: Any) -> MetricExportResult:  # noqa: ARG002
        self._dropped.add_metrics(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002
        return True

    def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None: ...


class DropLogs(LogRecordExporter):
    def __init__(self, dropped: Dropped) -> None:
        self._dropped = dropped

    def export(self, batch: Any) -> LogRecordExportResult:
        self._dropped.add_logs(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 0) -> bool:  # noqa: ARG002
        return True

    def shutdown(self) -> None: ...


class Providers:
    """The three providers of an application, with exporters that drop."""

    def __init__(self, dropped: Dropped) -> None:
        self.tracer = TracerProvider()
        self.tracer.add_span_processor(BatchSpanProcessor(DropSpans(dropped)))
        self.meter: MeterProvider = SDKMeterProvider([metric_reader(dropped)])
        self.logger = LoggerProvider()
        self.logger.add_log_record_processor(BatchLogRecordProcessor(DropLogs(dropped)))

    def flush(self) -> None:
        """Export what the batches hold."""
        self.tracer.force_flush()
        self.logger.force_flush()
        if isinstance(self.meter, SDKMeterProvider):
            self.meter.force_flush()


def metric_reader(dropped: Dropped) -> PeriodicExportingMetricReader:
    """A reader that hands metrics to an exporter that drops them."""
    return PeriodicExportingMetricReader(DropMetrics(dropped), export_interval_millis=_INTERVAL)
