"""A recording that keeps in memory everything it exports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import genai_observability
from openai.types.chat import ChatCompletionMessageParam
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is a trace?"}]


@dataclass(frozen=True)
class Point:
    """One data point of a metric; ``value`` is a counter's value or a histogram's sum."""

    labels: Mapping[str, Any]
    value: float
    count: int
    exemplars: tuple[Any, ...]


class Recording:
    """A running recording with everything it exports kept in memory."""

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None, **options: Any
    ) -> None:
        """``options`` are further arguments of ``instrument()``."""
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._reader = InMemoryMetricReader()
        self.tracer_provider = tracer_provider or TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.meter_provider = meter_provider or MeterProvider([self._reader], shutdown_on_exit=False)
        self.handle = genai_observability.instrument(
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            logger_provider=self.logger_provider,
            logs=False,
            **options,
        )

    def settle(self) -> None:
        """Wait until every finished call is recorded; without a flush, which would use up the exemplars."""
        assert self.handle._recorder
        assert self.handle._recorder._worker.run(lambda: None, timeout=10)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        self.settle()
        return self._spans.get_finished_spans()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The attributes of each log record, with its severity, body and trace id."""
        self.settle()
        return [
            {
                **(data.log_record.attributes or {}),
                "severity": data.log_record.severity_text,
                "body": data.log_record.body,
                "trace_id": data.log_record.trace_id,
            }
            for data in self._logs.get_finished_logs()
        ]

    @property
    def record(self) -> dict[str, Any]:
        (record,) = self.records
        return record

    def points(self, metric: str) -> list[Point]:
        self.settle()
        data = self._reader.get_metrics_data()
        return [
            Point(
                labels=dict(point.attributes or {}),
                value=float(getattr(point, "sum", getattr(point, "value", 0))),
                count=getattr(point, "count", 0),
                exemplars=tuple(point.exemplars),
            )
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]

    def metric_names(self) -> set[str]:
        self.settle()
        data = self._reader.get_metrics_data()
        return {
            found.name
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
        }

    def close(self) -> None:
        self.handle.shutdown()
        self.tracer_provider.shutdown()
        self.logger_provider.shutdown()
        self.meter_provider.shutdown()
