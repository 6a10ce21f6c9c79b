"""Records the model calls of a program that was not changed: ``genai-observability run``, ``opentelemetry-instrument``.

With the former, the program replaces this process, so that its exit code, signals and standard streams are its own. All
that it gets is a directory at the front of ``PYTHONPATH``, whose ``sitecustomize.py`` waits for the import of a client
library.
"""

import getopt
import logging
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.logging import LoggingInstrumentor

from genai_observability._capture.clients import CLIENTS
from genai_observability._export import application_logs
from genai_observability._export.providers import existing
from genai_observability._instrument import instrument, instrument_unasked

_EXPECTED_COMPLAINT: Final = "Attempting to instrument while already instrumented"
_AUTOLOAD: Final = Path(__file__).parent.with_name("_autoload")
_VARIABLE: Final = "GENAI_OBSERVABILITY_RUN"
"""Set by ``genai-observability run`` for the programs that it starts; nothing to set yourself."""
_PYTHON_OPTIONS: Final = "bBc:dEhiIm:OPqRsStuvVW:xX:?"
_NOT_FOUND: Final = 127  # as a shell answers
_NOT_EXECUTABLE: Final = 126


def run(command: list[str]) -> int:
    """Become the program; returns an exit code, after one sentence, only where that is not possible."""
    executable = shutil.which(command[0])
    if executable is None:
        sys.stderr.write(f"Error: there is no program {command[0]} to run: check its name, and PATH.\n")
        return _NOT_FOUND
    if option := _isolating_option(executable, command):
        sys.stderr.write(
            f"Model calls are not recorded: with {option}, Python loads nothing that the program does not ask for; "
            f"leave {option} out, or call genai_observability.instrument() in the program.\n"
        )
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


def _isolating_option(executable: str, command: list[str]) -> str | None:
    """The option of Python, in the command or in a script's first line, that keeps ``sitecustomize`` out."""
    interpreter, *arguments = _first_line(executable) or [executable, *command[1:]]
    if not re.match(r"(python|pypy)[\d.]*$", Path(interpreter).name):
        return None
    try:
        options, _ = getopt.getopt(arguments, _PYTHON_OPTIONS)
    except getopt.GetoptError:
        return None  # Python will say so
    first = next((option for option, _ in options if option in ("-c", "-m", "-E", "-I", "-S")), None)
    return None if first in ("-c", "-m") else first  # what follows those is the program's


def _first_line(executable: str) -> list[str]:
    """The interpreter and its arguments, where the executable is a script."""
    try:
        with open(executable, "rb") as file:  # noqa: PTH123 - a path as the user wrote it
            line = file.readline(256).decode(errors="replace")
    except OSError:  # it may be executed, but not read
        return []
    words = line[2:].split() if line.startswith("#!") else []
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if word != "-S"]
    return words


def start() -> None:
    """Record from now on: a client library was imported. Called by ``_autoload/sitecustomize.py``."""
    instrument_unasked(service_name=_program())


def _program() -> str | None:
    """What the program is called, where the environment names no service; ``None`` for ``python -c`` and its like."""
    given = Path(sys.argv[0] if sys.argv else "")
    name = given.parent.name if given.name == "__main__.py" else given.stem
    return None if name in ("", "-c") else name


def start_with_distribution() -> None:
    """Record with the providers that the distribution has set up, or else with ours.

    The upstream wrappers of clients and logs are then loaded by ``opentelemetry-instrument`` as well. It finds those
    of clients in place already, which it need not say. Its handler of logs, which sends them unasked, is left to a
    distribution that has set up a provider for them, but where it would send each record a second time.
    """
    left_to_it = existing(get_logger_provider()) is not None and not application_logs.wanted(asked=None)
    if not instrument().recording:
        return
    logging.getLogger("opentelemetry.instrumentation.instrumentor").addFilter(
        lambda record: record.getMessage() != _EXPECTED_COMPLAINT
    )
    if not left_to_it:
        LoggingInstrumentor().instrument(enable_log_auto_instrumentation=False)
