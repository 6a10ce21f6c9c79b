"""Asks the stores what panels ask, and gives each series the name that Grafana's legend would."""

import re
from dataclasses import dataclass
from datetime import datetime

from stack.clients import LogStore, Loki, Prometheus, StoreError
from stack.dashboards.queries import PanelQuery

Point = tuple[datetime, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """One series of an answer: an instant query's has one point, a log line none, only labels."""

    ref: str
    name: str
    labels: dict[str, str]
    points: list[Point]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


def ask(query: PanelQuery, *, end: datetime, prometheus: Prometheus, logs: LogStore) -> list[Frame]:
    """The answer to one query for a time range that ends at ``end``; series without a point are left out.

    Raises:
        StoreError: the store is not reachable or refuses the query, or it is in LogQL and the store does not speak it.
    """
    start = end - query.length
    if query.records:
        found = query.records.answer(logs, start=start, end=end)
        return [_frame(query, labels, [] if number is None else [(end, number)]) for labels, number in found]
    if query.store == "prometheus" and not query.instant:
        series = prometheus.query_range(query.expr, start=start, end=end, step=query.step)
        return [_frame(query, item.labels, item.points) for item in series if item.points]
    if query.store == "prometheus":
        return _samples(query, prometheus, end)
    if not isinstance(logs, Loki):
        raise StoreError(f"The panel {query.panel!r} asks for LogQL, which {logs.name} does not speak.")
    if query.instant:
        return _samples(query, logs, end)
    entries = logs.entries(query.expr, start=start, end=end, limit=query.newest)
    return [_frame(query, entry.labels, []) for entry in entries]


def _samples(query: PanelQuery, store: Prometheus | Loki, end: datetime) -> list[Frame]:
    return [_frame(query, sample.labels, [(end, sample.value)]) for sample in store.query(query.expr, at=end)]


def _frame(query: PanelQuery, labels: dict[str, str], points: list[Point]) -> Frame:
    name = re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), query.legend)
    return Frame(query.ref, name, labels, points)
