"""Instruments of the catalogue: of bounded labels, and for calls under the names of either vocabulary."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

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


@dataclass(kw_only=True)
class LabelBudget:
    """Lets the first values of each label through, and the first combinations of them; the rest becomes ``_other``.

    One label set costs about 60 series, mostly histogram buckets. The bound holds whatever the application passes:
    a user's text as a feature name makes 100 series sets, not one for each user. ``values`` bounds each label,
    ``combinations`` all of them together.
    """

    on_overflow: Callable[[], None]
    values: int = 100
    combinations: int = 300
    _seen: dict[str, set[str]] = field(default_factory=dict)
    _combinations: dict[tuple[tuple[str, str], ...], Labels] = field(default_factory=dict)
    _overflowed: dict[tuple[str, ...], Labels] = field(default_factory=dict)

    def bound(self, labels: Mapping[str, str]) -> Labels:
        """The labels to record under."""
        if (found := self._combinations.get(tuple(labels.items()))) is not None:  # nearly always
            return found
        bounded = {name: self.bound_value(name, value) for name, value in labels.items()}
        combination = tuple(bounded.items())
        if combination not in self._combinations and len(self._combinations) >= self.combinations:
            self.on_overflow()
            return self._overflowed.setdefault(tuple(bounded), Labels(dict.fromkeys(bounded, OTHER)))
        return self._combinations.setdefault(combination, Labels(bounded))

    def bound_value(self, name: str, value: str) -> str:
        """The value to record of a single label."""
        seen = self._seen.setdefault(name, set())
        if value not in seen:
            if len(seen) >= self.values:
                self.on_overflow()
                return OTHER
            seen.add(value)
        return value


@dataclass(slots=True)
class _Sum:
    """What is to be added to one series of a counter; ``context`` is that of the last call, for the exemplar."""

    metric: signals.Metric
    amount: float
    context: Context


_NO_TRACE: Final = Context()
_UNTRACED: Final = ("{token}", "{token}/s")  # units of the histograms without exemplars


class Instruments:
    """Counters and histograms of the catalogue, made when they are first used. For the worker alone."""

    def __init__(self, meter: Meter) -> None:
        """Make them on this meter."""
        self._meter = meter
        self._takers: dict[str, Callable[..., None]] = {}
        self._sums: dict[tuple[str, Labels, More], _Sum] = {}

    def taker(self, metric: signals.Metric) -> Callable[..., None]:
        """What takes an amount, labels and a context: the method of a counter that adds, or of a histogram."""
        return self._takers.get(metric.name) or self._made(metric)

    def _made(self, metric: signals.Metric) -> Callable[..., None]:
        named = (metric.name, metric.unit, metric.meaning)
        take: Callable[..., None]
        if metric.kind == "counter":
            take = self._meter.create_counter(*named).add
        else:
            take = self._meter.create_histogram(*named, explicit_bucket_boundaries_advisory=metric.buckets).record
        self._takers[metric.name] = take
        return take

    def record(self, metric: signals.Metric, value: float, labels: Labels, context: Context, more: More = ()) -> None:
        """Record a finite value in a histogram; what is below zero is left out."""
        if value >= 0:
            self.taker(metric)(value, labels.with_(more), _NO_TRACE if metric.unit in _UNTRACED else context)

    def add(self, metric: signals.Metric, amount: float, labels: Labels, context: Context, more: More = ()) -> None:
        """Add to a counter, in the end."""
        key = (metric.name, labels, more)
        if (found := self._sums.get(key)) is not None:
            found.amount += amount
            found.context = context
            return
        self._sums[key] = _Sum(metric, amount, context)
        if len(self._sums) >= _MOST_SUMS:
            self.settle()

    def settle(self) -> None:
        """Add what was summed up to the counters: once for many calls, as each addition costs the SDK 10 µs."""
        sums, self._sums = self._sums, {}
        for (_, labels, more), each in sums.items():
            self.taker(each.metric)(each.amount, labels.with_(more), each.context)

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
_USED: Final[tuple[tuple[signals.Metric, Mapping[str, str]], ...]] = (
    (signals.USED_INPUT, _OF_INPUT),
    (signals.USED_OUTPUT, _OF_OUTPUT),
    (signals.USED_CACHED, _OF_CACHED),
    (signals.USED_CACHE_WRITE, {}),
    (signals.USED_REASONING, {}),
)
"""Which usage tells of the modalities of each kind of tokens."""
_SPECIAL: Final = {
    **{name: f"{modality}_input" for name, modality in _OF_INPUT.items()},
    **{name: f"{modality}_output" for name, modality in _OF_OUTPUT.items()},
}
_INPUT: Final = ((signals.TOKEN_TYPE.name, "input"),)
_OUTPUT: Final = ((signals.TOKEN_TYPE.name, "output"),)


@dataclass(frozen=True, slots=True)
class OldNames:
    """One histogram of all calls, one of tokens by their type, and a counter of the special ones."""

    instruments: Instruments

    def record_times(self, call: Call, labels: Labels, context: Context, ended: More) -> None:
        """Record how long a call took."""
        self.instruments.record(signals.CALL_DURATION, call.duration, labels, context, ended)

    def record_tokens(self, call: Call, labels: Labels, context: Context) -> None:
        """Record the tokens that the provider reported."""
        tokens = call.tokens
        if tokens.input:
            self.instruments.record(signals.CALL_TOKENS, tokens.input, labels, context, _INPUT)
        if tokens.output:
            self.instruments.record(signals.CALL_TOKENS, tokens.output, labels, context, _OUTPUT)
        kinds = {"cached": tokens.cached, "cache_write": tokens.cache_write, "reasoning": tokens.reasoning}
        special = {_SPECIAL[name]: count for name, count in call.usage.items() if name in _SPECIAL}
        for kind, amount in {**kinds, **special}.items():
            if amount:
                more = ((signals.TOKEN_TYPE.name, kind),)
                self.instruments.add(signals.CALL_TOKENS_DETAIL, amount, labels, context, more)


@dataclass(frozen=True, slots=True)
class NewNames:
    """Histograms of inferences and of embeddings, and a counter of each kind of token by its modality."""

    instruments: Instruments

    def record_times(self, call: Call, labels: Labels, context: Context, ended: More) -> None:
        """Record how long a call took."""
        duration = signals.EMBEDDINGS_DURATION if _is_embedding(labels) else signals.INFERENCE_DURATION
        self.instruments.record(duration, call.duration, labels, context, ended)
        if (first := call.time_to_first_chunk) is not None:
            self.instruments.record(signals.INFERENCE_TIME_TO_FIRST_CHUNK, first, labels, context)

    def record_tokens(self, call: Call, labels: Labels, context: Context) -> None:
        """Record the tokens that the provider reported. A count of 0 makes no series, as it changes no sum."""
        tokens, usage, embedding = call.tokens, call.usage, _is_embedding(labels)
        if tokens.input:
            read = signals.EMBEDDINGS_INPUT if embedding else signals.INFERENCE_INPUT
            self.instruments.record(read, tokens.input, labels, context)
        if embedding:
            return
        if tokens.output:
            self.instruments.record(signals.INFERENCE_OUTPUT, tokens.output, labels, context)
        counts = (tokens.input or 0, tokens.output or 0, tokens.cached, tokens.cache_write, tokens.reasoning)
        for (used, parts), count in zip(_USED, counts, strict=True):
            for modality, amount in _by_modality(count, {parts[name]: usage[name] for name in parts if name in usage}):
                self.instruments.add(used, amount, labels, context, ((signals.TOKEN_MODALITY.name, modality),))


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
