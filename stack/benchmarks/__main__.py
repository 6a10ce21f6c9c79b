"""Times every Prometheus query of every dashboard over a day and over a month: part of ``make bench``.

A Prometheus of its own, with the stack's configuration, gets a made-up month of a busy application (see
`stack.benchmarks.history`); every query is asked five times over HTTP, and the slowest ten are shown by their medians.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from stack.benchmarks import history
from stack.clients import Prometheus, StoreError, Warehouse, log_store
from stack.dashboards import PanelQuery, Stores, Window, ask, dashboards, queries
from stack.interrupts import interrupt_on_termination
from stack.native import StackError, down, up
from stack.native.ports import settings_at
from stack.settings import Settings, SettingsError
from stack.warehouse import READER, address

_TURNS: Final = 5
_SHOWN: Final = 10
_LOOK_EVERY: Final = 75
"""Seconds; more than the minute after which Prometheus looks for work."""
_IDLE: Final = 0.1
"""Share of a processor."""


@dataclass(frozen=True, slots=True)
class Timed:
    """The median of a query's times, in seconds."""

    dashboard: str
    panel: str
    window: str
    seconds: float
    series: int


def main(arguments: list[str] | None = None) -> int:
    """Fill, ask and print; 1 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m stack.benchmarks", description="Times the dashboards' queries.")
    parser.add_argument("--dashboard", default="", metavar="NAME", help="one of them, such as cost (default: all)")
    parser.add_argument("--days", type=int, default=30, help="length of the history (default: 30)")
    parser.add_argument("--shown", type=int, default=_SHOWN, help="how many of the slowest to show (default: 10)")
    options = parser.parse_args(arguments)
    asked = {name.removesuffix(".json"): page for name, page in dashboards().items()}
    if options.dashboard and options.dashboard not in asked:
        parser.error(f"there is no dashboard {options.dashboard!r}: it is one of {', '.join(asked)}")
    if options.days < 1:
        parser.error("--days must be at least 1")
    interrupt_on_termination()
    console = Console()
    windows = {"24 h": timedelta(hours=24), f"{options.days} d": timedelta(days=options.days)}
    wanted = [
        (name, window, query)
        for name, page in asked.items()
        if options.dashboard in ("", name)
        for window, length in windows.items()
        for query in queries(page, Window(length))
        if query.store == "prometheus"
    ]
    try:
        with TemporaryDirectory(prefix="genai-history-") as folder, Progress(console=console) as progress:
            settings = settings_at(Path(folder))
            end = datetime.now(UTC).replace(second=0, microsecond=0)
            count = _fill(settings, end, options.days, {query.expr for *_, query in wanted}, progress)
            with _running(settings):
                _wait_until_idle(settings.prometheus_url, progress)
                timed = _time(wanted, settings, end, progress)
    except (SettingsError, StackError, StoreError, history.FillError, httpx.HTTPError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    _show(console, timed, count, options)
    return 0


def _fill(
    settings: Settings, end: datetime, days: int, expressions: set[str], progress: Progress
) -> tuple[int, int, int]:
    """The numbers of series exported and recorded, and of samples."""
    exported = history.application(days)
    recorded = history.recorded(settings.root, expressions, days)
    bar = progress.add_task(f"Writing a history of {days} days", total=2 * days + 1)
    samples = 0

    def on_block(count: int) -> None:
        nonlocal samples
        samples += count
        progress.advance(bar)

    directory = settings.state / "data" / "prometheus"
    directory.mkdir(parents=True)
    history.fill(settings.binaries / "fill", directory, [*exported, *recorded], end=end, on_block=on_block)
    progress.update(bar, completed=2 * days + 1)
    return len(exported), len(recorded), samples


@contextmanager
def _running(settings: Settings) -> Iterator[None]:
    try:
        up(settings, only={"prometheus"})
        yield
    finally:
        down(settings)


def _wait_until_idle(url: str, progress: Progress) -> None:
    """It looks every minute whether blocks are to be merged, and a month has many."""
    bar = progress.add_task("Waiting until Prometheus has merged its blocks", total=None)
    used = float("-inf")
    while (now := _processor_seconds(url)) - used > _IDLE * _LOOK_EVERY:
        used = now
        time.sleep(_LOOK_EVERY)
    progress.update(bar, total=1, completed=1)


def _processor_seconds(url: str) -> float:
    text = httpx.get(f"{url}/metrics").raise_for_status().text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("process_cpu_seconds_total "))


def _time(
    wanted: list[tuple[str, str, PanelQuery]], settings: Settings, end: datetime, progress: Progress
) -> list[Timed]:
    stores = Stores(
        Prometheus(settings.prometheus_url, timeout=120),
        log_store(settings),
        Warehouse(address(settings, READER), timeout=120),
    )
    bar = progress.add_task("Asking every query", total=len(wanted))
    timed: list[Timed] = []
    for name, window, query in wanted:
        turns: list[float] = []
        found = 0
        for _ in range(_TURNS):
            began = time.perf_counter()
            found = len(ask(query, end=end, stores=stores))
            turns.append(time.perf_counter() - began)
        timed.append(Timed(name, query.panel, window, statistics.median(turns), found))
        progress.advance(bar)
    return timed


def _show(console: Console, timed: list[Timed], count: tuple[int, int, int], options: argparse.Namespace) -> None:
    exported, recorded, samples = count
    console.print(
        f"{exported:,} series of an application and {recorded:,} recorded ones, {samples / 1e6:,.0f} million samples "
        f"of {options.days} days: every 5 s in the last 26 hours and every minute before."
    )
    table = Table("Dashboard", "Panel", "Range", title=f"The slowest {options.shown} of {len(timed)} queries")
    table.add_column(f"Median of {_TURNS}, ms", justify="right")
    table.add_column("Series", justify="right")
    for each in sorted(timed, key=lambda each: each.seconds, reverse=True)[: options.shown]:
        table.add_row(each.dashboard, each.panel, each.window, f"{1000 * each.seconds:,.0f}", str(each.series))
    console.print(table)
    slow = sum(each.seconds >= 1 for each in timed)
    console.print(
        f"{slow} of {len(timed)} take a second or more; without data: {sum(not each.series for each in timed)}."
    )


if __name__ == "__main__":
    sys.exit(main())
