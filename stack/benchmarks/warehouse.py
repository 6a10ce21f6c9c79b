"""How fast the warehouse answers over millions of calls: ``python -m stack.benchmarks.warehouse``.

A warehouse of its own is filled with calls of 90 days (see `stack.benchmarks.fill`). Then every query of SQL of every
dashboard is asked three times, over ranges from an hour to all of it, and so are the questions of docs/warehouse.md and
what the ingest service looks for by itself; the slowest are shown by their medians.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import asyncpg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from stack.benchmarks.fill import fill
from stack.benchmarks.parts import Parts
from stack.dashboards import Window, dashboards, queries
from stack.dashboards.answers import in_range
from stack.interrupts import interrupt_on_termination
from stack.native import StackError, down, up
from stack.native.ports import settings_at
from stack.settings import Settings, SettingsError
from stack.thresholds import Thresholds, ThresholdsError
from stack.usage.offenders import KINDS
from stack.warehouse import OWNER, READER, address

CALLS: Final = 10_000_000
DAYS: Final = 90
MOST_SECONDS: Final = 1.0
_TURNS: Final = 3
_RANGES: Final = (timedelta(hours=1), timedelta(hours=24), timedelta(days=7), timedelta(days=30), timedelta(days=90))
_SHOWN: Final = 15
_BLOCKS: Final = re.MULTILINE | re.DOTALL


@dataclass(frozen=True, slots=True)
class Asked:
    """A query with its time range filled in."""

    page: str
    name: str
    range: str
    sql: str


@dataclass(frozen=True, slots=True)
class Timed:
    """The median of a query's times, and what PostgreSQL used for it in CPU at least; in seconds."""

    asked: Asked
    seconds: float
    cpu: float
    rows: int


def main(arguments: list[str] | None = None) -> int:
    """Fill, ask and print; 1 where a query is too slow or it cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m stack.benchmarks.warehouse", description="Times queries of SQL.")
    parser.add_argument("--calls", type=int, default=CALLS, help=f"how many there are (default: {CALLS})")
    parser.add_argument("--days", type=int, default=DAYS, help=f"and of how many days (default: {DAYS})")
    parser.add_argument("--shown", type=int, default=_SHOWN, help=f"how many to show (default: {_SHOWN})")
    parser.add_argument("--folder", type=Path, help="where the filled warehouse stays for the next time")
    options = parser.parse_args(arguments)
    interrupt_on_termination()
    console = Console()
    try:
        with _folder(options.folder) as folder, _running(settings_at(folder)) as settings:
            end = asyncio.run(_filled(settings, options.calls, options.days, console))
            sizes = asyncio.run(_rows(settings, _SIZES))
            (some,) = asyncio.run(_rows(settings, _A_CONVERSATION))
            asked = list(wanted(settings, end, some["conversation_id"]))
            timed = asyncio.run(_time(settings, asked, console))
    except (SettingsError, StackError, ThresholdsError, asyncpg.PostgresError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return _show(console, timed, sizes, options.shown)


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept:
        yield kept.absolute()
        return
    with TemporaryDirectory(prefix="genai-warehouse-") as folder:
        try:
            yield Path(folder)
        finally:
            down(settings_at(Path(folder)), volumes=True)


@contextmanager
def _running(settings: Settings) -> Iterator[Settings]:
    try:
        up(settings, only={"postgres", "usage"})  # the service makes the schema
        yield settings
    finally:
        down(settings)


async def _filled(settings: Settings, calls: int, days: int, console: Console) -> datetime:
    """Fills it where it is empty; the end of the newest hour with calls."""
    connection = await asyncpg.connect(address(settings, OWNER))
    try:
        newest: datetime | None = await connection.fetchval("SELECT max(hour) FROM genai.sums_by_hour")
        if newest is not None:
            return newest + timedelta(hours=1)
        began = time.monotonic()
        end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

        def report(what: str) -> None:
            console.print(f"{time.monotonic() - began:5.0f} s  {what}")

        await fill(connection, calls=calls, days=days, end=end, report=report)
        report("filled")
        return end
    finally:
        await connection.close()


def wanted(settings: Settings, end: datetime, conversation: str) -> Iterator[Asked]:
    """All that is asked. Ranges end within an hour and a day, so that single calls are in them, too.

    ``conversation`` is one of those that are stored.
    """
    end -= timedelta(minutes=17, seconds=3)
    for length in _RANGES:
        span = f"{length.total_seconds() / 3600:.0f} h" if length <= timedelta(days=1) else f"{length.days} d"
        start = end - length
        for name, page in dashboards().items():
            for query in queries(page, Window(length)):
                if query.store == "warehouse":
                    yield Asked(name.removesuffix(".json"), query.panel, span, in_range(query.expr, start, end))
    for title, sql in questions(settings.root / "docs" / "warehouse.md"):
        yield Asked("docs/warehouse.md", title, "", sql.replace("'CONVERSATION'", f"'{conversation}'"))
    limits = Thresholds.load()
    for kind in KINDS:
        yield Asked("usage service", kind.gauge.name, "", kind.sql.replace("$1", str(kind.limit(limits))))


def questions(page: Path) -> Iterator[tuple[str, str]]:
    """The queries of a page, each with the line before it."""
    for match in re.finditer(r"^(\S[^\n]*)\n\n```sql\n(.+?);?\n```$", page.read_text(encoding="utf-8"), _BLOCKS):
        yield match[1].strip("*#: "), match[2]


async def _rows(settings: Settings, sql: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(address(settings, READER))
    try:
        return [dict(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def _time(settings: Settings, asked: list[Asked], console: Console) -> list[Timed]:
    parts = Parts(settings.state, ["postgres"])
    connection = await asyncpg.connect(f"{address(settings, READER)}?statement_timeout=120000")
    timed = []
    try:
        with Progress(console=console) as progress:
            for each in progress.track(asked, description="Asking every query"):
                turns, used, rows = [], [], 0
                for _ in range(_TURNS):
                    before, began = parts.cpu("postgres"), time.perf_counter()
                    rows = len(await connection.fetch(each.sql))
                    turns.append(time.perf_counter() - began)
                    used.append(parts.cpu("postgres") - before)
                timed.append(Timed(each, statistics.median(turns), min(used), rows))
    finally:
        await connection.close()
    return timed


_A_CONVERSATION: Final = """
    SELECT conversation_id FROM calls WHERE conversation_id IS NOT NULL
    GROUP BY conversation_id ORDER BY abs(count(*) - 1000) LIMIT 1
"""
"""A long one: by Zipf's law there are some with hundreds of thousands of calls, which no conversation has."""
_SIZES: Final = """
    SELECT coalesce(inhparent::regclass::text, relname) AS name, sum(greatest(reltuples, 0))::bigint AS rows,
           sum(pg_table_size(oid))::bigint AS bytes, sum(pg_indexes_size(oid))::bigint AS indexes
    FROM pg_class LEFT JOIN pg_inherits ON inhrelid = oid
    WHERE relnamespace = 'genai'::regnamespace AND relkind = 'r' GROUP BY 1 HAVING sum(reltuples) > 1000 ORDER BY 3 DESC
"""


def _show(console: Console, timed: list[Timed], sizes: list[dict[str, Any]], shown: int) -> int:
    calls = next((size["rows"] for size in sizes if size["name"] == "calls"), 1)
    table = Table("Table", title="On disk")
    for heading in ("Rows", "MB", "Indexes, MB", "Bytes a call, both"):
        table.add_column(heading, justify="right")
    for size in sizes:
        both = size["bytes"] + size["indexes"]
        numbers = (size["rows"], size["bytes"] / 1e6, size["indexes"] / 1e6, both / calls)
        table.add_row(size["name"], *(f"{number:,.0f}" for number in numbers))
    console.print(table)
    table = Table("Page", "Query", "Range", title=f"The slowest {shown} of {len(timed)} queries")
    for heading in (f"Median of {_TURNS}, ms", "CPU, ms", "Rows"):
        table.add_column(heading, justify="right")
    for each in sorted(timed, key=lambda each: each.seconds, reverse=True)[:shown]:
        figures = (f"{1000 * each.seconds:,.0f}", f"{1000 * each.cpu:,.0f}", str(each.rows))
        table.add_row(each.asked.page, each.asked.name, each.asked.range, *figures)
    console.print(table)
    slow = sum(each.seconds >= MOST_SECONDS for each in timed)
    empty = sum(not each.rows for each in timed)
    console.print(f"{slow} of {len(timed)} take {MOST_SECONDS:.0f} s or more; without rows: {empty}.")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
