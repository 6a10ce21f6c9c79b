"""Client of Loki's query API (https://grafana.com/docs/loki/latest/reference/loki-http-api/)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from genai_observability.signals import METADATA_PREFIX, attributes

from stack.clients._http import TIMEOUT_S, Http, StoreError
from stack.clients._results import Sample, samples
from stack.clients.logs import CUT, ENVIRONMENT, SERVICE, TRACE_ID, Line, Where, nanoseconds, newest_first

_PAGE = 5000
"""Loki's own limit of lines an answer (``max_entries_limit_per_query``)."""

_STREAM: Final = {SERVICE: "service_name", ENVIRONMENT: "deployment_environment_name"}
"""The fields that Loki has an index of (``otlp_config`` in loki/config.yaml); by one of them a query has to choose."""

_OF_EVERY_RECORD: Final = (
    *_STREAM,
    *("service.namespace", "service.version", "service.instance.id"),
    *("telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version"),
    *("telemetry.distro.name", "telemetry.distro.version"),
    *("scope.name", "scope.version"),
    CUT,
)

_NAMES: Final[Mapping[str, str]] = {
    _label: _name
    for _name in (*_OF_EVERY_RECORD, *(attribute.name for attribute in attributes()))
    for _label in [_name.replace(".", "_")]
}
"""The names of fields, in which Loki writes underscores for dots; one that is not here stays as Loki has it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A log line; ``labels`` are its index labels together with its structured metadata."""

    time: datetime
    line: str
    labels: dict[str, str]


class Loki:
    """The log store at ``url``; no answer within ``timeout`` seconds is an error."""

    name = "Loki"

    def __init__(self, url: str, *, timeout: float = TIMEOUT_S) -> None:
        self._http = Http(self.name, url, timeout)

    def answers(self) -> bool:
        """Whether the store is there."""
        try:
            return self._http.get("/ready").is_success
        except StoreError:
            return False

    def lines(self, *where: Where, start: datetime, end: datetime) -> Iterator[Line]:
        """Every record that meets all conditions, newest first, however many there are.

        Raises:
            StoreError: while they are read.
        """
        found = self._newest_first(logql(*where), start, end)
        return (Line(line.nanoseconds, line.body, _named(line.fields)) for line in found)

    def count(self, *where: Where, start: datetime, end: datetime) -> int:
        """The number of records that meet all conditions.

        Raises:
            StoreError: Loki is not reachable or refuses the query.
        """
        return self.count_by((), *where, start=start, end=end).get((), 0)

    def count_by(
        self, fields: Sequence[str], *where: Where, start: datetime, end: datetime
    ) -> dict[tuple[str, ...], int]:
        """The same by the values of fields; a field that records lack has the value "".

        Loki counts in whole milliseconds: where the range is none, it counts from up to one before its start.

        Raises:
            StoreError: Loki is not reachable or refuses the query.
        """
        labels = [label(field) for field in fields]
        milliseconds = -(-(end - start) // timedelta(milliseconds=1))
        query = f"sum by ({', '.join(labels)}) (count_over_time({logql(*where)} [{milliseconds}ms]))"
        # A range of Loki lacks its first moment and has its last.
        found = samples(self._data("/loki/api/v1/query", query, time=nanoseconds(end) - 1))
        return {tuple(each.labels.get(label, "") for label in labels): int(each.value) for each in found}

    def trace(self, trace_id: str, *, start: datetime, end: datetime) -> list[Line]:
        """The records of a trace, oldest first.

        Raises:
            StoreError: Loki is not reachable or refuses the query.
        """
        return list(self.lines(Where(TRACE_ID, "=", trace_id), start=start, end=end))[::-1]

    def query(self, logql: str, *, at: datetime | None = None) -> list[Sample]:
        """The value of a metric query now, or at a time.

        Raises:
            StoreError: Loki is not reachable or refuses the query.
        """
        when = {} if at is None else {"time": nanoseconds(at)}
        return samples(self._data("/loki/api/v1/query", logql, **when))

    def entries(self, logql: str, *, start: datetime, end: datetime, limit: int | None = 1000) -> list[Entry]:
        """The lines of a log query from ``start`` up to ``end``, newest first; all of them where ``limit`` is None.

        Raises:
            StoreError: Loki is not reachable or refuses the query.
        """
        found = islice(self._newest_first(logql, start, end), limit)
        return [Entry(line.time, line.body, line.fields) for line in found]

    def _newest_first(self, query: str, start: datetime, end: datetime) -> Iterator[Line]:
        def page(before: int) -> list[Line]:
            return self._page(query, nanoseconds(start), before)

        return newest_first(page, end=nanoseconds(end), size=_PAGE, what=f"Loki, for `{query}`,")

    def _page(self, query: str, start: int, end: int) -> list[Line]:
        window: dict[str, str | int] = {"start": start, "end": end, "limit": _PAGE, "direction": "backward"}
        streams = self._data("/loki/api/v1/query_range", query, **window)["result"]
        lines = [Line(int(value[0]), value[1], item["stream"]) for item in streams for value in item["values"]]
        return sorted(lines, key=lambda line: line.nanoseconds, reverse=True)

    def _data(self, path: str, query: str, **params: str | float) -> dict[str, Any]:
        response = self._http.get(path, query=query, **params)
        if not response.is_success:  # Loki gives its reason as plain text
            raise self._http.refused(query, response.text)
        data: dict[str, Any] = self._http.json(response)["data"]
        return data


def logql(*where: Where) -> str:
    """The selector of records that meet all conditions."""
    matchers = [_condition(each) for each in where if each.field in _STREAM]
    filters = [_condition(each) for each in where if each.field not in _STREAM]
    stream = ", ".join(matchers) or f'{_STREAM[SERVICE]}=~".+"'
    return " | ".join([f"{{{stream}}}", *filters])


def label(field: str) -> str:
    """The name that Loki gives a field."""
    return field.replace(".", "_")


def _condition(where: Where) -> str:
    return f"{label(where.field)}{where.operator}{json.dumps(where.value, ensure_ascii=False)}"


def _named(labels: Mapping[str, str]) -> dict[str, str]:
    return {_name(label): value for label, value in labels.items()}


def _name(label: str) -> str:
    metadata = METADATA_PREFIX.replace(".", "_")
    if label.startswith(metadata):
        return METADATA_PREFIX + label.removeprefix(metadata)
    return _NAMES.get(label, label)
