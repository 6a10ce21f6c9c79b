"""The command of a page in docs/ that is generated: writes it, or with ``--check`` only says whether it is stale."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from stack.files import bring_up_to_date
from stack.settings import Settings, SettingsError


class PageError(Exception):
    """The page cannot be made; the message says what is missing, and where."""


def main(module: str, name: str, page: Callable[[], str], arguments: list[str] | None = None) -> int:
    """Write or check docs/``name``; 1 where it cannot be made or written or, checking, is stale."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=f"Writes docs/{name}.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is not up to date")
    parser.add_argument("--output", type=Path, help=f"the file to write (default: docs/{name})")
    options = parser.parse_args(arguments)
    try:
        path = options.output or Settings.load().root / "docs" / name
        return bring_up_to_date({path: page()}, check=options.check)
    except (PageError, SettingsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
