"""Asks the stores what panels ask, and gives each value the name that Grafana's legend would."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

from stack.clients import LogStore, Prometheus, Warehouse, log_store
from stack.dashboards import error_lines
from stack.dashboards.queries import PanelQuery
from stack.dashboards.sql import FROM, TO
from stack.settings import Settings
from stack.warehouse import READER, address

Point = tuple[datetime, float]
Cell = str | float | datetime


@dataclass(frozen=True, slots=True)
class Stores:
    """What panels ask."""

    prometheus: Prometheus
    logs: LogStore
    warehouse: Warehouse

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of a stack.

        Raises:
            SettingsError: the password of the warehouse's reader is missing.
        """
        return cls(Prometheus(settings.prometheus_url), log_store(settings), Warehouse(address(settings, READER)))


@dataclass(frozen=True, slots=True)
class Frame:
    """One series of an answer, an instant query's with one point; or one row of a table, in ``row``."""

    ref: str
    name: str
    labels: dict[str, str]
    points: list[Point]
    row: dict[str, Cell] = field(default_factory=dict)

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


def ask(query: PanelQuery, *, end: datetime, stores: Stores) -> list[Frame]:
    """The answer to one query for a time range that ends at ``end``; series without a point are left out.

    Raises:
        StoreError: the store is not reachable or refuses the query.
    """
    start = end - query.length
    if query.store == "warehouse":
        return list(_rows(query, stores.warehouse.rows(in_range(query.expr, start, end)), end))
    if query.store == "loki":
        lines = error_lines.rows(stores.logs, query.lines, start=start, end=end)
        return [Frame(query.ref, "", {}, [], {**line}) for line in lines]
    if query.instant:
        samples = stores.prometheus.query(query.expr, at=end)
        return [_frame(query, sample.labels, [(end, sample.value)]) for sample in samples]
    series = stores.prometheus.query_range(query.expr, start=start, end=end, step=query.step)
    return [_frame(query, item.labels, item.points) for item in series if item.points]


def in_range(sql: str, start: datetime, end: datetime) -> str:
    """The query with the ends of the time range, as Grafana's server puts them in."""
    return sql.replace(FROM, _quoted(start)).replace(TO, _quoted(end))


def _quoted(time: datetime) -> str:
    return f"'{time.astimezone(UTC).isoformat().replace('+00:00', 'Z')}'"


def _rows(query: PanelQuery, rows: list[dict[str, Any]], end: datetime) -> Iterator[Frame]:
    """Rows of a table; for other panels a value for each number, with the row's texts as its name.

    A number that is not alone, or without a text, is also called like its column.
    """
    for row in rows:
        cells = {name: _cell(value) for name, value in row.items() if value is not None}
        if query.rows:
            yield Frame(query.ref, "", {}, [], cells)
            continue
        texts = {name: value for name, value in cells.items() if isinstance(value, str)}
        numbers = {name: value for name, value in cells.items() if isinstance(value, float)}
        alone = sum(not isinstance(value, str) for value in row.values()) == 1
        for name, value in numbers.items():
            words = [*texts.values(), *([] if alone else [name])]
            yield Frame(query.ref, " ".join(words), texts, [(end, value)])


def _cell(value: object) -> Cell:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return float(value)
    return value if isinstance(value, datetime) else str(value)


def _frame(query: PanelQuery, labels: Mapping[str, str], points: list[Point]) -> Frame:
    name = re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), query.legend)
    return Frame(query.ref, name, dict(labels), points)
