"""Writes docs/warehouse-tables.md: ``python -m stack.usage.page``; with ``--check`` it says whether that is stale.

It refuses where a table lacks a field that its records carry.
"""

import sys
from typing import Final

from stack import generated_page
from stack.usage.columns import OWN, RESOURCE, TABLES, Table, missing

_INTRODUCTION: Final = """\
<!-- Written by `make generate` from stack/usage/columns.py and the catalogue. Change those, not this page. -->

# The tables of the warehouse

What each column means; [the warehouse](warehouse.md) says how to ask. Where a record lacks a field, its column is null.
"""
_OWN_TYPES: Final = {"id": "uuid", "metadata": "jsonb", "trace_id": "text", "span_id": "text"}


def main(arguments: list[str] | None = None) -> int:
    """Write or check the page; 1 where it cannot be written or, checking, is stale."""
    return generated_page.main("stack.usage.page", "warehouse-tables.md", page, arguments)


def page() -> str:
    """The whole page.

    Raises:
        PageError: a table has no column for a field of its records.
    """
    if gaps := list(missing()):
        raise generated_page.PageError("\n".join(gaps))
    return "\n".join([_INTRODUCTION, *map(_section, TABLES)])


def _section(table: Table) -> str:
    columns = {column.name: column for column in (*RESOURCE, *table.columns)}
    lines = [f"## {table.name}\n", "| column | type | unit | signal | meaning |", "|---|---|---|---|---|"]
    for name in table.names:
        if column := columns.get(name):
            signal = column.signal
            unit = signal.unit.strip("{}")
            lines.append(f"| `{name}` | {column.type} | {unit} | `{signal.name}` | {signal.meaning} |")
        else:
            lines.append(f"| `{name}` | {_OWN_TYPES.get(name, 'timestamptz')} | | | {OWN[name]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
