"""How many calls a second the warehouse takes in, and what that costs: ``python -m stack.benchmarks.ingest``.

A stack of its own: the Collector with its configuration as it is, the ingest service, PostgreSQL. A process of its own
(`stack.benchmarks.sender`) sends calls at an even rate for five minutes; then the rows are counted. In the place of the
log store, which gets the same records from the Collector, a server takes all and keeps nothing: what the Collector does
for it is measured, what the store would do is not.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from rich.console import Console
from rich.table import Table

from stack.benchmarks.parts import Parts, Use
from stack.benchmarks.sender import Sent
from stack.clients import StoreError, Warehouse
from stack.interrupts import interrupt_on_termination
from stack.native import StackError, down, up
from stack.native.ports import settings_at
from stack.settings import Settings, SettingsError
from stack.warehouse import READER, address

RATE: Final = 3000
SECONDS: Final = 300
MOST_CPU_MS: Final = 0.45
"""Of CPU a call, over the parts."""
MOST_BYTES: Final = 1000
"""On disk a call, indexes included; the sums apart."""
MOST_IDLE: Final = 130_000_000
"""Bytes of memory, of the parts that the warehouse adds to a stack."""
_PARTS: Final = ("collector", "usage", "postgres")
_ADDED: Final = ("usage", "postgres")
_PATIENCE: Final = 120.0
"""Seconds without a further call stored after which those that are missing are lost."""


@dataclass(slots=True)
class Result:
    """What was measured."""

    sent: Sent
    stored: int
    refused: int
    uses: dict[str, Use]
    sizes: dict[str, int]
    """Bytes on disk of calls, their indexes and the sums."""
    lags: list[float] = field(default_factory=list)
    """From a record's being noted to its being stored, in seconds, looked at every second."""
    emptied: float = 0.0
    """Seconds from the last request until all was stored."""

    @property
    def milliseconds(self) -> float:
        """CPU a call, over the parts."""
        return 1000 * sum(each.cpu for each in self.uses.values()) / max(self.sent.records, 1)

    @property
    def bytes(self) -> float:
        """On disk a call."""
        return (self.sizes["calls"] + self.sizes["indexes"]) / max(self.stored, 1)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 where a bound does not hold or it cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m stack.benchmarks.ingest", description="Measures the ingest.")
    parser.add_argument("--rate", type=float, default=RATE, help=f"calls a second (default: {RATE})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for so long (default: {SECONDS})")
    parser.add_argument("--idle", type=float, default=60, help="seconds to wait before idle memory is read (60)")
    options = parser.parse_args(arguments)
    interrupt_on_termination()
    console = Console()
    try:
        with TemporaryDirectory(prefix="genai-ingest-") as folder:
            settings = settings_at(Path(folder))
            with _running(settings):
                time.sleep(options.idle)
                idle = Parts(settings.state, _ADDED).memory()
                result = measure(settings, rate=options.rate, seconds=options.seconds)
    except (SettingsError, StackError, StoreError, httpx.HTTPError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return _show(console, result, idle)


@contextmanager
def _running(settings: Settings) -> Iterator[None]:
    sink = ThreadingHTTPServer(("127.0.0.1", urlsplit(settings.logs_endpoint).port or 0), _Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    try:
        up(settings, only=set(_PARTS))
        yield
    finally:
        down(settings, volumes=True)
        sink.shutdown()
        sink.server_close()


class _Sink(BaseHTTPRequestHandler):
    """Takes what is sent to the log store."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Takes a request."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name of the library
        """Says nothing."""


def measure(settings: Settings, *, rate: float, seconds: float) -> Result:
    """Sends to a running stack, waits until all is stored, and counts.

    Raises:
        StackError: the sender fails.
    """
    lags: list[float] = []
    with _sender(settings, rate=rate, seconds=seconds) as sender, Parts(settings.state, _PARTS).watched() as uses:
        sender.stdin.write("go\n")
        sender.stdin.flush()
        while sender.poll() is None:
            lags.append(_metric(settings, "usage_lag_seconds"))
            time.sleep(1)
        sent = _answer(sender)
        emptied = _wait_until_stored(settings, sent.records)
    warehouse = Warehouse(address(settings, READER), timeout=120)
    counted = warehouse.rows(
        "SELECT (SELECT count(*) FROM calls) AS stored, (SELECT count(*) FROM refused_records) AS refused"
    )
    return Result(
        sent=sent,
        stored=counted[0]["stored"],
        refused=counted[0]["refused"],
        uses=uses,
        sizes={row["what"]: row["bytes"] for row in warehouse.rows(SIZES)},
        lags=lags,
        emptied=emptied,
    )


@contextmanager
def _sender(settings: Settings, *, rate: float, seconds: float) -> Iterator[Any]:
    """The process, once it is ready."""
    command = [sys.executable, "-m", "stack.benchmarks.sender", settings.otlp_http_url]
    with subprocess.Popen(  # noqa: S603
        [*command, f"--rate={rate}", f"--seconds={seconds}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=settings.root,
    ) as sender:  # fmt: skip
        try:
            _wait_until_ready(sender)
            yield sender
        except BaseException:
            sender.kill()
            raise


def _wait_until_ready(sender: Any) -> None:
    if sender.stdout.readline() != "ready\n":
        raise StackError("The sender of calls cannot be started; see above.")


def _answer(sender: Any) -> Sent:
    answer = sender.stdout.read()
    if sender.returncode:
        raise StackError("The Collector did not take what was sent to it; see above.")
    return Sent(**json.loads(answer))


SIZES: Final = """
    SELECT 'calls' AS what, sum(pg_table_size(inhrelid))::bigint AS bytes
    FROM pg_inherits WHERE inhparent = 'calls'::regclass
    UNION ALL
    SELECT 'indexes', sum(pg_indexes_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'calls'::regclass
    UNION ALL
    SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname LIKE '%sums\\_by%' AND relkind = 'r'
    UNION ALL
    SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname LIKE '%kinds' AND relkind = 'r'
"""
"""Bytes on disk."""


def _wait_until_stored(settings: Settings, records: int) -> float:
    """Waits as long as more are stored: how long that takes is the machine's affair, that none is lost is ours."""
    began = grown = time.monotonic()
    stored = 0.0
    while time.monotonic() - grown < _PATIENCE:
        now = _metric(settings, 'usage_stored_total{table="calls"}')
        if now >= records:
            break
        if now > stored:
            stored, grown = now, time.monotonic()
        time.sleep(0.2)
    return time.monotonic() - began


def _metric(settings: Settings, name: str) -> float:
    text = httpx.get(f"{settings.usage_url}/metrics", timeout=60).raise_for_status().text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _show(console: Console, result: Result, idle: dict[str, int]) -> int:
    sent, count = result.sent, max(result.sent.records, 1)
    console.print(
        f"{sent.records:,} calls sent in {sent.seconds:.0f} s ({sent.records / sent.seconds:,.0f} a second, at most "
        f"{sent.waited:.1f} s behind), {result.stored:,} stored, {result.refused} refused; the last were stored "
        f"{result.emptied:.1f} s after they were sent."
    )
    table = Table("Part", title="What the ingest takes")
    for heading in ("CPU, s", "CPU a call, ms", "Memory at most, MB", "idle, MB"):
        table.add_column(heading, justify="right")
    for name, use in result.uses.items():
        before = f"{idle[name] / 1e6:.0f}" if name in idle else ""
        table.add_row(name, f"{use.cpu:.1f}", f"{1000 * use.cpu / count:.3f}", f"{use.memory / 1e6:.0f}", before)
    total = sum(each.cpu for each in result.uses.values())
    table.add_row("together", f"{total:.1f}", f"{result.milliseconds:.3f}", "", f"{sum(idle.values()) / 1e6:.0f}")
    table.add_row("the sender", f"{sent.cpu:.1f}", f"{1000 * sent.cpu / count:.3f}")
    console.print(table)
    lags = sorted(result.lags) or [0.0]
    console.print(f"From noted to stored: {lags[len(lags) // 2]:.1f} s in the middle, {lags[-1]:.1f} s at most.")
    sizes = ", ".join(f"{name} {size / max(result.stored, 1):,.0f}" for name, size in result.sizes.items())
    console.print(f"Bytes a call on disk: {result.bytes:,.0f} ({sizes}).")
    broken = [
        sentence
        for held, sentence in (
            (result.stored == sent.records, "calls are missing"),
            (not result.refused, "calls were refused"),
            (result.milliseconds <= MOST_CPU_MS, f"more than {MOST_CPU_MS} ms of CPU a call"),
            (result.bytes <= MOST_BYTES, f"more than {MOST_BYTES} bytes a call"),
            (sum(idle.values()) <= MOST_IDLE, f"more than {MOST_IDLE / 1e6:.0f} MB idle"),
        )
        if not held
    ]
    console.print(f"[bold red]Out of bounds: {'; '.join(broken)}." if broken else "All within their bounds.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
