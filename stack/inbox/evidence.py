"""What the stores know of a window of time: figures, features, users, money and the worst calls.

How calls went comes from Prometheus, who and what they were, and their money, from the warehouse. Neither has to
answer: each part is there, or a sentence says why it is not.
"""

import json
import math
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from genai_observability import signals
from genai_observability.signals import CALL_DURATION, CALL_TOKENS, OUTCOME, Metric

from stack.clients import Prometheus, Sample, StoreError, Warehouse
from stack.inbox.incident import ENVIRONMENT
from stack.settings import SettingsError
from stack.vocabulary import over

QUERY_TIMEOUT_S: Final = 10.0
PART_TIMEOUT_S: Final = 20.0
"""For all queries of one store together."""
BEFORE: Final = timedelta(hours=24)
_WORST = 5
_FEATURES = 10

# As in the alerts: refusals by a rate limit are a share of their own; cancelled calls are in none.
_FINISHED = f'{OUTCOME.label}!="cancelled"'
_SUCCEEDED = f'{OUTCOME.label}="success"'
_FAILED = f'{OUTCOME.label}=~"error|timeout"'
_RATE_LIMITED = f'{OUTCOME.label}="rate_limited"'
_NOT_ANSWERED = "outcome IN ('error', 'timeout', 'rate_limited')"
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
class Metrics:
    """What Prometheus knows."""

    window: Figures
    before: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """US dollars of the calls of a window."""

    seconds: float
    calls: int
    spent: float

    @property
    def an_hour(self) -> float:
        """By the hour."""
        return self.spent * 3600 / self.seconds

    @property
    def a_call(self) -> float | None:
        """By the call; None without calls."""
        return self.spent / self.calls if self.calls else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What a window did to a feature; without a name, the calls that carry none."""

    name: str
    calls: int
    failed: int
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. No user is in it."""

    at: datetime
    service: str
    feature: str
    model: str
    outcome: str
    error: str
    seconds: float | None
    cost: float | None
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What the warehouse knows, of all calls that it has."""

    window: Money
    before: Money
    features: list[Feature]
    """Those with the most failed calls first."""
    users: int
    users_failed: int
    """Users who had a failed call."""
    anonymous: int
    """Calls without a user."""
    lost: float
    """US dollars spent on failed calls."""
    lost_estimated: float
    """The same where the price is estimated."""
    slowest: list[Call]
    dearest: list[Call]
    failures: list[tuple[int, Call]]
    """Each kind of failure: how often, and the first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Both stores' answers."""

    metrics: Part[Metrics]
    calls: Part[Calls]


class Stores:
    """Who is asked: Prometheus, and the warehouse, whose address is asked for when it is needed."""

    def __init__(self, prometheus: str, warehouse: Callable[[], str]) -> None:
        self._prometheus = Prometheus(prometheus, timeout=QUERY_TIMEOUT_S)
        self._warehouse = warehouse

    def gather(self, scope: Scope) -> Evidence:
        """Ask both, at the same time."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            metrics = pool.submit(_part, lambda: _metrics(scope, self._prometheus))
            calls = pool.submit(_part, lambda: _calls(scope, Warehouse(self._warehouse(), timeout=QUERY_TIMEOUT_S)))
            return Evidence(metrics=metrics.result(), calls=calls.result())


def _part(ask: Callable[[], T]) -> Part[T]:
    try:
        return Part(ask())
    except (StoreError, SettingsError) as error:
        return Part(None, str(error))


# --- Prometheus ------------------------------------------------------------------------------------------------------


Ask = Callable[[str, datetime], list[Sample]]


def _metrics(scope: Scope, prometheus: Prometheus) -> Metrics:
    deadline = time.monotonic() + PART_TIMEOUT_S

    def ask(expr: str, at: datetime) -> list[Sample]:
        if time.monotonic() > deadline:
            raise StoreError(f"Prometheus takes longer than {PART_TIMEOUT_S:.0f} s for this: try a shorter window.")
        return prometheus.query(expr, at=at)

    return Metrics(window=_figures(scope, ask), before=_figures(scope.before(), ask))


def _figures(scope: Scope, query: Ask) -> Figures:
    def ask(expr: str) -> float | None:
        values = [sample.value for sample in query(expr, scope.end)]
        return values[0] if values and math.isfinite(values[0]) else None

    buckets = _increase(scope, CALL_DURATION, "bucket", _SUCCEEDED)
    return Figures(
        seconds=_seconds(scope),
        calls=ask(f"sum({_count(scope, _FINISHED)})") or 0.0,
        failed=ask(f"sum({_count(scope, _FAILED)})") or 0.0,
        rate_limited=ask(f"sum({_count(scope, _RATE_LIMITED)})") or 0.0,
        p95=ask(f"histogram_quantile(0.95, sum by (le) ({buckets}))"),
        tokens=ask(f"sum({_increase(scope, CALL_TOKENS, 'sum')})") or 0.0,
    )


def _count(scope: Scope, condition: str) -> str:
    return _increase(scope, CALL_DURATION, "count", condition)


def _increase(scope: Scope, metric: Metric, part: signals.Part, *conditions: str) -> str:
    """Exact growth within the window, from the first event on."""
    matchers = list(conditions)
    if scope.services:
        matchers.append(f"job=~{_one_of(scope.services)}")
    if scope.environment:
        matchers.append(f"{ENVIRONMENT}={_quoted(scope.environment)}")
    window = f"{_seconds(scope):.0f}s"
    return over(lambda selector: f"increase({selector}[{window}] anchored)", metric, *matchers, part=part)


def _seconds(scope: Scope) -> float:
    return max(1.0, round(scope.length.total_seconds()))


def _one_of(names: tuple[str, ...]) -> str:
    return _quoted("|".join(map(re.escape, names)))


def _quoted(text: str) -> str:
    """A text in PromQL, which reads it as JSON does."""
    return json.dumps(text, ensure_ascii=False)


# --- The warehouse ---------------------------------------------------------------------------------------------------

_SHOWN: Final = """
    ended_at AS at, coalesce(service, '') AS service, coalesce(feature, '') AS feature,
    coalesce(request_model, response_model, '') AS model, outcome, coalesce(error_type, '') AS error,
    duration AS seconds, cost::float8 AS cost, coalesce(trace_id, '') AS trace_id
"""


def _calls(scope: Scope, warehouse: Warehouse) -> Calls:
    deadline = time.monotonic() + PART_TIMEOUT_S

    def ask(sql: str, within: Scope = scope) -> list[dict[str, Any]]:
        """The rows; ``{where}`` are the conditions of the scope but its times, which are ``$1`` and ``$2``."""
        if time.monotonic() > deadline:
            raise StoreError(f"The warehouse takes longer than {PART_TIMEOUT_S:.0f} s for this: try a shorter window.")
        where, values = _chosen(within)
        return warehouse.rows(sql.replace("{where}", where), within.start, within.end, *values)

    (sums,) = ask(f"""
        SELECT coalesce(sum(cost) FILTER (WHERE {_NOT_ANSWERED}), 0)::float8 AS lost,
               coalesce(sum(estimated_cost) FILTER (WHERE {_NOT_ANSWERED}), 0)::float8 AS lost_estimated
        FROM usage_between($1, $2) WHERE {{where}}
    """)
    (users,) = ask("""
        SELECT count(DISTINCT user_key)::int AS users, coalesce(sum(calls), 0)::int AS calls,
               count(DISTINCT user_key) FILTER (WHERE failed > 0)::int AS failed
        FROM users_between($1, $2) WHERE {where}
    """)
    window = _money(scope, ask)
    return Calls(
        window=window,
        before=_money(scope.before(), ask),
        features=_features(ask),
        users=users["users"],
        users_failed=users["failed"],
        anonymous=window.calls - users["calls"],
        **sums,
        slowest=_most(ask, "duration"),
        dearest=_most(ask, "cost"),
        failures=_failures(ask),
    )


def _money(scope: Scope, ask: Callable[..., list[dict[str, Any]]]) -> Money:
    (sums,) = ask(
        """
        SELECT coalesce(sum(calls), 0)::int AS calls, coalesce(sum(cost), 0)::float8 AS spent
        FROM usage_between($1, $2) WHERE {where}
        """,
        scope,
    )
    return Money(seconds=_seconds(scope), **sums)


def _features(ask: Callable[..., list[dict[str, Any]]]) -> list[Feature]:
    rows = ask(f"""
        SELECT coalesce(feature, '') AS name, sum(calls)::int AS calls, coalesce(sum(cost), 0)::float8 AS cost,
               coalesce(sum(calls) FILTER (WHERE {_NOT_ANSWERED}), 0)::int AS failed
        FROM usage_between($1, $2) WHERE {{where}} AND outcome <> 'cancelled'
        GROUP BY feature ORDER BY failed DESC, calls DESC LIMIT {_FEATURES}
    """)
    return [Feature(**row) for row in rows]


def _most(ask: Callable[..., list[dict[str, Any]]], column: str) -> list[Call]:
    rows = ask(f"""
        SELECT {_SHOWN} FROM calls
        WHERE {{where}} AND ended_at >= $1 AND ended_at < $2 AND {column} IS NOT NULL
        ORDER BY {column} DESC LIMIT {_WORST}
    """)
    return [Call(**row) for row in rows]


def _failures(ask: Callable[..., list[dict[str, Any]]]) -> list[tuple[int, Call]]:
    """The kinds from the sums, and of each the first call."""
    rows = ask(f"""
        SELECT many, first.*
        FROM (
            SELECT outcome, error_type, sum(calls)::int AS many FROM usage_between($1, $2)
            WHERE {{where}} AND {_NOT_ANSWERED}
            GROUP BY outcome, error_type ORDER BY many DESC LIMIT {_WORST}
        ) AS kinds, LATERAL (
            SELECT {_SHOWN} FROM calls
            WHERE {{where}} AND ended_at >= $1 AND ended_at < $2 AND outcome <> 'success'
              AND outcome = kinds.outcome AND error_type IS NOT DISTINCT FROM kinds.error_type
            ORDER BY ended_at LIMIT 1
        ) AS first
        ORDER BY many DESC
    """)
    return [(row.pop("many"), Call(**row)) for row in rows]


def _chosen(scope: Scope) -> tuple[str, list[object]]:
    """What is looked at besides its times."""
    conditions, values = ["true"], list[object]()
    for condition, value in (
        ("service = ANY(${})", list(scope.services)),
        ("environment = ${}", scope.environment),
    ):
        if value:
            values.append(value)
            conditions.append(condition.format(len(values) + 2))
    return " AND ".join(conditions), values
