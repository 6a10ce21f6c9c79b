"""What several services' model calls look like to Prometheus over some weeks: daily and weekly cycles, noise, deploys.

Every number is drawn from one seed, so that a replay gives the same again.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from genai_observability import signals
from genai_observability.signals import Metric, Part

from stack.vocabulary import stored

START: Final = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
STEP: Final = timedelta(seconds=30)
SERVERS: Final = ("collector", "prometheus", "victorialogs", "alertmanager", "inbox", "jaeger", "usage")
_DEPLOYED_EVERY: Final = timedelta(hours=61)  # at another time of the day each time
_ENVIRONMENT: Final = ("deployment_environment_name", "production")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """One kind of calls of one service. Rates are calls a second at the busiest hour of a week day."""

    service: str
    feature: str
    model: str
    provider: str = "openai"
    operation: str = "chat"
    rate: float
    night: float = 0.05
    """Share of the rate that is left at four in the morning."""
    weekend: float = 0.5
    """Share of the rate that is left on Saturday and Sunday."""
    seconds: float
    """Median time of a call."""
    spread: float = 0.45
    """Standard deviation of the logarithm of that time."""
    first_token: float | None = None
    """Median seconds until the first token, of streams."""
    failing: float = 0.003
    refused: float = 0.0005
    input_tokens: float = 900
    output_tokens: float = 250
    price: tuple[float, float] = (0.15e-6, 0.6e-6)
    """Dollars an input token and an output token."""
    quality: float | None = None
    """Mean of the scores of answers, of which one in twenty is judged."""

    def at(self, when: datetime) -> float:
        """Calls a second at a time, before noise."""
        hour = when.hour + when.minute / 60
        daily = (1 - math.cos((hour - 4) / 24 * 2 * math.pi)) / 2
        week = self.weekend if when.weekday() >= 5 else 1.0
        return self.rate * week * (self.night + (1 - self.night) * daily)


Change = Callable[[datetime, Calls], Calls]
"""What happens to calls at a time: an incident, or a new model."""

SERVICES: Final = (
    Calls(service="shop", feature="search", model="gpt-4o-mini", rate=1.2, seconds=0.9, first_token=0.35, quality=0.88),
    Calls(service="shop", feature="assistant", model="gpt-4.1-mini", rate=0.5, seconds=2.2, first_token=0.5,
          output_tokens=420, price=(0.4e-6, 1.6e-6), quality=0.9),
    Calls(service="shop", feature="search", model="text-embedding-3-small", operation="embeddings", rate=1.5,
          seconds=0.12, output_tokens=0, price=(0.02e-6, 0)),
    Calls(service="support", feature="chat", model="gpt-4.1-mini", rate=0.6, weekend=0.35, seconds=1.6,
          first_token=0.45, output_tokens=300, price=(0.4e-6, 1.6e-6), quality=0.85),
    Calls(service="reports", feature="summaries", model="claude-3-5-haiku", provider="anthropic", rate=0.15,
          night=0.9, weekend=0.9, seconds=1.3, input_tokens=800, output_tokens=300, price=(0.8e-6, 4e-6)),
)  # fmt: skip


def labels_and_steps(
    days: float, *, seed: int, changes: Sequence[Change] = (), services: Sequence[Calls] = SERVICES
) -> tuple[list[dict[str, str]], Iterator[list[float | None]]]:
    """The labels of every series, and for each step a value for each; ``None`` where a series has no sample."""
    sources = [_Source(calls, random.Random(f"{seed} {number}")) for number, calls in enumerate(services)]  # noqa: S311
    labels = [label for source in sources for label in source.labels] + [_up(server) for server in SERVERS]

    def steps() -> Iterator[list[float | None]]:
        for number in range(int(timedelta(days=days) / STEP)):
            when = START + number * STEP
            values: list[float | None] = []
            for source in sources:
                values += source.step(when, changes)
            yield values + [1.0] * len(SERVERS)

    return labels, steps()


def _up(server: str) -> dict[str, str]:
    return {"__name__": "up", "job": server, "instance": server}


@dataclass
class _Source:
    """The counters of one kind of calls, in the process of now; a deploy starts them anew under another instance."""

    calls: Calls
    chance: random.Random
    counts: list[float] = field(default_factory=list)
    drift: float = 0.0
    deployed: int = -1

    def __post_init__(self) -> None:
        self.kinds = _kinds(self.calls)
        self.labels = [label | {"instance": instance} for instance in "ab" for label in self.kinds]

    def step(self, when: datetime, changes: Sequence[Change]) -> list[float | None]:
        """The values after what was called since the step before."""
        calls = self.calls
        for change in changes:
            calls = change(when, calls)
        offset = timedelta(hours=sum(map(ord, calls.service)) % 48)
        deployed = int((when - START + offset) / _DEPLOYED_EVERY)
        if deployed != self.deployed:
            self.deployed, self.counts = deployed, [0.0] * len(self.kinds)
        self._count(when, calls)
        here: list[float | None] = [float(int(count)) if count > 1000 else round(count, 7) for count in self.counts]
        nothing: list[float | None] = [None] * len(here)
        return [*here, *nothing] if deployed % 2 == 0 else [*nothing, *here]

    def _count(self, when: datetime, calls: Calls) -> None:
        # Noise of minutes: busier and slower spells that come and go.
        self.drift = 0.98 * self.drift + self.chance.gauss(0, 0.015)
        made = _drawn(self.chance, calls.at(when) * math.exp(self.drift * 2) * STEP.total_seconds())
        failed = _share(self.chance, made, calls.failing)
        refused = _share(self.chance, made - failed, calls.refused)
        answered = made - failed - refused
        output = answered * calls.output_tokens * self.chance.uniform(0.93, 1.07)
        read = answered * calls.input_tokens * self.chance.uniform(0.95, 1.05)
        slow = math.exp(self.drift)
        added = [*_histogram(signals.CALL_DURATION, answered, calls.seconds * slow, calls.spread), failed, refused]
        added += [read, answered, output, answered if calls.output_tokens else 0]
        added.append(read * calls.price[0] + output * calls.price[1])
        if self.calls.first_token is not None:
            added += _histogram(signals.CALL_TIME_TO_FIRST_TOKEN, answered, (calls.first_token or 0.4) * slow, 0.4)
        if self.calls.quality is not None:
            judged = _share(self.chance, answered, 0.05)
            added += _scores(self.chance, judged, calls.quality or 0.5)
        self.counts = [count + more for count, more in zip(self.counts, added, strict=True)]


def _kinds(calls: Calls) -> list[dict[str, str]]:
    """The labels of the series, in the order in which they are counted."""
    common = {
        "job": calls.service,
        _ENVIRONMENT[0]: _ENVIRONMENT[1],
        signals.OPERATION.label: calls.operation,
        signals.PROVIDER.label: calls.provider,
        signals.REQUEST_MODEL.label: calls.model,
        signals.RESPONSE_MODEL.label: calls.model,
        signals.FEATURE.label: calls.feature,
        signals.TEAM.label: f"{calls.service}-team",
    }
    outcome, kind = signals.OUTCOME.label, signals.TOKEN_TYPE.label
    made = _parts(signals.CALL_DURATION, common | {outcome: "success"})
    made += [stored(signals.CALL_DURATION, common | {outcome: ended}, "count") for ended in ("error", "rate_limited")]
    for name in ("input", "output"):
        made += [stored(signals.CALL_TOKENS, common | {kind: name}, part) for part in _SUM_AND_COUNT]
    made.append(stored(signals.CALL_COST, common))
    if calls.first_token is not None:
        made += _parts(signals.CALL_TIME_TO_FIRST_TOKEN, common)
    if calls.quality is not None:
        made += _parts(signals.EVALUATIONS, common | {signals.EVALUATION_NAME.label: "groundedness"})
    return made


_SUM_AND_COUNT: Final[tuple[Part, Part]] = ("sum", "count")


def _parts(metric: Metric, labels: dict[str, str]) -> list[dict[str, str]]:
    bounds = [*(f"{bound:g}" for bound in metric.buckets or ()), "+Inf"]
    buckets = [stored(metric, labels | {"le": bound}, "bucket") for bound in bounds]
    return [*buckets, *(stored(metric, labels, part) for part in _SUM_AND_COUNT)]


def _histogram(metric: Metric, count: float, median: float, spread: float) -> list[float]:
    """By how much the buckets, the sum and the count grow with so many values of a log-normal distribution."""
    below = [_below(bound, median, spread) for bound in metric.buckets or ()]
    return [*(count * share for share in below), count, count * median * math.exp(spread**2 / 2), count]


def _below(bound: float, median: float, spread: float) -> float:
    return 0.5 * (1 + math.erf(math.log(bound / median) / spread / math.sqrt(2))) if bound > 0 else 0.0


def _scores(chance: random.Random, count: float, mean: float) -> list[float]:
    """Likewise for scores, of a normal distribution cut at 0 and 1."""
    mean = min(max(mean + chance.gauss(0, 0.01), 0.02), 0.98)
    bounds = signals.EVALUATIONS.buckets or ()
    shares = [0.5 * (1 + math.erf((bound - mean) / 0.12 / math.sqrt(2))) if bound < 1 else 1.0 for bound in bounds]
    return [*(count * share for share in shares), count, count * mean, count]


def _drawn(chance: random.Random, expected: float) -> int:
    """How many came of so many that were to be expected (Poisson, and normal beyond 30)."""
    if expected > 30:
        return max(round(chance.gauss(expected, math.sqrt(expected))), 0)
    limit, product, count = math.exp(-expected), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


def _share(chance: random.Random, count: float, share: float) -> int:
    """How many of so many, where each has this chance."""
    if share >= 1:
        return int(count)
    return min(_drawn(chance, count * share), int(count)) if count > 0 else 0


def changed(calls: Calls, **values: float) -> Calls:
    """The same calls with some values multiplied."""
    return replace(calls, **{name: getattr(calls, name) * factor for name, factor in values.items()})
