"""The metrics of a call, by the semantic conventions and with the attribution as labels."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation
from opentelemetry.metrics import Counter as CounterInstrument

from genai_observability import signals
from genai_observability._call import Call, Price, Value
from genai_observability._labels import LabelBudget

_DROPPED_KIND: Final = signals.DROPPED.labels[0].name


class Metrics:
    """Records finished calls and scores. ``context`` is that of the call's span: exemplars lead to its trace."""

    def __init__(self, meter: Meter) -> None:
        """Create the catalogue's instruments on the meter."""
        self.dropped: Counter[str] = Counter()
        self._labels = LabelBudget(on_overflow=lambda: self.dropped.update(("label",)))
        self._duration = _histogram(meter, signals.CALL_DURATION)
        self._time_to_first_token = _histogram(meter, signals.CALL_TIME_TO_FIRST_TOKEN)
        self._output_rate = _histogram(meter, signals.CALL_OUTPUT_RATE)
        self._tokens = _histogram(meter, signals.CALL_TOKENS)
        self._tokens_detail = _counter(meter, signals.CALL_TOKENS_DETAIL)
        self._cost = _counter(meter, signals.CALL_COST)
        self._unpriced = _counter(meter, signals.CALLS_UNPRICED)
        self._scores = _histogram(meter, signals.EVALUATIONS)
        self._findings = _counter(meter, signals.SECURITY_FINDINGS)
        self._finding_labels = LabelBudget(on_overflow=lambda: self.dropped.update(("label",)))
        meter.create_observable_counter(
            signals.DROPPED.name, [self._observe_dropped], signals.DROPPED.unit, signals.DROPPED.meaning
        )

    def record_call(self, call: Call, price: Price, context: Context) -> None:
        """Record a call under the labels of the catalogue."""
        labels = self._labels.bound(_call_labels(call))
        ended: dict[str, str] = {signals.OUTCOME.name: call.outcome}
        if call.error_type:
            ended |= self._labels.bound({signals.ERROR_TYPE.name: call.error_type})
        self._duration.record(call.duration, labels | ended, context)
        if call.time_to_first_token is not None:
            self._time_to_first_token.record(call.time_to_first_token, labels, context)
        if (rate := call.output_tokens_per_second) is not None:
            self._output_rate.record(rate, labels, context)
        for instrument, kind, count in (
            (self._tokens.record, "input", call.tokens.input),
            (self._tokens.record, "output", call.tokens.output),
            (self._tokens_detail.add, "cached", call.tokens.cached),
            (self._tokens_detail.add, "reasoning", call.tokens.reasoning),
        ):
            if count:
                instrument(count, labels | {signals.TOKEN_TYPE.name: kind}, context)
        if price.amount is not None:
            self._cost.add(float(price.amount), labels, context)
        if price.unpriced:
            self._unpriced.add(1, labels | {signals.UNPRICED.name: price.unpriced}, context)

    def record_score(self, score: float, attributes: Mapping[str, Value], context: Context) -> None:
        """Record a score between 0 and 1."""
        names = (label.name for label in signals.EVALUATIONS.labels)
        labels = {name: str(attributes[name]) for name in names if name in attributes}
        self._scores.record(score, self._labels.bound(labels), context)

    def record_finding(self, attributes: Mapping[str, Value], context: Context) -> None:
        """Count a call with a sign of an attack or a leak."""
        names = (label.name for label in signals.SECURITY_FINDINGS.labels)
        labels = {name: str(attributes[name]) for name in names if name in attributes}
        self._findings.add(1, self._finding_labels.bound(labels), context)

    def _observe_dropped(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {_DROPPED_KIND: kind}) for kind, count in self.dropped.items()]


def _call_labels(call: Call) -> dict[str, str]:
    labels = {
        signals.OPERATION.name: call.operation,
        signals.PROVIDER.name: call.provider,
        signals.REQUEST_MODEL.name: call.request_model,
        signals.RESPONSE_MODEL.name: call.response_model,
    }
    for label in (signals.FEATURE, signals.TEAM, signals.TENANT, signals.ENDPOINT):
        labels[label.name] = str(call.attribution[label.name]) if label.name in call.attribution else None
    return {name: value for name, value in labels.items() if value}


def _histogram(meter: Meter, metric: signals.Metric) -> Histogram:
    return meter.create_histogram(
        metric.name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=metric.buckets
    )


def _counter(meter: Meter, metric: signals.Metric) -> CounterInstrument:
    return meter.create_counter(metric.name, metric.unit, metric.meaning)
