"""Instruments that are read at each export, by the recording that goes on at the time.

The SDK keeps an instrument and its function for as long as the application's meter lives, which is longer than a
recording, and takes no other function for it. So the function asks for whoever reads it now, and keeps nobody.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from genai_observability import signals

Read = Callable[[CallbackOptions], Iterable[Observation]]
_readers: Final["WeakKeyDictionary[Meter, dict[str, weakref.WeakMethod[Any]]]"] = WeakKeyDictionary()
"""For each meter the method that reads each of its metrics."""


def observe(meter: Meter, metric: signals.Metric, read: Read) -> None:
    """Have a method read a counter or gauge of the catalogue, in place of the one before, while its object lives."""
    readers = _readers.setdefault(meter, {})
    readers[metric.name] = weakref.WeakMethod(read)

    def observations(options: CallbackOptions) -> Iterable[Observation]:
        reading = readers[metric.name]()
        return reading(options) if reading is not None else ()

    create = meter.create_observable_counter if metric.kind == "counter" else meter.create_observable_gauge
    create(metric.name, [observations], metric.unit, metric.meaning)
