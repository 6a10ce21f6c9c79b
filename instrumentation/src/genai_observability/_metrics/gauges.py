"""Values that the application sets once and that are exported until it sets others.

They are the process's, not a recording's: what is set before ``instrument()`` is exported from then on.
"""

import logging
import math
from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from genai_observability import signals

_logger = logging.getLogger("genai_observability")

_MOST: Final = 100  # series of each gauge
GAUGES: Final = (signals.CACHE_SIZE, signals.BREAKERS, signals.QUEUE_DEPTH)

Source = float | Callable[[], float]
_sources: Final[dict[str, dict[tuple[str, ...], Source]]] = {metric.name: {} for metric in GAUGES}


def set_gauge(metric: signals.Metric, labels: tuple[str, ...], source: Source | None) -> None:
    """Export this value, or what this function returns at each export, from now on; nothing for ``None``.

    ``labels`` are the values of the metric's labels, in their order.
    """
    sources = _sources[metric.name]
    if source is None:
        sources.pop(labels, None)
    elif labels in sources or len(sources) < _MOST:
        sources[labels] = source
    else:
        _logger.warning("%s of %s is not exported: there are %d others.", metric.name, ", ".join(labels), _MOST)


def observe(meter: Meter) -> None:
    """Export the gauges with this meter."""
    for metric in GAUGES:
        meter.create_observable_gauge(metric.name, [_observer(metric)], metric.unit, metric.meaning)


def _observer(metric: signals.Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
    names = [label.name for label in metric.labels]

    def observations(_options: CallbackOptions) -> Iterable[Observation]:
        for labels, source in list(_sources[metric.name].items()):
            value = _value(source)
            if value is not None:
                yield Observation(value, dict(zip(names, labels, strict=True)))

    return observations


def _value(source: Source) -> float | None:
    try:
        value = source() if callable(source) else source
        return value if isinstance(value, (int, float)) and math.isfinite(value) else None
    except Exception:
        _logger.debug("A gauge could not be read", exc_info=True)
        return None
