"""Instruments of the catalogue: of bounded labels, and for calls under the names of either vocabulary."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation

from genai_observability import signals
from genai_observability._call import Call

_MOST_SUMS: Final = 500
OTHER: Final = "_other"  # what a value is counted as once its label, or the process, holds as many as it may


More = tuple[tuple[str, str], ...]  # labels besides, of one of a few values each


@dataclass(slots=True, eq=False)
class Labels:
    """One combination of labels: the same object each time, which other things can be kept by."""

    values: dict[str, str]

    def with_(self, more: More) -> dict[str, str]:
        """These and others."""
        return {**self.values, **dict(more)} if more else self.values


class LabelBudget:
    """Lets the first values of each label through, and the first combinations of them; the rest becomes ``_other``.

    One label set costs about 60 series, mostly histogram buckets. The bound holds whatever the application passes:
    a user's text as a feature name makes 100 series sets, not one for each user.
    """

    def __init__(self, *, values: int = 100, combinations: int = 300, on_overflow: Callable[[], None]) -> None:
        """``values`` bounds each label, ``combinations`` all of them together."""
        self._most_values = values
        self._most_combinations = combinations
        self._on_overflow = on_overflow
        self._values: dict[str, set[str]] = {}
        self._combinations: dict[tuple[tuple[str, str], ...], Labels] = {}
        self._overflowed: dict[tuple[str, ...], Labels] = {}

    def bound(self, labels: Mapping[str, str]) -> Labels:
        """The labels to record under."""
        found = self._combinations.get(tuple(labels.items()))
        if found is not None:  # nearly always
            return found
        bounded = {name: self.bound_value(name, value) for name, value in labels.items()}
        combination = tuple(bounded.items())
        found = self._combinations.get(combination)
        if found is None and len(self._combinations) < self._most_combinations:
            found = self._combinations[combination] = Labels(bounded)
        if found is None:
            self._on_overflow()
            found = self._overflowed.setdefault(tuple(bounded), Labels(dict.fromkeys(bounded, OTHER)))
        return found

    def bound_value(self, name: str, value: str) -> str:
        """The value to record of a single label."""
        seen = self._values.setdefault(name, set())
        if value in seen:
            return value
        if len(seen) < self._most_values:
            seen.add(value)
            return value
        self._on_overflow()
        return OTHER


_NO_TRACE: Final = Context()


@dataclass(frozen=True, slots=True)
class LabelledHistogram:
    """A histogram that leaves out what is below zero, with exemplars or without."""

    instrument: Histogram
    exemplars: bool

    def record(self, value: float, labels: Labels, context: Context, more: More = ()) -> None:
        """Record a finite value."""
        if value >= 0:
            self.instrument.record(value, labels.with_(more), context if self.exemplars else _NO_TRACE)


@dataclass(slots=True)
class _Sum:
    """What is to be added to one series of a counter; ``context`` is that of the last call, for the exemplar."""

    amount: float
    context: Context


class Instruments:
    """Histograms and counters of one meter. What is added to counters is summed up first: ``settle`` adds it."""

    def __init__(self, meter: Meter) -> None:
        """Make them on this meter."""
        self._meter = meter
        self._sums: dict[tuple[Counter, Labels, More], _Sum] = {}

    def histogram(self, metric: signals.Metric, *, exemplars: bool = True) -> LabelledHistogram:
        """A histogram of the catalogue."""
        named = (metric.name, metric.unit, metric.meaning)
        made = self._meter.create_histogram(*named, explicit_bucket_boundaries_advisory=metric.buckets)
        return LabelledHistogram(made, exemplars)

    def counter(self, metric: signals.Metric) -> Counter:
        """A counter of the catalogue."""
        return self._meter.create_counter(metric.name, metric.unit, metric.meaning)

    def add(self, counter: Counter, amount: float, labels: Labels, context: Context, more: More = ()) -> None:
        """Add to a series of a counter."""
        key = (counter, labels, more)
        found = self._sums.get(key)
        if found is None:
            self._sums[key] = _Sum(amount, context)
            if len(self._sums) >= _MOST_SUMS:
                self.settle()
        else:
            found.amount += amount
            found.context = context

    def settle(self) -> None:
        """Add what was summed up to the counters: once for many calls, as each addition costs the SDK 10 µs."""
        sums, self._sums = self._sums, {}
        for (counter, labels, more), each in sums.items():
            counter.add(each.amount, labels.with_(more), each.context)

    def forget(self) -> None:
        """In a child made by fork: what was summed up is the parent's."""
        self._sums.clear()


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


_OF_INPUT: Final = {signals.AUDIO_INPUT_TOKENS.name: "audio", signals.IMAGE_INPUT_TOKENS.name: "image"}
_OF_OUTPUT: Final = {signals.AUDIO_OUTPUT_TOKENS.name: "audio", signals.IMAGE_OUTPUT_TOKENS.name: "image"}
_OF_CACHED: Final = {
    signals.TEXT_CACHED_TOKENS.name: "text",
    signals.AUDIO_CACHED_TOKENS.name: "audio",
    signals.IMAGE_CACHED_TOKENS.name: "image",
}
_USED: Final[Mapping[signals.Metric, Mapping[str, str]]] = {
    signals.USED_INPUT: _OF_INPUT,
    signals.USED_OUTPUT: _OF_OUTPUT,
    signals.USED_CACHED: _OF_CACHED,
    signals.USED_CACHE_WRITE: {},
    signals.USED_REASONING: {},
}
"""Which usage tells of the modalities of each kind of tokens."""
_SPECIAL: Final = {
    **{name: f"{modality}_input" for name, modality in _OF_INPUT.items()},
    **{name: f"{modality}_output" for name, modality in _OF_OUTPUT.items()},
}
_INPUT: Final = ((signals.TOKEN_TYPE.name, "input"),)
_OUTPUT: Final = ((signals.TOKEN_TYPE.name, "output"),)


class OldNames:
    """One histogram of all calls, one of tokens by their type, and a counter of the special ones."""

    def __init__(self, instruments: Instruments) -> None:
        """Create them."""
        self._add = instruments.add
        self._duration = instruments.histogram(signals.CALL_DURATION)
        self._tokens = instruments.histogram(signals.CALL_TOKENS, exemplars=False)
        self._detail = instruments.counter(signals.CALL_TOKENS_DETAIL)

    def record_times(self, call: Call, labels: Labels, context: Context, ended: More) -> None:
        """Record how long a call took."""
        self._duration.record(call.duration, labels, context, ended)

    def record_tokens(self, call: Call, labels: Labels, context: Context) -> None:
        """Record the tokens that the provider reported."""
        tokens = call.tokens
        if tokens.input:
            self._tokens.record(tokens.input, labels, context, _INPUT)
        if tokens.output:
            self._tokens.record(tokens.output, labels, context, _OUTPUT)
        kinds = {"cached": tokens.cached, "cache_write": tokens.cache_write, "reasoning": tokens.reasoning}
        special = {_SPECIAL[name]: count for name, count in call.usage.items() if name in _SPECIAL}
        for kind, amount in {**kinds, **special}.items():
            if amount:
                self._add(self._detail, amount, labels, context, ((signals.TOKEN_TYPE.name, kind),))


class NewNames:
    """Histograms of inferences and of embeddings, and a counter of each kind of token by its modality."""

    def __init__(self, instruments: Instruments) -> None:
        """Create them."""
        self._add = instruments.add
        self._duration = instruments.histogram(signals.INFERENCE_DURATION)
        self._embeddings_duration = instruments.histogram(signals.EMBEDDINGS_DURATION)
        self._first_chunk = instruments.histogram(signals.INFERENCE_TIME_TO_FIRST_CHUNK)
        self._input = instruments.histogram(signals.INFERENCE_INPUT, exemplars=False)
        self._output = instruments.histogram(signals.INFERENCE_OUTPUT, exemplars=False)
        self._embeddings_input = instruments.histogram(signals.EMBEDDINGS_INPUT, exemplars=False)
        self._used = [(instruments.counter(metric), parts) for metric, parts in _USED.items()]

    def record_times(self, call: Call, labels: Labels, context: Context, ended: More) -> None:
        """Record how long a call took."""
        duration = self._embeddings_duration if _is_embedding(labels) else self._duration
        duration.record(call.duration, labels, context, ended)
        if call.time_to_first_chunk is not None:
            self._first_chunk.record(call.time_to_first_chunk, labels, context)

    def record_tokens(self, call: Call, labels: Labels, context: Context) -> None:
        """Record the tokens that the provider reported. A count of 0 makes no series, as it changes no sum."""
        tokens, usage = call.tokens, call.usage
        if _is_embedding(labels):
            if tokens.input:
                self._embeddings_input.record(tokens.input, labels, context)
            return
        if tokens.input:
            self._input.record(tokens.input, labels, context)
        if tokens.output:
            self._output.record(tokens.output, labels, context)
        counts = (tokens.input or 0, tokens.output or 0, tokens.cached, tokens.cache_write, tokens.reasoning)
        for (used, parts), count in zip(self._used, counts, strict=True):
            for modality, amount in _by_modality(count, {parts[name]: usage[name] for name in parts if name in usage}):
                self._add(used, amount, labels, context, ((signals.TOKEN_MODALITY.name, modality),))


def _is_embedding(labels: Labels) -> bool:
    """By the label, not the call: no two metrics may have series of the same labels, not even of ``_other`` alone."""
    return labels.values.get(signals.OPERATION.name) == "embeddings"


def _by_modality(count: int, known: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """The parts of a count; what the provider did not name is text, unless it named that or nothing."""
    rest = count - sum(known.values())
    if rest < 0:  # they contradict each other
        known, rest = {}, count
    yield from ((modality, amount) for modality, amount in known.items() if amount)
    if rest:
        yield ("text" if any(known.values()) and "text" not in known else "unknown"), rest
