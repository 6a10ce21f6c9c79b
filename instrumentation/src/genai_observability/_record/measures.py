"""Metrics beside those of model calls: of steps, caches and fallbacks, and gauges that the application sets."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from genai_observability import signals
from genai_observability._call import Value, finite
from genai_observability._capture.steps import Step
from genai_observability._record.instruments import Instruments, LabelBudget

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


class Measures:
    """Counters and histograms, made when they are first used. For the worker alone."""

    def __init__(self, meter: Meter, *, on_overflow: Callable[[], None]) -> None:
        """Make them on this meter; ``on_overflow`` is told of labels that had too many values."""
        self._instruments = Instruments(meter)
        self._on_overflow = on_overflow
        self._budgets: dict[str, LabelBudget] = {}

    def record(self, metric: signals.Metric, amount: object, labels: Mapping[str, Value], context: Context) -> None:
        """Add a number to a counter, or record in a histogram; of ``labels`` those that the catalogue names."""
        value = finite(amount)
        if value is None or value < 0:
            return
        budget = self._budgets.get(metric.name) or LabelBudget(on_overflow=self._on_overflow)
        self._budgets[metric.name] = budget
        self._instruments.taker(metric)(value, budget.bound(metric.labels_of(labels)).values, context)

    def record_step(self, step: Step, context: Context) -> None:
        """The time, outcome and documents of a step; its cost so far."""
        labels = step_labels(step)
        self.record(signals.STEP_DURATION, step.duration, labels, context)
        self.record(signals.STEP_COSTS, float(step.cost) or None, labels, context)
        self.record(signals.STEP_DOCUMENTS, step.documents, labels, context)
        self.record(signals.STEP_SCORES, step.best_score, labels, context)


def step_labels(step: Step) -> dict[str, Value]:
    """The labels of a step's metrics."""
    labels = {
        signals.OPERATION.name: step.kind,
        signals.STEP_NAME.name: step.name,
        signals.OUTCOME.name: step.outcome,
        signals.ERROR_TYPE.name: step.error_type,
    }
    return {**step.attribution, **{name: value for name, value in labels.items() if value}}
