"""The command line: `python -m stack.native build|up|status|logs|sql|backfill|down`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stack.interrupts import interrupt_on_termination
from stack.native import build, health, keeper, postgres, process, run, upgrade
from stack.native.process import StackError
from stack.settings import Settings, SettingsError
from stack.warehouse import READER

_console = Console(highlight=False, markup=False, soft_wrap=True)
_errors = Console(highlight=False, markup=False, soft_wrap=True, stderr=True)


def main() -> int:
    """Carries out one command; the exit code is 1 after an error, 130 after Ctrl-C."""
    arguments = _parser().parse_args()
    interrupt_on_termination()
    command: Callable[[Settings, argparse.Namespace], None] = arguments.run
    try:
        command(Settings.load(), arguments)
    except (StackError, SettingsError) as error:
        _errors.print(f"Error: {error}")
        return 1
    except KeyboardInterrupt:
        _errors.print("Interrupted.")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stack.native", description="Runs the stack without containers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    parser_of_build = commands.add_parser("build", help="build the servers that are missing or out of date")
    parser_of_build.add_argument("--all", action="store_true", help="also what benchmarks and replays use")
    parser_of_build.set_defaults(run=_build)
    commands.add_parser("up", help="build what is missing, start everything, wait until ready").set_defaults(run=_up)
    commands.add_parser("status", help="what runs, where, and with how much memory").set_defaults(run=_status)
    parser_of_logs = commands.add_parser("logs", help="the last lines of the logs; on a terminal, then what follows")
    parser_of_logs.add_argument("server", nargs="*", help="one or more servers; all by default")
    parser_of_logs.add_argument("--lines", type=int, default=20, help="how many last lines of each (default: 20)")
    parser_of_logs.set_defaults(run=_logs)
    parser_of_down = commands.add_parser("down", help="stop everything")
    parser_of_down.add_argument("--volumes", action="store_true", help="also delete all stored data")
    parser_of_down.set_defaults(run=_down)
    parser_of_sql = commands.add_parser("sql", help="ask the warehouse, as a reader")
    parser_of_sql.add_argument("--query", help="one query; psql otherwise")
    parser_of_sql.set_defaults(run=_sql)
    parser_of_backfill = commands.add_parser("backfill", help="read a gap of the warehouse again from the log store")
    parser_of_backfill.add_argument("window", nargs=2, metavar="TIME")
    parser_of_backfill.set_defaults(run=_backfill)
    return parser


def _build(settings: Settings, arguments: argparse.Namespace) -> None:
    build.build(settings, console=_console, optional=arguments.all)


def _up(settings: Settings, _: argparse.Namespace) -> None:
    build.build(settings, console=_console)
    run.up(settings, report=_console.print)
    keeper.start(settings)
    _console.print(f"The stack is up. Applications send OTLP to {settings.otlp_http_url}")
    if left := upgrade.loki_data(settings):
        _console.print(left)


def _sql(settings: Settings, arguments: argparse.Namespace) -> None:
    command, environment = postgres.psql(settings, READER)
    query = ["--command", arguments.query] if arguments.query else []
    # In the place of this process: psql's own keys, pager and exit codes.
    os.execve(command[0], [*command, *query], {**os.environ, **environment})  # noqa: S606


def _backfill(_: Settings, arguments: argparse.Namespace) -> None:
    os.execv(sys.executable, [sys.executable, "-m", "stack.usage.backfill", *arguments.window])  # noqa: S606


def _down(settings: Settings, arguments: argparse.Namespace) -> None:
    run.down(settings, volumes=arguments.volumes, report=_console.print)


def _status(settings: Settings, _: argparse.Namespace) -> None:
    states = health.status(settings)
    table = Table("server", "state", "pid", "address", "up for", "memory", box=None, pad_edge=False)
    for column in (2, 4, 5):
        table.columns[column].justify = "right"
    for each in states:
        if each.pid:
            uptime, memory = str(timedelta(seconds=round(each.uptime))), _megabytes(each.memory)
            table.add_row(each.name, each.state, str(each.pid), each.url, uptime, memory)
        else:
            table.add_row(each.name, each.state)
    _console.print(table)
    _console.print(
        f"\nTogether {_megabytes(sum(each.memory for each in states))} of memory, shared pages counted once."
    )
    for each in states:
        if each.restarts:
            times = "once" if each.restarts == 1 else f"{each.restarts} times"
            _console.print(f"{each.name} has ended by itself {times} and was started again: `make logs` says why.")
    seconds = run.seconds_until_ready(settings.state)
    if seconds is not None:
        _console.print(f"The last `make up` was ready after {seconds:.1f} s.")


def _logs(settings: Settings, arguments: argparse.Namespace) -> None:
    files = health.logs(settings, arguments.server)
    positions = {}
    for name, path in files.items():
        positions[name] = path.stat().st_size
        for line in process.last_lines(path, arguments.lines):
            _console.print(f"{name:<13}{line}")
    if sys.stdout.isatty():
        with contextlib.suppress(KeyboardInterrupt):  # how a reader ends it
            _follow(files, positions)


def _follow(files: Mapping[str, Path], positions: dict[str, int]) -> None:
    while True:
        time.sleep(0.5)
        for name, path in files.items():
            size = path.stat().st_size if path.exists() else 0
            if size == positions[name]:
                continue
            with path.open(errors="replace") as file:
                file.seek(positions[name] if size > positions[name] else 0)  # smaller: it has been set aside
                for line in file:
                    _console.print(f"{name:<13}{line.rstrip()}")
                positions[name] = file.tell()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


if __name__ == "__main__":
    sys.exit(main())
