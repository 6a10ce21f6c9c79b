"""``genai-observability run``: records the model calls of a program that was not changed.

The program replaces this process, so that its exit code, signals and standard streams are its own. All that it gets is
a directory at the front of ``PYTHONPATH``, whose ``sitecustomize.py`` waits for the import of a client library.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from genai_observability._clients import CLIENTS
from genai_observability._instrument import instrument_unasked

_AUTOLOAD: Final = Path(__file__).with_name("_autoload")
_VARIABLE: Final = "GENAI_OBSERVABILITY_RUN"
_NOT_FOUND: Final = 127  # as a shell answers
_NOT_EXECUTABLE: Final = 126


def run(command: list[str]) -> int:
    """Become the program; returns an exit code, after one sentence, only where that is not possible."""
    executable = shutil.which(command[0])
    if executable is None:
        sys.stderr.write(f"Error: there is no program {command[0]} to run: check its name, and PATH.\n")
        return _NOT_FOUND
    path = os.environ.get("PYTHONPATH")
    environment = os.environ | {
        "PYTHONPATH": str(_AUTOLOAD) + (os.pathsep + path if path else ""),
        _VARIABLE: f"{os.getpid()}:{','.join(client.library for client in CLIENTS)}",
    }
    sys.stdout.flush()
    try:
        os.execve(executable, command, environment)  # noqa: S606 - running what the user names is the purpose
    except OSError as error:
        sys.stderr.write(f"Error: {executable} cannot be run: {error.strerror or error}.\n")
        return _NOT_EXECUTABLE


def start() -> None:
    """Record from now on: a client library was imported. Called by ``_autoload/sitecustomize.py``."""
    instrument_unasked(service_name=_program())


def _program() -> str | None:
    """What the program is called, where the environment names no service; ``None`` for ``python -c`` and its like."""
    given = Path(sys.argv[0] if sys.argv else "")
    name = given.parent.name if given.name == "__main__.py" else given.stem
    return None if name in ("", "-c") else name
