"""Histograms of the OpenTelemetry SDK that find the series of known labels at once.

The SDK checks, sorts and hashes the labels of every measurement: 7 of the 10 microseconds that one takes, and a model
call makes five of them. Here the labels are known to be clean, and the series that they lead to are kept with them.
Where the SDK's inner workings are not as expected, and with providers of other makes, its public way is taken.
"""

from collections.abc import Mapping
from time import time_ns
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram

from genai_observability._metrics.labels import Labels

More = tuple[tuple[str, str], ...]
"""Labels besides, of one of a few values each."""


class Measurement(NamedTuple):
    """What an aggregation of the SDK reads of a measurement."""

    value: float
    time_unix_nano: int
    context: Context
    attributes: Mapping[str, str]


class _Series(NamedTuple):
    labels: Mapping[str, str]
    aggregations: tuple[Any, ...]
    storages: object  # of which the aggregations are part; the SDK replaces them after a fork, or with a new reader


class QuickHistogram:
    """A histogram whose labels are plain text."""

    def __init__(self, instrument: Histogram, *, exemplars: bool) -> None:
        """Record in this one, with exemplars or without."""
        self._instrument: Any = instrument
        self._exemplars = exemplars

    def record(self, value: float, labels: Labels, context: Context, more: More = ()) -> None:
        """Record a finite value; one below zero is left out."""
        if value < 0:
            return
        consumer: Any = getattr(self._instrument, "_measurement_consumer", None)
        storages = getattr(consumer, "_reader_storages", None)
        series: _Series | None = labels.kept.get((self, more))
        if series is None or series.storages is not storages:
            values = {**labels.values, **dict(more)}
            self._instrument.record(value, values, context)
            if storages and (found := _aggregations(storages, self._instrument, values)):
                labels.kept[self, more] = _Series(values, found, storages)
            return
        now = time_ns()
        exemplars: Any = consumer._sdk_config.exemplar_filter  # noqa: SLF001 - there is no public way
        sampled = self._exemplars and exemplars.should_sample(value, now, series.labels, context)
        measurement = Measurement(value, now, context, series.labels)
        for aggregation in series.aggregations:
            aggregation.aggregate(measurement, sampled)


def _aggregations(storages: Mapping[Any, Any], instrument: object, labels: Mapping[str, str]) -> tuple[Any, ...]:
    """Where the SDK has put a measurement with these labels; nothing where the next one may go elsewhere."""
    try:
        matches = [
            match
            for storage in storages.values()
            for match in storage._get_or_init_view_instrument_match(instrument)  # noqa: SLF001 - there is no public way
        ]
        if any(match._reset_on_collect or match._view._attribute_keys is not None for match in matches):  # noqa: SLF001
            return ()
        series = [each for match in matches for each in match._attributes_aggregation.values()]  # noqa: SLF001
        return tuple(each for each in series if each._attributes == labels)  # noqa: SLF001
    except AttributeError:  # another version of the SDK
        return ()
