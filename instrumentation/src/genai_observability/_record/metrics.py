"""The metrics of a call, by the semantic conventions and with the attribution as labels."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from genai_observability import signals
from genai_observability._call import Call, Price, Quota, Value
from genai_observability._capture.open_calls import OpenCalls
from genai_observability._record.instruments import Instruments, LabelBudget, Labels, More, NewNames, OldNames, observe
from genai_observability._record.scores import Sign

_KEPT: Final = 600.0  # seconds after its last call that a model's limits are reported
_MOST: Final = 100  # models


@dataclass
class Quotas:
    """The rate limits of each model that was called lately, as gauges read them. ``clock`` gives seconds."""

    clock: Callable[[], float] = time.monotonic
    _last: dict[tuple[str, str, str], tuple[Quota, float]] = field(default_factory=dict)

    def note(self, call: Call) -> None:
        """What the answer to a call said."""
        for quota in call.exchange.quotas:
            key = (call.provider, call.request_model or "", quota.kind)
            self._last.pop(key, None)
            self._last[key] = (quota, self.clock())
            if len(self._last) > _MOST * 2:
                self._last.pop(next(iter(self._last)))

    def observe_limit(self, _options: CallbackOptions) -> Iterable[Observation]:
        """The limits."""
        return self._observations(lambda quota, _: quota.limit)

    def observe_remaining(self, _options: CallbackOptions) -> Iterable[Observation]:
        """What is left of them."""
        return self._observations(_remaining)

    def observe_used(self, _options: CallbackOptions) -> Iterable[Observation]:
        """The shares of them that are used up."""
        return self._observations(lambda quota, age: 1 - _remaining(quota, age) / quota.limit)

    def _observations(self, value: Callable[[Quota, float], float]) -> list[Observation]:
        now = self.clock()
        return [
            Observation(
                value(quota, now - noted),
                {signals.PROVIDER.name: provider, signals.REQUEST_MODEL.name: model, signals.QUOTA_KIND.name: kind},
            )
            for (provider, model, kind), (quota, noted) in list(self._last.items())
            if now - noted < _KEPT
        ]


def _remaining(quota: Quota, age: float) -> float:
    return quota.limit if age > quota.reset else quota.remaining


Kind = Literal["call", "span", "log", "label", "content", "batch"]
"""What can be lost on the way to the Collector: see ``signals.DROPPED``."""
Losses = Counter[Kind]


class Metrics:
    """Records finished calls and scores. ``context`` is that of the call's span: exemplars lead to its trace."""

    def __init__(
        self, meter: Meter, *, losses: Losses, open_calls: OpenCalls, prices_age: Callable[[], float | None]
    ) -> None:
        """Create the catalogue's instruments on the meter, in the vocabularies that the environment asks for.

        ``prices_age`` is read at each export.
        """
        self._losses = losses
        self._open_calls = open_calls
        self._quotas = Quotas()
        self._labels = LabelBudget(on_overflow=lambda: losses.update(("label",)))
        self._instruments = Instruments(meter)
        self._add, self._record, self.settle = self._instruments.add, self._instruments.record, self._instruments.settle
        names = signals.vocabularies(os.environ.get(signals.OPT_IN_VARIABLE, ""))
        self._named = tuple((OldNames if each == "old" else NewNames)(self._instruments) for each in names)
        # Their own, as they are read on another thread; an overflow is counted where the call is recorded.
        self._in_flight_labels = LabelBudget(on_overflow=lambda: None)
        observe(meter, signals.CALLS_IN_FLIGHT, self._observe_in_flight)
        observe(meter, signals.QUOTA_LIMIT, self._quotas.observe_limit)
        observe(meter, signals.QUOTA_REMAINING, self._quotas.observe_remaining)
        observe(meter, signals.QUOTA_USED, self._quotas.observe_used)
        self._prices_age = prices_age
        self._priced = False
        observe(meter, signals.PRICES_AGE, self._observe_prices_age)
        self._finding_labels = LabelBudget(on_overflow=lambda: losses.update(("label",)))
        observe(meter, signals.DROPPED, self._observe_dropped)

    def record_call(self, call: Call, price: Price, context: Context) -> None:
        """Record a call under the labels of the catalogue."""
        labels = self._labels.bound(_call_labels(call))
        self._record_times(call, labels, context)
        for named in self._named:
            named.record_tokens(call, labels, context)
        self._record_price(price, labels, context)
        self._record_exchange(call, labels, context)

    def record_score(self, score: float, attributes: Mapping[str, Value], context: Context) -> None:
        """Record a score between 0 and 1."""
        labels = self._labels.bound(signals.EVALUATIONS.labels_of(attributes))
        self._record(signals.EVALUATIONS, score, labels, context)

    def record_finding(self, attributes: Mapping[str, Value], context: Context) -> None:
        """Count a call with a sign of an attack or a leak."""
        labels = self._finding_labels.bound(signals.SECURITY_FINDINGS.labels_of(attributes))
        self._add(signals.SECURITY_FINDINGS, 1, labels, context)

    def record_feedback(self, sign: Sign, attributes: Mapping[str, Value]) -> None:
        """Record what a user said, by its kind and by its weight."""
        values = self._labels.bound(signals.FEEDBACK.labels_of(attributes)).values
        self._instruments.taker(signals.FEEDBACK)(1, values)
        unkind = {name: value for name, value in values.items() if name != signals.EVALUATION_LABEL.name}
        self._instruments.taker(signals.FEEDBACK_WEIGHT)(sign.weight, unkind)
        self._instruments.taker(signals.FEEDBACK_SATISFACTION)(sign.weight * sign.satisfaction, unkind)

    def forget(self) -> None:
        """In a child made by fork: what was counted is the parent's."""
        self._losses.clear()
        self._instruments.forget()

    def _record_times(self, call: Call, labels: Labels, context: Context) -> None:
        ended: More = ((signals.OUTCOME.name, call.outcome),)
        if call.error_type:
            error = signals.ERROR_TYPE.name
            ended = (*ended, (error, self._labels.bound_value(error, call.error_type)))
        if call.batch:
            self._add(signals.BATCH_CALLS, 1, labels, context, ended)
            return
        for named in self._named:
            named.record_times(call, labels, context, ended)
        if call.time_to_first_token is not None:
            self._record(signals.CALL_TIME_TO_FIRST_TOKEN, call.time_to_first_token, labels, context)
        if (rate := call.output_tokens_per_second) is not None:
            self._record(signals.CALL_OUTPUT_RATE, rate, labels, context)

    def _record_price(self, price: Price, labels: Labels, context: Context) -> None:
        self._priced = True
        if price.amount is not None:
            self._add(signals.CALL_COST, float(price.amount), labels, context)
        if price.unpriced:
            self._add(signals.CALLS_UNPRICED, 1, labels, context, ((signals.UNPRICED.name, price.unpriced),))
        if price.estimated is not None:
            self._add(signals.CALL_ESTIMATED_COST, float(price.estimated), labels, context)

    def _record_exchange(self, call: Call, labels: Labels, context: Context) -> None:
        if call.exchange.retries:
            self._add(signals.CALL_RETRIES, call.exchange.retries, labels, context)
        for phase, seconds in call.exchange.phases.items():
            self._add(signals.CALL_PHASES, seconds, labels, context, ((signals.PHASE.name, phase),))
        self._quotas.note(call)

    def _observe_prices_age(self, _options: CallbackOptions) -> Iterable[Observation]:
        """Once there are calls to price: a process without any has nothing to export."""
        age = self._prices_age() if self._priced else None
        return [] if age is None else [Observation(age)]

    def _observe_in_flight(self, _options: CallbackOptions) -> Iterable[Observation]:
        names = (signals.PROVIDER.name, signals.REQUEST_MODEL.name)
        counts: Counter[Labels] = Counter()  # of two observations under "_other" one would be lost
        for values, count in self._open_calls.by_model().items():
            counts[self._in_flight_labels.bound(dict(zip(names, values, strict=True)))] += count
        return [Observation(count, labels.values) for labels, count in counts.items()]

    def _observe_dropped(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {signals.DROPPED_KIND.name: kind}) for kind, count in list(self._losses.items())]


def _call_labels(call: Call) -> dict[str, str]:
    labels = {
        signals.OPERATION.name: call.operation,
        signals.PROVIDER.name: call.provider,
        signals.REQUEST_MODEL.name: call.request_model,
        signals.RESPONSE_MODEL.name: call.response_model,
    }
    attribution = {name: str(call.attribution[name]) for name in _LABELS if name in call.attribution}
    return {name: value for name, value in {**labels, **attribution}.items() if value}


_LABELS: Final = tuple(label.name for label in (signals.FEATURE, signals.TEAM, signals.TENANT, signals.ENDPOINT))
