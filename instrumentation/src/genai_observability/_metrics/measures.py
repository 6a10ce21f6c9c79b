"""Metrics beside those of model calls: of the steps of chains, of caches, of fallbacks, by the catalogue's entries."""

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import Meter

from genai_observability import signals
from genai_observability._calls.call import Value, finite
from genai_observability._chains.steps import Step
from genai_observability._metrics.labels import LabelBudget


class Measures:
    """Counters and histograms, made when they are first used. For the worker alone."""

    def __init__(self, meter: Meter, *, on_overflow: Callable[[], None]) -> None:
        """Make them on this meter; ``on_overflow`` is told of labels that had too many values."""
        self._meter = meter
        self._on_overflow = on_overflow
        self._instruments: dict[str, tuple[Callable[..., Any], LabelBudget]] = {}

    def record(self, metric: signals.Metric, amount: float, labels: Mapping[str, Value], context: Context) -> None:
        """Add to a counter, or record in a histogram; of ``labels`` those that the catalogue names."""
        value = finite(amount)
        if value is None or value < 0:
            return
        take, budget = self._instruments.get(metric.name) or self._instrument(metric)
        take(value, budget.bound(metric.labels_of(labels)).values, context)

    def record_step(self, step: Step, context: Context) -> None:
        """The time, outcome and documents of a step; its cost so far."""
        labels = step_labels(step)
        self.record(signals.STEP_DURATION, step.duration, labels, context)
        if step.cost:
            self.record(signals.STEP_COSTS, float(step.cost), labels, context)
        if step.documents is not None:
            self.record(signals.STEP_DOCUMENTS, step.documents, labels, context)
        if step.best_score is not None:
            self.record(signals.STEP_SCORES, step.best_score, labels, context)

    def _instrument(self, metric: signals.Metric) -> tuple[Callable[..., Any], LabelBudget]:
        named = (metric.name, metric.unit, metric.meaning)
        take: Callable[..., Any]
        if metric.kind == "counter":
            take = self._meter.create_counter(*named).add
        else:
            take = self._meter.create_histogram(*named, explicit_bucket_boundaries_advisory=metric.buckets).record
        found = self._instruments[metric.name] = (take, LabelBudget(on_overflow=self._on_overflow))
        return found


def step_labels(step: Step) -> dict[str, Value]:
    """The labels of a step's metrics."""
    labels = {
        signals.OPERATION.name: step.kind,
        signals.STEP_NAME.name: step.name,
        signals.OUTCOME.name: step.outcome,
        signals.ERROR_TYPE.name: step.error_type,
    }
    return {**step.attribution, **{name: value for name, value in labels.items() if value}}
