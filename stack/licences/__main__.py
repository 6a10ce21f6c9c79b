"""Writes docs/licences.md: ``python -m stack.licences``; ``--check`` reads nothing anew and changes nothing.

A version keeps its licence: what the page has already is not read again, unless with ``--anew``.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console

from stack.files import bring_up_to_date
from stack.licences.pins import GO, NPM, PYTHON, Pin, pins
from stack.licences.policy import PERMISSIVE, TAKEN, permitted
from stack.licences.reading import ReadingError, read
from stack.native import StackError, toolchain
from stack.settings import Settings, SettingsError

_INTRODUCTION: Final = """\
<!-- Written by `make generate` from the go.mod and package-lock.json files and the pins in .txt and .py files. -->

# Licences of what is built and installed

Every Go module, Python package and npm package that a file of this project pins, for the servers, the package, the
examples, the tests and the benchmarks, with the licence that it carries itself: of a module, its licence files, as the
matcher of pkg.go.dev reads them; of a package, its metadata. `make check` fails where a pin is missing here, and on any
licence but these:

"""

_TAKEN: Final = """
Besides, one by one:

"""

_ROW: Final = re.compile(r"^\| ([^|`]+) \| ([^|]+) \| ([^|]+) \|$")


def main(arguments: list[str] | None = None, *, root: Path | None = None) -> int:
    """Write or check the page; 1 where it is stale, or something is pinned that may not be used."""
    parser = argparse.ArgumentParser(prog="python -m stack.licences", description="Writes docs/licences.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is not up to date")
    parser.add_argument("--anew", action="store_true", help="read all licences again, from the packages themselves")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.load()
        root = root or settings.root
        path = root / "docs" / "licences.md"
        wanted = pins(root)
        known = {} if options.anew or not path.exists() else listed(path.read_text(encoding="utf-8"))
        if not options.check and (new := wanted - known.keys()):
            go = toolchain.go(settings.state, minimum=(1, 26), report=Console().print)
            known |= read(root, new, go=go)
        stale = bring_up_to_date({path: page({pin: known.get(pin, "?") for pin in wanted})}, check=options.check)
    except (SettingsError, StackError, ReadingError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    refused = [pin for pin in sorted(wanted & known.keys()) if not permitted(pin.name, known[pin])]
    for pin in refused:
        sys.stderr.write(f"{pin.name} {pin.version} has the licence {known[pin]}, which this project does not take.\n")
    return 1 if stale or refused else 0


def page(licences: Mapping[Pin, str]) -> str:
    """The text of the page."""
    taken = [(name, each.licence, each.reason) for name, each in sorted(TAKEN.items())]
    parts = [_INTRODUCTION, ", ".join(f"`{name}`" for name in sorted(PERMISSIVE)), ".\n"]
    if taken:
        parts += [_TAKEN, _table(("name", "licence", "why"), taken)]
    for kind in (GO, PYTHON, NPM):
        rows = [(pin.name, pin.version, licence) for pin, licence in sorted(licences.items()) if pin.kind == kind]
        parts += [f"\n## {kind}\n\n", _table(("name", "version", "licence"), rows)]
    return "".join(parts)


def listed(text: str) -> dict[Pin, str]:
    """What a page says."""
    found: dict[Pin, str] = {}
    kind = ""
    for line in text.splitlines():
        if line.startswith("## "):
            kind = line.removeprefix("## ")
        elif kind and (row := _ROW.match(line)) and row[2] not in ("version", "---"):
            found[Pin(kind, row[1], row[2])] = row[3]
    return found


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *rows))


if __name__ == "__main__":
    sys.exit(main())
