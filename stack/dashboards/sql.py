"""Pieces of SQL for the warehouse in which every column comes from its own list and every choice of the page is obeyed.

Of a variable with several choices, Grafana's data source for PostgreSQL makes texts in quotes with commas between, and
doubles a quote inside of a text, so that no value can end its own text. (The format `sqlstring` would also put a
backslash before a double quote, which PostgreSQL takes for a part of the value.) What stands for All is left as it
is: see `stack.dashboards.expressions.ALL`. What a reader types is no choice and gets no quotes: there it is
`sqlstring`.

https://grafana.com/docs/grafana/latest/datasources/postgres/template-variables/
https://grafana.com/docs/grafana/latest/dashboards/variables/variable-syntax/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from genai_observability.signals import Attribute

from stack.dashboards.expressions import ALL, FILTERS, VARIABLES
from stack.usage import columns
from stack.usage.columns import CALLS, RESOURCE, Table

FROM, TO = "$__timeFrom()", "$__timeTo()"
"""The time range, from and up to before; Grafana's server puts texts in quotes there."""

USER: Final = "(SELECT user_hash FROM users WHERE users.user_key = used.user_key) AS user_hash"
"""Of a user, in ``users()``; looked up for those alone that a limit leaves."""

Sums = Literal["usage", "users"]
"""By hour, of all calls; by user and day, of those that have a user."""

OF_SUMS: Final = frozenset({"kinds", "users", "user_key", "failed", "priced", "retried", "batch", "cost_from"})
"""Names of the sums alone; `failed` is there of users, and the last four are not."""

_SIGNALS: Final = {"environment": columns.ENVIRONMENT, "service": columns.SERVICE, **FILTERS}
"""What each choice of a page narrows down."""


@dataclass(frozen=True, slots=True)
class Sql:
    """A query of the warehouse. Its columns are the fields of the answer, its rows those of a table or single bars."""

    text: str


def column(attribute: Attribute, table: Table = CALLS) -> str:
    """The column that has the signal. The sums have those of calls by the same names.

    Raises:
        ValueError: the table has none.
    """
    for each in (*RESOURCE, *table.columns):
        if each.signal.name == attribute.name:
            return each.name
    raise ValueError(f"{table.name} has no column for {attribute.name}")


def among(attribute: Attribute, *values: str, table: Table = CALLS) -> str:
    """The condition that the signal has one of these values."""
    quoted = ", ".join("'{}'".format(value.replace("'", "''")) for value in values)
    return f"{column(attribute, table)} IN ({quoted})"


def known(attribute: Attribute, table: Table = CALLS) -> str:
    """The condition that the signal has a value."""
    return f"{column(attribute, table)} IS NOT NULL"


def typed(variable: str) -> str:
    """What the reader typed, as a text in quotes."""
    return f"${{{variable}:sqlstring}}"


def chosen(table: Table = CALLS) -> list[str]:
    """The choices of the page, of which those are left out that the table has no column for."""
    there = {each.signal.name: each.name for each in (*RESOURCE, *table.columns)}
    return [
        f"({ALL[variable]} IN (${variable}) OR {there[_SIGNALS[variable].name]} IN (${variable}))"
        for variable in VARIABLES
        if _SIGNALS[variable].name in there
    ]


def during(time: str) -> str:
    """The condition that a time is in the time range."""
    return f"{time} >= {FROM} AND {time} < {TO}"


def records(
    fields: Sequence[str], *where: str, by: str = "", ascending: bool = False, most: int = 10, table: Table = CALLS
) -> Sql:
    """Single records, whole: those with the largest values of a column, by default the latest.

    For choices that no call ever had together PostgreSQL would go through all calls, in the order of some index: they
    are looked for among the few kinds of calls first.
    """
    ranked = by or table.time
    conditions = [during(table.time), *chosen(table), *where, *([f"{by} IS NOT NULL"] if by else [])]
    if table is CALLS:
        conditions.append(f"EXISTS (SELECT FROM kinds WHERE {' AND '.join(chosen())})")
    shown = ", ".join(_shown(field, table) for field in fields)
    order = f"{ranked} {'ASC' if ascending else 'DESC'}"
    return Sql(f"SELECT {shown}\nFROM {table.name}\nWHERE {every(conditions)}\nORDER BY {order}\nLIMIT {most}")


def usage(select: str, *where: str, rest: str = "", of: Sums = "usage") -> str:
    """Sums of all calls of the time range: exact, and quick for any, as they are added up beforehand."""
    return f"SELECT {select}\nFROM {of}_between({FROM}, {TO})\nWHERE {every([*chosen(), *where])}\n{rest}".rstrip()


def usage_by(
    *by: Attribute, amount: str = "sum(calls)", where: Sequence[str] = (), most: int = 7, of: Sums = "usage"
) -> Sql:
    """The largest sums by some signals, in a column `name` of their values, and `amount`."""
    select = f"{_named(by)} AS name, {amount} AS amount"
    rest = f"GROUP BY name HAVING {amount} > 0 ORDER BY amount DESC LIMIT {most}"
    return Sql(usage(select, *where, rest=rest, of=of))


def users(select: str, *where: str, rest: str = "") -> Sql:
    """Something of the users of the time range, each of which is a row with its sums."""
    counts = "sum(calls) AS calls, sum(failed) AS failed"
    amounts = "sum(cost) AS cost, sum(input_tokens + output_tokens) AS tokens"
    each = usage(f"user_key, {counts}, {amounts}", of="users", rest="GROUP BY user_key")
    condition = f"WHERE {every(where)}\n" if where else ""
    return Sql(f"SELECT {select}\nFROM (\n{each}\n) AS used\n{condition}{rest}".rstrip())


def users_by(attribute: Attribute) -> Sql:
    """How many different users there are by a signal."""
    each = usage(f"{_named([attribute])} AS name, user_key", of="users", rest="GROUP BY name, user_key")
    return Sql(f"SELECT name, count(*) AS users\nFROM (\n{each}\n) AS used\nGROUP BY name ORDER BY users DESC LIMIT 10")


def _named(by: Sequence[Attribute]) -> str:
    """The values as one text; what has none is named, so that nothing hides in an empty one."""
    return " || ' · ' || ".join(f"coalesce({_shown(column(each), CALLS, alias=False)}, 'none')" for each in by)


def _shown(field: str, table: Table, *, alias: bool = True) -> str:
    """A column as Grafana can show it: a list as one text."""
    if not any(each.name == field and each.type == "text[]" for each in table.columns):
        return field
    return f"array_to_string({field}, ', ')" + (f" AS {field}" if alias else "")


def every(conditions: Sequence[str]) -> str:
    """All of the conditions."""
    return "\n  AND ".join(conditions)
