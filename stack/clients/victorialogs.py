"""Client of VictoriaLogs' query API (https://docs.victoriametrics.com/victorialogs/querying/)."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from stack.clients._http import TIMEOUT_S, Http, StoreError
from stack.clients.logs import TRACE_ID, Line, Where, nanoseconds, newest_first

_PAGE = 5000
"""Lines an answer: the store sorts and holds no more of them at once."""

_COUNT = "records"
"""What the number of records is called in answers."""


class VictoriaLogs:
    """The log store at ``url``; no answer within ``timeout`` seconds is an error."""

    name = "VictoriaLogs"

    def __init__(self, url: str, *, timeout: float = TIMEOUT_S) -> None:
        self._http = Http(self.name, url, timeout)

    def answers(self) -> bool:
        """Whether the store is there."""
        try:
            return self._http.get("/health").is_success
        except StoreError:
            return False

    def lines(self, *where: Where, start: datetime, end: datetime) -> Iterator[Line]:
        """Every record that meets all conditions, newest first, however many there are.

        Raises:
            StoreError: while they are read.
        """
        # The name of a stream would keep the lines of a new one back for seconds, until the store's index has it.
        query = f"{logsql(*where)} | delete _stream, _stream_id"

        def page(before: int) -> list[Line]:
            found = self._objects(query, start=nanoseconds(start), end=before, limit=_PAGE)
            return sorted(map(_line, found), key=lambda line: line.nanoseconds, reverse=True)

        return newest_first(page, end=nanoseconds(end), size=_PAGE, what=f"{self.name}, for `{query}`,")

    def count(self, *where: Where, start: datetime, end: datetime) -> int:
        """The number of records that meet all conditions.

        Raises:
            StoreError: VictoriaLogs is not reachable or refuses the query.
        """
        return self.count_by((), *where, start=start, end=end)[()]

    def count_by(
        self, fields: Sequence[str], *where: Where, start: datetime, end: datetime
    ) -> dict[tuple[str, ...], int]:
        """The same by the values of fields; a field that records lack has the value "".

        Raises:
            StoreError: VictoriaLogs is not reachable or refuses the query.
        """
        query = f"{logsql(*where)} | stats by ({', '.join(map(_quoted, fields))}) count() as {_COUNT}"
        found = self._objects(query, start=nanoseconds(start), end=nanoseconds(end))
        return {tuple(item.get(field, "") for field in fields): int(item[_COUNT]) for item in found}

    def trace(self, trace_id: str, *, start: datetime, end: datetime) -> list[Line]:
        """The records of a trace, oldest first.

        Raises:
            StoreError: VictoriaLogs is not reachable or refuses the query.
        """
        return list(self.lines(Where(TRACE_ID, "=", trace_id), start=start, end=end))[::-1]

    def _objects(self, query: str, **params: int) -> list[dict[str, str]]:
        response = self._http.get("/select/logsql/query", query=query, **params)
        if not response.is_success:
            raise self._http.refused(query, response.text)
        try:
            return [json.loads(line) for line in response.content.split(b"\n") if line]
        except ValueError as error:
            # An error that it meets after the first lines stands behind them.
            raise self._http.refused(query, response.text[-1000:]) from error


def logsql(*where: Where) -> str:
    """The filter of records that meet all conditions."""
    return " ".join(map(_filter, where)) or "*"


def _filter(where: Where) -> str:
    regular = where.operator.endswith("~")
    # Its own regular expressions match a part of a value.
    value = _quoted(f"^(?:{where.value})$" if regular else where.value)
    sign = "!" if where.operator.startswith("!") else ""
    return f"{sign}{_quoted(where.field)}:{'~' if regular else '='}{value}"


def _quoted(text: str) -> str:
    """As Go, in which the store is written, reads it: JSON's way is one of its own."""
    return json.dumps(text, ensure_ascii=False)


def _line(found: dict[str, Any]) -> Line:
    time = _nanoseconds(found.pop("_time"))
    body = found.pop("_msg", "")
    return Line(time, body, found)


def _nanoseconds(text: str) -> int:
    """Of a time like 2026-12-01T00:56:24.123456789Z, of which `datetime` would lose the last three digits."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 10**9 + int(fraction.ljust(9, "0"))
