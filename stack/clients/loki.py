"""Client of Loki's query API (https://grafana.com/docs/loki/latest/reference/loki-http-api/)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from stack.clients._http import TIMEOUT_S, Http, StoreError
from stack.clients._results import Alert, Sample, Series, alerts, samples, series

_PAGE = 5000
"""Loki's own limit of lines an answer (``max_entries_limit_per_query``)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A log line; ``labels`` are its index labels together with its structured metadata."""

    time: datetime
    line: str
    labels: dict[str, str]


class Loki:
    """The log store at ``url``; no answer within ``timeout`` seconds is an error."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_S) -> None:
        self._http = Http("Loki", url, timeout)

    def query(self, logql: str, *, at: datetime | None = None) -> list[Sample]:
        """The value of a metric query now, or at a time.

        Raises:
            StoreError: Loki is not reachable or refuses the query.
        """
        when = {} if at is None else {"time": _nanoseconds(at)}
        return samples(self._data("/loki/api/v1/query", logql, **when))

    def query_range(self, logql: str, *, start: datetime, end: datetime, step: timedelta) -> list[Series]:
        """The values of a metric query from ``start`` to ``end``, one every ``step``.

        Raises:
            StoreError: Loki is not reachable or refuses the query.
        """
        window = {"start": _nanoseconds(start), "end": _nanoseconds(end), "step": step.total_seconds()}
        return series(self._data("/loki/api/v1/query_range", logql, **window))

    def alerts(self) -> list[Alert]:
        """Every alert of its ruler that is pending or firing now.

        Raises:
            StoreError: Loki is not reachable, or has no ruler.
        """
        return alerts(self._data("/prometheus/api/v1/alerts", "ALERTS"))

    def entries(self, logql: str, *, start: datetime, end: datetime, limit: int | None = 1000) -> list[Entry]:
        """The lines of a log query from ``start`` up to ``end``, newest first; all of them where ``limit`` is None.

        Raises:
            StoreError: Loki is not reachable or refuses the query.
        """
        return list(islice(self.newest_first(logql, start=start, end=end), limit))

    def newest_first(self, logql: str, *, start: datetime, end: datetime) -> Iterator[Entry]:
        """The same lines one after the other, where they are too many to be held at once.

        Raises:
            StoreError: while they are read.
        """
        return self._newest_first(logql, _nanoseconds(start), _nanoseconds(end))

    def _newest_first(self, logql: str, start: int, end: int) -> Iterator[Entry]:
        """Pages backwards; lines of a page's last nanosecond come again with the next page and are left out there."""
        seen: set[tuple[int, str, str]] = set()
        while True:
            page = self._page(logql, start, end)
            new = [item for item in page if _key(item) not in seen]
            for time, line, labels in new:
                yield Entry(_time(time), line, labels)
            if len(page) < _PAGE:
                return
            if not new:
                raise StoreError(f"Loki holds more than {_PAGE} lines of one nanosecond for `{logql}`.")
            oldest = page[-1][0]
            seen = {_key(item) for item in page if item[0] == oldest}
            end = oldest + 1  # the end is exclusive

    def _page(self, logql: str, start: int, end: int) -> list[tuple[int, str, dict[str, str]]]:
        window: dict[str, str | int] = {"start": start, "end": end, "limit": _PAGE, "direction": "backward"}
        streams = self._data("/loki/api/v1/query_range", logql, **window)["result"]
        lines = [(int(value[0]), value[1], item["stream"]) for item in streams for value in item["values"]]
        return sorted(lines, key=lambda item: item[0], reverse=True)

    def _data(self, path: str, query: str, **params: str | float) -> dict[str, Any]:
        response = self._http.get(path, query=query, **params)
        if not response.is_success:  # Loki gives its reason as plain text
            raise self._http.refused(query, response.text)
        data: dict[str, Any] = self._http.json(response)["data"]
        return data


def _key(item: tuple[int, str, dict[str, str]]) -> tuple[int, str, str]:
    time, line, labels = item
    return time, line, str(sorted(labels.items()))


def _nanoseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000) * 1000


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // 1000 / 1_000_000, UTC)
