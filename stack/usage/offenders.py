"""Measures the offenders of stack/offenders.py in the warehouse, and offers them as gauges.

What is above a limit comes from stack/thresholds.yaml, as for the rules that compare the gauges with it
(stack/rules/requests.py): series of harmless calls would come and go all day long, and use up the new ones of the day.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import asyncpg
from genai_observability.signals import Metric
from prometheus_client import Counter, Gauge

from stack.offenders import CALL, LOOP, SAME, TRACE, USER_CALLS, USER_MONEY, USER_TOKENS
from stack.settings import Settings
from stack.thresholds import Thresholds
from stack.usage.columns import CALLS
from stack.usage.metrics import Metrics
from stack.usage.service import CONNECT_S, FAILURES, Connection
from stack.warehouse import INGEST, address

MOST: Final = 10
"""Series of a kind at a time."""
NEW_A_DAY: Final = 200
"""Series of a kind that may be new within 24 hours, as Prometheus keeps each for as long as all others. Counted in
memory: a restart begins anew."""
TIMEOUT_S: Final = 10.0
"""A measurement that takes longer is given up: most take milliseconds, and writes need the machine, too."""

_OF_SERVICE: Final = {"service": "job", "environment": "deployment_environment_name"}
"""Columns, and the labels that Prometheus gives to the metrics of applications."""
_UNNAMED: Final = "unknown_service"
"""What OpenTelemetry calls a service without a name."""
_COLUMNS: Final = {column.signal: column.name for column in CALLS.columns} | {TRACE: TRACE.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a gauge is measured."""

    gauge: Metric
    window: str
    where: str
    value: str
    """SQL, over the calls of the window: what counts, and how much that is."""
    worst_of_feature: bool = False
    """Whether there is one a feature, as further ones would say nothing new."""
    limit: Callable[[Thresholds], float]
    every: float
    """Seconds from one measurement to the next."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What tells one offender from another."""
        return (*_OF_SERVICE, *(_COLUMNS[label] for label in self.gauge.labels))

    @property
    def labels(self) -> tuple[str, ...]:
        """The same as labels of the gauge."""
        return (*_OF_SERVICE.values(), *(label.label for label in self.gauge.labels))

    @property
    def sql(self) -> str:
        """The offenders, the worst first, with their ``value``; ``$1`` is the limit."""
        columns = ", ".join(self.columns)
        found = (
            f"SELECT {columns}, {self.value} AS value FROM calls WHERE {self._when} AND {self.where} "
            f"GROUP BY {columns} HAVING {self.value} > $1::numeric"
        )
        if self.worst_of_feature:
            feature = "service, environment, feature"
            found = f"SELECT DISTINCT ON ({feature}) * FROM ({found}) AS found ORDER BY {feature}, value DESC"
        return f"SELECT * FROM ({found}) AS worst ORDER BY value DESC LIMIT {MOST}"

    @property
    def _when(self) -> str:
        return f"ended_at > now() - interval '{self.window}' AND ended_at <= now()"


_BY_A_USER: Final = "user_hash IS NOT NULL"
_DEAR: Final = """
    user_hash IN (
        SELECT user_hash FROM users WHERE user_key IN (
            SELECT user_key FROM sums_by_user_day WHERE day >= date_trunc('day', now() - interval '1 day', 'UTC')
            GROUP BY user_key HAVING sum(cost) > $1::numeric
        )
    )
"""
"""A rolling day lies within two days of the sums: who is not above the limit in those is not above it here."""
_ASKED: Final = f"{_BY_A_USER} AND operation IS DISTINCT FROM 'embeddings'"

KINDS: Final = (
    Kind(
        gauge=CALL,
        window="5 minutes",
        where="cost > $1::numeric",
        value="max(cost)",
        worst_of_feature=True,
        limit=lambda thresholds: thresholds.expensive_request.warning.above,
        every=15,
    ),
    Kind(
        gauge=LOOP,
        window="5 minutes",
        where="trace_id IS NOT NULL",
        value="count(*)",
        worst_of_feature=True,
        limit=lambda thresholds: thresholds.calls_a_trace.warning.above,
        every=15,
    ),
    Kind(
        gauge=SAME,
        window="2 minutes",
        where=f"{_ASKED} AND input_tokens > 0",
        value="count(*)",
        worst_of_feature=True,
        limit=lambda thresholds: thresholds.duplicate_requests.warning.above,
        every=15,
    ),
    Kind(
        gauge=USER_CALLS,
        window="5 minutes",
        where=_ASKED,
        value="count(*)",
        limit=lambda thresholds: 5 * thresholds.user_limits.requests_a_minute,
        every=15,
    ),
    Kind(
        gauge=USER_TOKENS,
        window="1 hour",
        where=_BY_A_USER,
        value="sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))",
        limit=lambda thresholds: thresholds.user_limits.tokens_an_hour,
        every=60,
    ),
    Kind(
        gauge=USER_MONEY,
        window="1 day",
        where=_DEAR,
        value="sum(cost)",
        limit=lambda thresholds: thresholds.user_limits.usd_a_day,
        every=120,
    ),
)

Offender = tuple[tuple[str, ...], float]
"""The values of the labels, and that of the gauge."""


@dataclass(slots=True)
class Admission:
    """Lets so many series of a kind be new within a day; those that were let in keep their places."""

    most: int
    _since: dict[tuple[str, ...], float] = field(default_factory=dict)

    def admit(self, found: Sequence[Offender], now: float) -> tuple[list[Offender], int]:
        """Those that become series, of ``found``, the worst first; and how many of them are new."""
        live = {labels for labels, _ in found}
        day_ago = now - 86_400
        self._since = {labels: since for labels, since in self._since.items() if since > day_ago or labels in live}
        left = self.most - sum(since > day_ago for since in self._since.values())
        new = [labels for labels, _ in found if labels not in self._since][: max(left, 0)]
        self._since |= dict.fromkeys(new, now)
        return [each for each in found if each[0] in self._since], len(new)


class Offenders:
    """Measures every kind at its pace, on a connection of its own: no write waits for it."""

    def __init__(
        self, settings: Settings, metrics: Metrics, thresholds: Thresholds, *, new_a_day: int = NEW_A_DAY
    ) -> None:
        self._address = address(settings, INGEST)
        self._limits = {kind: Decimal(str(kind.limit(thresholds))) for kind in KINDS}
        self._admissions = {kind: Admission(new_a_day) for kind in KINDS}
        self._connection: Connection | None = None
        registry = metrics.registry
        self._gauges = {
            kind: Gauge(kind.gauge.prometheus, kind.gauge.meaning, kind.labels, registry=registry) for kind in KINDS
        }
        self._measured = Gauge(
            "usage_offenders_measured_timestamp_seconds", "When it was measured last.", ["gauge"], registry=registry
        )
        self._new = Counter("usage_offenders_new", "Offenders that became a new series.", ["gauge"], registry=registry)
        self._left_out = Counter(
            "usage_offenders_left_out",
            "Offenders, at each measurement, that are no series: too many were new within a day.",
            ["gauge"],
            registry=registry,
        )
        self._failed = Counter(
            "usage_offenders_failed", "Measurements that failed or took too long.", ["gauge"], registry=registry
        )
        for kind in KINDS:  # there from the start, so that the first event is seen as growth
            self._measured.labels(kind.gauge.prometheus).set_to_current_time()
            for counter in (self._new, self._left_out, self._failed):
                counter.labels(kind.gauge.prometheus)

    async def watch(self) -> None:
        """Measures until it is cancelled."""
        due = dict.fromkeys(KINDS, 0.0)
        while True:
            for kind in KINDS:
                if due[kind] <= time.monotonic():
                    due[kind] = time.monotonic() + kind.every
                    await self.measure(kind)
            await asyncio.sleep(max(min(due.values()) - time.monotonic(), 0.1))

    async def measure(self, kind: Kind) -> None:
        """Sets the series of a gauge. Where that fails there are none, rather than old ones."""
        name = kind.gauge.prometheus
        try:
            async with asyncio.timeout(CONNECT_S + 2 * TIMEOUT_S):  # the server itself ends a query sooner
                connection = await self._connected()
                rows = await connection.fetch(kind.sql, self._limits[kind])
        except FAILURES:  # why, those say who write
            await self.close()
            self._failed.labels(name).inc()
            self._gauges[kind].clear()
            return
        shown, new = self._admissions[kind].admit([*_offenders(kind, rows)], time.time())
        self._gauges[kind].clear()
        for labels, value in shown:
            self._gauges[kind].labels(*labels).set(value)
        self._new.labels(name).inc(new)
        self._left_out.labels(name).inc(len(rows) - len(shown))
        self._measured.labels(name).set_to_current_time()

    async def close(self) -> None:
        """Closes the connection."""
        if self._connection:
            self._connection.terminate()
            self._connection = None

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            settings = {"statement_timeout": f"{TIMEOUT_S:.0f}s", "application_name": "genai_offenders"}
            self._connection = await asyncpg.connect(self._address, timeout=CONNECT_S, server_settings=settings)
        return self._connection


def _offenders(kind: Kind, rows: Sequence[asyncpg.Record]) -> Iterator[Offender]:
    for row in rows:
        yield tuple(_text(column, row[column]) for column in kind.columns), float(row["value"])


def _text(column: str, value: object) -> str:
    if value is None:
        return _UNNAMED if column == "service" else ""
    return str(value)
