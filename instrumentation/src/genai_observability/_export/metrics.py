"""Exports metrics so that none stops the others.

The application's metrics go the same way as ours. The SDK's exporters give up all of an export where they cannot encode
one of its metrics, such as a counter beyond 64 bits, and would do so at each export from then on.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    ExponentialHistogram,
    Histogram,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    Sum,
)

_MOMENT: Final = 100_000_000  # nanoseconds: shorter than a restart, whose series may go on under the same name


def started_before(metric: Metric) -> Metric:
    """The same metric with all its starts a moment earlier."""
    data = metric.data
    if not isinstance(data, (Sum, Histogram, ExponentialHistogram)):
        return metric
    if data.aggregation_temporality != AggregationTemporality.CUMULATIVE:  # where each start is the end before it
        return metric
    points: Any = [replace(each, start_time_unix_nano=each.start_time_unix_nano - _MOMENT) for each in data.data_points]
    return replace(metric, data=replace(data, data_points=points))


_logger = logging.getLogger("genai_observability")

_OURS: Final = "genai_observability"
_Name = tuple[str, str]  # of the instrumentation scope, and of the metric


class Apart(MetricExporter):
    """An exporter in front of another one: what that cannot encode is left out from then on, with a warning."""

    def __init__(self, exporter: MetricExporter) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001 - as the reader does
        self._exporter = exporter
        self._left_out: set[_Name] = set()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export what can be exported."""
        data = _each(metrics_data, self._prepared)
        try:
            result = self._exporter.export(data, timeout_millis, **kwargs)
            if result is MetricExportResult.SUCCESS or not self._leave_out_unfit(data):
                return result
        except Exception:
            if not self._leave_out_unfit(data):
                raise
        return self.export(metrics_data, timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the other exporter."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """End the other exporter."""
        self._exporter.shutdown(timeout_millis, **kwargs)

    def _prepared(self, name: _Name, metric: Metric) -> Metric | None:
        if name in self._left_out:
            return None
        return started_before(metric) if name[0] == _OURS else metric

    def _leave_out_unfit(self, data: MetricsData) -> bool:
        """Whether there are metrics that cannot be encoded, by themselves; the next export goes without them."""
        before = len(self._left_out)
        encode = _encoding(self._exporter)

        def check(name: _Name, metric: Metric) -> None:
            try:
                encode(_each(data, lambda _, other: other if other is metric else None))
            except Exception as error:
                self._left_out.add(name)
                reason = str(error).rpartition("\n")[2]  # before that stands all of the metric
                _logger.warning(
                    "The metric %r of %r is left out, as it cannot be encoded: %.200s.", *name[::-1], reason
                )

        _each(data, check)
        return len(self._left_out) > before


def _encoding(exporter: MetricExporter) -> Callable[[MetricsData], object]:
    """What an exporter does before it sends anything."""
    if isinstance(exporter, ConsoleMetricExporter):
        return MetricsData.to_json
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics  # takes long to import

    return encode_metrics


def _each(data: MetricsData, change: Callable[[_Name, Metric], Metric | None]) -> MetricsData:
    """The data with each metric changed, without those that become ``None``, and without scopes that have none left."""
    resources = []
    for resource in data.resource_metrics:
        scopes = []
        for scope in resource.scope_metrics:
            changed = (change((scope.scope.name, metric.name), metric) for metric in scope.metrics)
            if metrics := [metric for metric in changed if metric is not None]:
                scopes.append(replace(scope, metrics=metrics))
        resources.append(replace(resource, scope_metrics=scopes))
    return MetricsData(resources)
