"""Whether the newest releases of all clients are recorded, each call exactly once: ``make clients``, before a release.

Each client is installed unpinned, in a virtual environment of its own, and makes its known calls against a simulated
provider. The calls, tokens and cost that the provider has counted itself have to be in the request log, on the spans
and in the metrics.
"""

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from instrumentation.benchmarks.environments import InstallError
from instrumentation.clients.checking import Checked, check
from instrumentation.clients.clients import CLIENTS, Client
from instrumentation.clients.installing import install
from stack.interrupts import interrupt_on_termination
from stack.settings import Settings, SettingsError

_WIDTH: Final = 120
"""Names of packages are long."""


@dataclass(slots=True)
class Row:
    """A client, and all that was found of it."""

    client: Client
    versions: dict[str, str] = field(default_factory=dict)
    checked: Checked | None = None
    differences: list[str] = field(default_factory=list)

    @property
    def cells(self) -> list[str]:
        """What the table shows."""
        names, versions = self.versions or self.client.packages, self.versions.values()
        counts = [str(self.checked.made), str(self.checked.recorded)] if self.checked else ["", ""]
        verdict = ("differs" if self.differences else "exactly once") if self.checked else "not installed"
        return ["\n".join(names), "\n".join(versions), *counts, verdict]


def main() -> int:
    """Check and print the table; the exit code is 1 where anything differs or cannot be installed."""
    parser = argparse.ArgumentParser(prog="make clients", description="Checks the newest release of every client.")
    names = [client.name for client in CLIENTS]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of: {', '.join(names)}")
    only = parser.parse_args().only or names
    try:
        folder = Settings.load().state / "environments"
    except SettingsError as error:
        parser.error(str(error))
    interrupt_on_termination()
    console = Console(highlight=False, soft_wrap=True, markup=False)
    try:
        rows = [_row(client, folder, console) for client in CLIENTS if client.name in only]
    except KeyboardInterrupt:
        return 130
    _show(rows, console)
    return 1 if any(row.differences for row in rows) else 0


def _row(client: Client, folder: Path, console: Console) -> Row:
    row = Row(client)
    console.print(f"{client.name}: installing the newest release")
    try:
        installed = install(client, folder)
    except InstallError as error:
        row.differences.append(str(error))
        return row
    row.versions = installed.versions
    row.differences += [
        f"{name} {version} is out, but pip does not install it beside the rest"
        for name, version in installed.newer.items()
    ]
    console.print(f"{client.name}: making calls with {', '.join(map(' '.join, row.versions.items()))}")
    row.checked = check(client, installed.python)
    row.differences += row.checked.differences
    return row


def _show(rows: list[Row], console: Console) -> None:
    table = Table("client", "version installed", box=None)
    for counts in ("calls made", "calls recorded"):
        table.add_column(counts, justify="right")
    table.add_column("verdict")
    for row in rows:
        table.add_row(*row.cells)
    console.print()
    Console(highlight=False, width=max(console.width, _WIDTH)).print(table)
    console.print()
    for row in rows:
        for sentence in row.differences:
            console.print(f"{row.client.name}: {sentence}.")
        for warning in row.checked.warnings if row.checked else ():
            console.print(f"{row.client.name} warns: {warning}")


if __name__ == "__main__":
    sys.exit(main())
