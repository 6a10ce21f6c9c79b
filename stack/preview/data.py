"""Asks the stores a dashboard's queries."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from genai_observability.signals import CALL_DURATION

from stack.clients import Prometheus
from stack.dashboards import Frame, Stores, Window, ask, queries
from stack.vocabulary import selector

_POINTS = 150
"""Points of a graph: about one every four pixels."""

_AT_ONCE = 4
"""Queries that wait for their answer at the same time: as many as a small machine answers side by side."""

_SHORTEST_STEP = timedelta(seconds=5)
"""How often applications export their metrics."""


def collect(dashboard: dict[str, Any], *, start: datetime, end: datetime, stores: Stores) -> dict[int, list[Frame]]:
    """The answers to all queries of a dashboard, by the id of their panel.

    Raises:
        StoreError: a store is not reachable or refuses a query.
    """
    window = Window(end - start, step=_step(end - start))
    asked = queries(dashboard, window)
    answers: dict[int, list[Frame]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as several:
        found = several.map(lambda each: ask(each, end=end, stores=stores), asked)
        for query, frames in zip(asked, found, strict=True):
            answers.setdefault(query.panel_id, []).extend(frames)
    return answers


def first_call(prometheus: Prometheus, *, start: datetime, end: datetime) -> datetime | None:
    """When, within a time range, the first model call was counted.

    Raises:
        StoreError: Prometheus is not reachable.
    """
    calls = selector(CALL_DURATION, part="count")
    found = prometheus.query_range(f"sum({calls})", start=start, end=end, step=_step(end - start))
    return found[0].points[0][0] if found else None


def _step(length: timedelta) -> timedelta:
    """Whole seconds."""
    return max(_SHORTEST_STEP, timedelta(seconds=round(length.total_seconds() / _POINTS)))
