"""What the stores know of a window of time: figures, features, users, money and the worst calls.

Metrics come from Prometheus, single calls from the request log in Loki. Neither has to answer: each part is there, or a
sentence says why it is not.
"""

import heapq
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Generic, TypeVar

from genai_observability.signals import (
    CALL_COST,
    CALL_DURATION,
    CALL_EVENT,
    CALL_TOKENS,
    COST,
    DURATION,
    ERROR_TYPE,
    ESTIMATED_COST,
    EVENT_NAME,
    FEATURE,
    OUTCOME,
    REQUEST_MODEL,
    USER_HASH,
)

from stack.clients import Entry, Loki, Prometheus, Sample, StoreError
from stack.inbox.incident import ENVIRONMENT

QUERY_TIMEOUT_S: Final = 10.0
PART_TIMEOUT_S: Final = 20.0
"""For all queries of one store together."""
MOST_CALLS: Final = 50_000
"""Of the request log's calls in a window, the newest: some seconds of reading."""
BEFORE: Final = timedelta(hours=24)
_WORST = 5
_FEATURES = 10

# As in the alerts: refusals by a rate limit are a share of their own; cancelled calls are in none.
_FINISHED = f'{OUTCOME.label}!="cancelled"'
_SUCCEEDED = f'{OUTCOME.label}="success"'
_FAILED = f'{OUTCOME.label}=~"error|timeout"'
_RATE_LIMITED = f'{OUTCOME.label}="rate_limited"'
_NOT_ANSWERED = f'{OUTCOME.label}=~"error|timeout|rate_limited"'
_LOST = frozenset({"error", "timeout", "rate_limited"})
"""Calls whose money bought nothing."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is looked at: a window, and the services in it; none stands for all."""

    start: datetime
    end: datetime
    services: tuple[str, ...] = ()
    environment: str = ""

    @property
    def length(self) -> timedelta:
        """How long the window is."""
        return self.end - self.start

    def before(self) -> "Scope":
        """The 24 hours before it."""
        return Scope(start=self.start - BEFORE, end=self.start, services=self.services, environment=self.environment)


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """What a store has said, or the sentence that says why nothing."""

    value: T | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Sums over a window; what has no sense without calls is None."""

    seconds: float
    calls: float
    failed: float
    rate_limited: float
    p95: float | None
    cost: float
    tokens: float

    @property
    def failed_share(self) -> float | None:
        """Errors and timeouts, of all calls."""
        return self.failed / self.calls if self.calls else None

    @property
    def rate_limited_share(self) -> float | None:
        """Refusals by a rate limit, of all calls."""
        return self.rate_limited / self.calls if self.calls else None

    def a_minute(self, amount: float) -> float:
        """An amount of the window, by the minute."""
        return amount * 60 / self.seconds

    def a_call(self, amount: float) -> float | None:
        """An amount of the window, by the call."""
        return amount / self.calls if self.calls else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What a window did to a feature; without a name, the calls that carry none."""

    name: str
    calls: float
    failed: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What Prometheus knows."""

    window: Figures
    before: Figures
    features: list[Feature]
    """Those with the most failed calls first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A line of the request log. No user is in it."""

    at: datetime
    service: str
    feature: str
    model: str
    outcome: str
    error: str
    seconds: float | None
    cost: float | None
    trace_id: str


@dataclass(slots=True, kw_only=True)
class Calls:
    """What the request log knows."""

    read: int = 0
    complete: bool = True
    """Whether there were no more calls than were read."""
    users: int = 0
    users_failed: int = 0
    """Users who had a failed call."""
    anonymous: int = 0
    """Calls without a user."""
    lost: float = 0.0
    """US dollars spent on failed calls."""
    lost_estimated: float = 0.0
    """The same where the price is estimated."""
    slowest: list[Call] = field(default_factory=list)
    dearest: list[Call] = field(default_factory=list)
    failures: list[tuple[int, Call]] = field(default_factory=list)
    """Each kind of failure: how often, and the first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Both stores' answers."""

    metrics: Part[Metrics]
    calls: Part[Calls]


def gather(scope: Scope, prometheus: Prometheus, loki: Loki) -> Evidence:
    """Ask both stores, at the same time."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        metrics = pool.submit(_part, lambda: _metrics(scope, prometheus))
        calls = pool.submit(_part, lambda: _calls(scope, loki))
        return Evidence(metrics=metrics.result(), calls=calls.result())


def _part(ask: Callable[[], T]) -> Part[T]:
    try:
        return Part(ask())
    except StoreError as error:
        return Part(None, str(error))


# --- Prometheus ------------------------------------------------------------------------------------------------------


Ask = Callable[[str, datetime], list[Sample]]


def _metrics(scope: Scope, prometheus: Prometheus) -> Metrics:
    deadline = time.monotonic() + PART_TIMEOUT_S

    def ask(expr: str, at: datetime) -> list[Sample]:
        if time.monotonic() > deadline:
            raise StoreError(f"Prometheus takes longer than {PART_TIMEOUT_S:.0f} s for this: try a shorter window.")
        return prometheus.query(expr, at=at)

    return Metrics(window=_figures(scope, ask), before=_figures(scope.before(), ask), features=_features(scope, ask))


def _figures(scope: Scope, query: Ask) -> Figures:
    def ask(expr: str) -> float | None:
        values = [sample.value for sample in query(expr, scope.end)]
        return values[0] if values and math.isfinite(values[0]) else None

    buckets = _increase(scope, f"{CALL_DURATION.prometheus}_bucket", _SUCCEEDED)
    return Figures(
        seconds=_seconds(scope),
        calls=ask(f"sum({_count(scope, _FINISHED)})") or 0.0,
        failed=ask(f"sum({_count(scope, _FAILED)})") or 0.0,
        rate_limited=ask(f"sum({_count(scope, _RATE_LIMITED)})") or 0.0,
        p95=ask(f"histogram_quantile(0.95, sum by (le) ({buckets}))"),
        cost=ask(f"sum({_increase(scope, CALL_COST.prometheus)})") or 0.0,
        tokens=ask(f"sum({_increase(scope, f'{CALL_TOKENS.prometheus}_sum')})") or 0.0,
    )


def _features(scope: Scope, query: Ask) -> list[Feature]:
    def ask(expr: str) -> dict[str, float]:
        samples = query(f"sum by ({FEATURE.label}) ({expr})", scope.end)
        return {sample.labels.get(FEATURE.label, ""): sample.value for sample in samples}

    calls = ask(_count(scope, _FINISHED))
    failed = ask(_count(scope, _NOT_ANSWERED))
    cost = ask(_increase(scope, CALL_COST.prometheus))
    found = [
        Feature(name=name, calls=count, failed=failed.get(name, 0.0), cost=cost.get(name, 0.0))
        for name, count in calls.items()
        if count > 0
    ]
    return sorted(found, key=lambda feature: (-feature.failed, -feature.calls))[:_FEATURES]


def _count(scope: Scope, condition: str) -> str:
    return _increase(scope, f"{CALL_DURATION.prometheus}_count", condition)


def _increase(scope: Scope, metric: str, *conditions: str) -> str:
    """Exact growth within the window, from the first event on."""
    matchers = list(conditions)
    if scope.services:
        matchers.append(f"job=~{_one_of(scope.services)}")
    if scope.environment:
        matchers.append(f"{ENVIRONMENT}={_quoted(scope.environment)}")
    return f"increase({metric}{{{','.join(matchers)}}}[{_seconds(scope):.0f}s] anchored)"


def _seconds(scope: Scope) -> float:
    return max(1.0, round(scope.length.total_seconds()))


# --- Loki ------------------------------------------------------------------------------------------------------------


def _calls(scope: Scope, loki: Loki) -> Calls:
    found = Calls()
    users: set[str] = set()
    users_failed: set[str] = set()
    slowest: list[tuple[float, int, Call]] = []
    dearest: list[tuple[float, int, Call]] = []
    failures: dict[str, tuple[int, Call]] = {}
    for entry in _entries(scope, loki, found):
        call = _call(entry)
        user = entry.labels.get(USER_HASH.label)
        users |= {user} if user else set()
        found.anonymous += not user
        if call.outcome in _LOST:
            users_failed |= {user} if user else set()
            found.lost += call.cost or 0.0
            found.lost_estimated += _number(entry, ESTIMATED_COST.label) or 0.0
            kind = call.error or call.outcome
            failures[kind] = (failures[kind][0] + 1 if kind in failures else 1, call)  # read backwards: the first stays
        for heap, value in ((slowest, call.seconds), (dearest, call.cost)):
            if value is not None:
                (heapq.heappush if len(heap) < _WORST else heapq.heappushpop)(heap, (value, found.read, call))
    found.users, found.users_failed = len(users), len(users_failed)
    found.slowest = [call for _, _, call in sorted(slowest, reverse=True)]
    found.dearest = [call for _, _, call in sorted(dearest, reverse=True)]
    found.failures = sorted(failures.values(), key=lambda item: -item[0])[:_WORST]
    return found


def _entries(scope: Scope, loki: Loki, found: Calls) -> Iterator[Entry]:
    """The newest calls; notes in ``found`` how many were read and whether that was all."""
    wanted = (FEATURE, REQUEST_MODEL, OUTCOME, ERROR_TYPE, DURATION, COST, ESTIMATED_COST, USER_HASH)
    stream = f"service_name=~{_one_of(scope.services) if scope.services else _quoted('.+')}"
    if scope.environment:
        stream += f", {ENVIRONMENT}={_quoted(scope.environment)}"
    fields = ", ".join(("service_name", "trace_id", *(attribute.label for attribute in wanted)))
    query = f'{{{stream}}} | {EVENT_NAME.label}="{CALL_EVENT}" | keep {fields}'
    deadline = time.monotonic() + PART_TIMEOUT_S
    for entry in islice(loki.newest_first(query, start=scope.start, end=scope.end), MOST_CALLS + 1):
        if found.read == MOST_CALLS or time.monotonic() > deadline:
            found.complete = False
            return
        found.read += 1
        yield entry


def _call(entry: Entry) -> Call:
    labels = entry.labels
    return Call(
        at=entry.time,
        service=labels.get("service_name", ""),
        feature=labels.get(FEATURE.label, ""),
        model=labels.get(REQUEST_MODEL.label, ""),
        outcome=labels.get(OUTCOME.label, ""),
        error=labels.get(ERROR_TYPE.label, ""),
        seconds=_number(entry, DURATION.label),
        cost=_number(entry, COST.label),
        trace_id=labels.get("trace_id", ""),
    )


def _number(entry: Entry, label: str) -> float | None:
    try:
        value = float(entry.labels.get(label, "nan"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _one_of(names: tuple[str, ...]) -> str:
    return _quoted("|".join(map(re.escape, names)))


def _quoted(text: str) -> str:
    """A text in PromQL and LogQL, which read it as JSON does."""
    return json.dumps(text, ensure_ascii=False)
