"""Lets each series of ours start a moment before its first event, so that this event counts.

Prometheus turns a start time into a sample of zero, unless the first sample lies in the same millisecond. The SDK
starts a series when it is first measured, and that may be just before it is exported: at the end of a short script, and
with counters that are read at each export always. Such a series would seem to begin with its first events already
counted, and the first error of a feature, or the first dollar of a model, would be in no ``increase()``.
"""

from dataclasses import replace
from typing import Any, Final

from opentelemetry.sdk.metrics.export import AggregationTemporality, ExponentialHistogram, Histogram, Metric, Sum

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
