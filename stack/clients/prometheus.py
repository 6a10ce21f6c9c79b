"""Client of Prometheus' query API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

from datetime import datetime, timedelta
from typing import Any

from stack.clients._http import TIMEOUT_S, Http
from stack.clients._results import Alert, Sample, Series, alerts, samples, series


class Prometheus:
    """The metrics store at ``url``; no answer within ``timeout`` seconds is an error."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_S) -> None:
        self._http = Http("Prometheus", url, timeout)

    def query(self, expr: str, *, at: datetime | None = None) -> list[Sample]:
        """The value of ``expr`` now, or at a time.

        Raises:
            StoreError: Prometheus is not reachable or refuses the query.
        """
        when = {} if at is None else {"time": at.timestamp()}
        return samples(self._data("/api/v1/query", expr, **when))

    def query_range(self, expr: str, *, start: datetime, end: datetime, step: timedelta) -> list[Series]:
        """The values of ``expr`` from ``start`` to ``end``, one every ``step``.

        Raises:
            StoreError: Prometheus is not reachable or refuses the query.
        """
        window = {"start": start.timestamp(), "end": end.timestamp(), "step": step.total_seconds()}
        return series(self._data("/api/v1/query_range", expr, **window))

    def alerts(self) -> list[Alert]:
        """Every alert that is pending or firing now.

        Raises:
            StoreError: Prometheus is not reachable.
        """
        return alerts(self._data("/api/v1/alerts", "ALERTS"))

    def _data(self, path: str, query: str, **params: float) -> dict[str, Any]:
        answer = self._http.json(self._http.get(path, query=query, **params))
        if answer["status"] != "success":
            raise self._http.refused(query, answer["error"])
        data: dict[str, Any] = answer["data"]
        return data
