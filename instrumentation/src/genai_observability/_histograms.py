"""Histograms of the OpenTelemetry SDK that find the series of known labels at once.

The SDK checks, sorts and hashes the labels of every measurement: 7 of the 10 microseconds that one takes, and a model
call makes five of them. Here the labels are known to be clean, and the series that they lead to are remembered.
Where the SDK's inner workings are not as expected, and with providers of other makes, its public way is taken.
"""

from collections.abc import Mapping
from time import time_ns
from typing import Any, Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram

_MOST: Final = 2_000  # series of an instrument, as many as the SDK keeps


_Key = tuple[tuple[str, str], ...]


class Measurement(NamedTuple):
    """What an aggregation of the SDK reads of a measurement."""

    value: float
    time_unix_nano: int
    context: Context
    attributes: Mapping[str, str]


class QuickHistogram:
    """A histogram whose labels are plain text."""

    def __init__(self, instrument: Histogram) -> None:
        """Record in this one."""
        self._instrument: Any = instrument
        self._series: dict[_Key, tuple[Any, ...]] = {}
        self._storages: object = None

    def record(self, value: float, labels: Mapping[str, str], context: Context) -> None:
        """Record a finite value; one below zero is left out."""
        if value < 0:
            return
        consumer = getattr(self._instrument, "_measurement_consumer", None)
        storages = getattr(consumer, "_reader_storages", None)
        if storages is not self._storages:  # a reader was added or, after a fork, replaced
            self._storages = storages
            self._series.clear()
        key = tuple(labels.items())
        series = self._series.get(key)
        if series is None:
            self._instrument.record(value, labels, context)
            if storages and len(self._series) < _MOST:
                self._remember(key, labels, storages)
            return
        now = time_ns()
        sampled = consumer._sdk_config.exemplar_filter.should_sample(value, now, labels, context)  # type: ignore[union-attr]  # noqa: SLF001
        measurement = Measurement(value, now, context, labels)
        for aggregation in series:
            aggregation.aggregate(measurement, sampled)

    def _remember(self, key: _Key, labels: Mapping[str, str], storages: Mapping[Any, Any]) -> None:
        """Keep the aggregations that a measurement with these labels has just gone to."""
        try:
            found = [each for storage in storages.values() for each in _aggregations(storage, self._instrument, labels)]
        except (AttributeError, LookupError):  # another version of the SDK, or a reader that starts anew each time
            return
        if found:
            self._series[key] = tuple(found)


def _aggregations(storage: Any, instrument: object, labels: Mapping[str, str]) -> list[Any]:
    """Where the SDK aggregates measurements with these labels; raises where it may soon be elsewhere."""
    found = []
    for match in storage._get_or_init_view_instrument_match(instrument):  # noqa: SLF001 - the SDK has no public way
        if match._reset_on_collect or match._view._attribute_keys is not None:  # noqa: SLF001
            raise LookupError
        series = match._attributes_aggregation.values()  # noqa: SLF001
        found += [each for each in series if each._attributes == labels]  # noqa: SLF001
    return found
