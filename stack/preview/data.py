"""Asks the stores a dashboard's queries."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from genai_observability.signals import CALL_DURATION

from stack.clients import Loki, Prometheus
from stack.dashboards import PanelQuery, Window, queries

Point = tuple[datetime, float]

_POINTS = 150
"""Points of a graph: about one every four pixels."""

_AT_ONCE = 4
"""Queries that wait for their answer at the same time: as many as a small machine answers side by side."""

_SHORTEST_STEP = timedelta(seconds=5)
"""How often applications export their metrics."""


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


def collect(
    dashboard: dict[str, Any], *, start: datetime, end: datetime, prometheus: Prometheus, loki: Loki
) -> dict[int, list[Frame]]:
    """The answers to all queries of a dashboard, by the id of their panel.

    Raises:
        StoreError: a store is not reachable or refuses a query.
    """
    window = Window(end - start, step=_step(end - start))
    asked = queries(dashboard, window)
    answers: dict[int, list[Frame]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as several:
        for query, frames in zip(
            asked, several.map(lambda each: _ask(each, end, prometheus, loki), asked), strict=True
        ):
            answers.setdefault(query.panel_id, []).extend(frames)
    return answers


def first_call(prometheus: Prometheus, *, start: datetime, end: datetime) -> datetime | None:
    """When, within a time range, the first model call was counted.

    Raises:
        StoreError: Prometheus is not reachable.
    """
    found = prometheus.query_range(
        f"sum({CALL_DURATION.prometheus}_count)", start=start, end=end, step=_step(end - start)
    )
    return found[0].points[0][0] if found else None


def _ask(query: PanelQuery, end: datetime, prometheus: Prometheus, loki: Loki) -> list[Frame]:
    start = end - query.length
    if query.instant:
        samples = (prometheus if query.store == "prometheus" else loki).query(query.expr, at=end)
        return [_frame(query, sample.labels, [(end, sample.value)]) for sample in samples]
    if query.store == "loki":
        entries = loki.entries(query.expr, start=start, end=end, limit=query.newest)
        return [_frame(query, entry.labels, []) for entry in entries]
    series = prometheus.query_range(query.expr, start=start, end=end, step=query.step)
    return [_frame(query, item.labels, item.points) for item in series if item.points]


def _frame(query: PanelQuery, labels: dict[str, str], points: list[Point]) -> Frame:
    name = re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), query.legend)
    return Frame(query.ref, name, labels, points)


def _step(length: timedelta) -> timedelta:
    """Whole seconds."""
    return max(_SHORTEST_STEP, timedelta(seconds=round(length.total_seconds() / _POINTS)))
