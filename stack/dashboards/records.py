"""What a panel asks the log store: described once, from which Grafana gets LogQL and every client what it speaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal, Self

from genai_observability.signals import EVENT_NAME, Attribute

from stack.clients.logs import ENVIRONMENT, SERVICE, LogStore, Where
from stack.clients.loki import label, logql
from stack.dashboards.expressions import RANGE, call_rows, choices

TIME = "time"
"""The column of a line's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """A question about log records. ``where`` may have variables of the page.

    ``lines`` are the newest ``most`` records, with these fields and their time; ``counts`` the ``most`` largest numbers
    of records by the values of the fields; ``different`` is the number of different values of one field.
    """

    show: Literal["lines", "counts", "different"]
    where: tuple[Where, ...]
    fields: tuple[str, ...]
    most: int = 0

    @classmethod
    def of(cls, found: dict[str, Any]) -> Self:
        """What ``description`` has written."""
        where = tuple(Where(*condition) for condition in found["where"])
        return cls(show=found["show"], where=where, fields=tuple(found["fields"]), most=found["most"])

    def description(self) -> dict[str, Any]:
        """The same as JSON. Grafana keeps what it does not know of a query."""
        where = [[each.field, each.operator, each.value] for each in self.where]
        return {"show": self.show, "where": where, "fields": list(self.fields), "most": self.most}

    @property
    def expr(self) -> str:
        """The same in LogQL."""
        labels = [label(field) for field in self.fields]
        if self.show == "lines":
            return call_rows(logql(*self.where), TIME, *labels)
        counts = f"sum by ({', '.join(labels)}) (count_over_time({logql(*self.where)} [{RANGE}]))"
        return f"count({counts})" if self.show == "different" else f"topk({self.most}, {counts})"

    def answer(self, store: LogStore, *, start: datetime, end: datetime) -> list[tuple[dict[str, str], float | None]]:
        """Labels and numbers, as Grafana gets them from Loki; a line has no number.

        Raises:
            StoreError: the store cannot be asked.
        """
        if self.show == "lines":
            lines = islice(store.lines(*self.where, start=start, end=end), self.most)
            return [
                (_labelled(self.fields, [line.fields.get(field, "") for field in self.fields]) | _time(line.time), None)
                for line in lines
            ]
        counts = store.count_by(self.fields, *self.where, start=start, end=end)
        if self.show == "different":
            return [({}, float(len(counts)))] if counts else []
        largest = sorted(counts.items(), key=lambda item: item[1], reverse=True)[: self.most]
        return [(_labelled(self.fields, values), float(count)) for values, count in largest]


def event(name: str, *where: Where) -> tuple[Where, ...]:
    """The conditions on the records of an event that obey the choices of the page."""
    page = (Where(SERVICE, "=~", "$service"), Where(ENVIRONMENT, "=~", "$environment"))
    chosen = (Where(attribute.name, "=~", f"${variable}") for variable, attribute in choices(name))
    return (*page, Where(EVENT_NAME.name, "=", name), *chosen, *where)


def has(attribute: Attribute) -> Where:
    """The condition that a record has the attribute."""
    return Where(attribute.name, "!=", "")


def _labelled(fields: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    return {label(field): value for field, value in zip(fields, values, strict=True) if value}


def _time(time: datetime) -> dict[str, str]:
    return {TIME: f"{time:%Y-%m-%d %H:%M:%S}"}
