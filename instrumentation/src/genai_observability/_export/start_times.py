"""Gives each series of our metrics a start time close to its first event, so that this event counts.

The SDK says that a counter stood at zero when the process started, whenever its first event came. Prometheus turns the
start time into a sample of zero, but not where it lies hours back; then a series seems to begin with its first event
already counted, and the first error of a feature, or the first dollar of a model, is in no ``increase()``.
"""

import os
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics.export import (
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    Sum,
)

_Point = NumberDataPoint | HistogramDataPoint


class RecentStartTimes(MetricExporter):
    """An exporter in front of another one: a series seen for the first time starts one export interval ago."""

    def __init__(self, exporter: MetricExporter, *, interval: float) -> None:
        """``interval`` is that of the exports, in milliseconds."""
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001 - as the reader does
        self._exporter = exporter
        self._interval = round(interval * 1e6)
        self._starts: dict[Hashable, int] = {}  # as bounded as the series are
        self._process = os.getpid()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export the same data with other start times."""
        if self._process != os.getpid():  # in a child made by fork every series is new
            self._process = os.getpid()
            self._starts.clear()
        moved = [
            replace(
                resource,
                scope_metrics=[
                    replace(scope, metrics=[self._moved(scope.scope.name, metric) for metric in scope.metrics])
                    for scope in resource.scope_metrics
                ],
            )
            for resource in metrics_data.resource_metrics
        ]
        return self._exporter.export(MetricsData(resource_metrics=moved), timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the other exporter."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """End the other exporter."""
        self._exporter.shutdown(timeout_millis, **kwargs)

    def _moved(self, scope: str, metric: Metric) -> Metric:
        data = metric.data
        if isinstance(data, (Sum, Histogram)):
            points: Any = [self._from_recently(scope, metric.name, point) for point in data.data_points]
            return replace(metric, data=replace(data, data_points=points))
        return metric

    def _from_recently(self, scope: str, metric: str, point: _Point) -> _Point:
        series = (scope, metric, frozenset((point.attributes or {}).items()))
        start = self._starts.get(series)
        if start is None:
            start = max(point.start_time_unix_nano or 0, point.time_unix_nano - self._interval)
            self._starts[series] = start
        return replace(point, start_time_unix_nano=start)
