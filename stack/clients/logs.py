"""What the stack asks of a log store, whichever is there: Loki in containers, VictoriaLogs natively.

Both are described a question by the same few conditions, from which each client makes its own language, so that no text
in one language is ever translated into another. Fields have the names that OpenTelemetry gives them, in both.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from stack.clients._http import StoreError

SERVICE = "service.name"
ENVIRONMENT = "deployment.environment.name"
"""With the service what both stores keep lines apart by: every line has them."""
TRACE_ID = "trace_id"
SPAN_ID = "span_id"
SEVERITY = "severity_text"
CUT = "genai_observability.cut"
"""``true`` where the Collector has cut a record (collector/config.yaml)."""


@dataclass(frozen=True, slots=True)
class Line:
    """A log record. All values are text, as both stores return them; what is empty is not there."""

    nanoseconds: int
    """Its time, since 1970 in UTC."""
    body: str
    fields: dict[str, str]
    """Attributes of the record and of its resource, and what OTLP itself gives a record."""

    @property
    def time(self) -> datetime:
        """The same time, to the microsecond."""
        return datetime.fromtimestamp(self.nanoseconds // 1000 / 1_000_000, UTC)


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on a field. One that a record lacks is empty; a regular expression has to match the whole value."""

    field: str
    operator: Literal["=", "!=", "=~", "!~"]
    value: str


class LogStore(Protocol):
    """A store of log records. Each time range begins with ``start`` and ends before ``end``."""

    name: str
    """What the store is called."""

    def answers(self) -> bool:
        """Whether the store is there."""

    def lines(self, *where: Where, start: datetime, end: datetime) -> Iterator[Line]:
        """Every record that meets all conditions, newest first, however many there are.

        Raises:
            StoreError: while they are read.
        """

    def count(self, *where: Where, start: datetime, end: datetime) -> int:
        """The number of records that meet all conditions.

        Raises:
            StoreError: the store cannot be asked.
        """

    def count_by(
        self, fields: Sequence[str], *where: Where, start: datetime, end: datetime
    ) -> dict[tuple[str, ...], int]:
        """The same by the values of fields; a field that records lack has the value "".

        Raises:
            StoreError: the store cannot be asked.
        """

    def trace(self, trace_id: str, *, start: datetime, end: datetime) -> list[Line]:
        """The records of a trace, oldest first.

        Raises:
            StoreError: the store cannot be asked.
        """


def newest_first(page: Callable[[int], list[Line]], *, end: int, size: int, what: str) -> Iterator[Line]:
    """All records before ``end``, in nanoseconds, of a store that gives the newest ``size`` of them at a time.

    ``page`` gives those before a time, newest first. Those of a page's last nanosecond come again with the next page
    and are left out there.

    Raises:
        StoreError: more than ``size`` records have the same nanosecond; ``what`` says where.
    """
    known: Counter[tuple[str, str]] = Counter()
    while True:
        lines = page(end)
        new = []
        for line in lines:
            key = _key(line)
            if line.nanoseconds == end - 1 and known[key]:
                known[key] -= 1
            else:
                new.append(line)
        yield from new
        if len(lines) < size:
            return
        if not new:
            raise StoreError(f"{what} holds more than {size} lines of one nanosecond.")
        oldest = lines[-1].nanoseconds
        known = Counter(_key(line) for line in lines if line.nanoseconds == oldest)
        end = oldest + 1


def nanoseconds(time: datetime) -> int:
    """Since 1970, of a time that knows its zone."""
    return round(time.timestamp() * 1_000_000) * 1000


def _key(line: Line) -> tuple[str, str]:
    return line.body, str(sorted(line.fields.items()))
