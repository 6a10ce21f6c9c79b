"""Brings back servers that have ended by themselves, as nobody else does without a container engine.

A process of its own, which `make up` starts last and `make down` ends first.
"""

import contextlib
import logging
import sys
import time
from dataclasses import dataclass
from typing import Final

from stack.native import process
from stack.native.process import Program, Running, StackError
from stack.native.run import KEEPER, locked
from stack.native.servers import Server, servers
from stack.settings import Settings

_LOOKS: Final = 1.0
"""Seconds between two looks."""
_LONGEST: Final = 60.0
"""Seconds that the pause before a start grows to, from one on: a server that cannot start must not take the machine."""
_STEADY: Final = 600.0
"""Seconds after which a server that runs counts as sound again."""

_logger = logging.getLogger("keeper")


def start(settings: Settings) -> None:
    """Have the servers that run now kept alive, with these settings."""
    if earlier := process.find(KEEPER, state=settings.state):
        process.stop(earlier, state=settings.state)
    command = (sys.executable, "-m", "stack.native.keeper")
    keeper = Program(name=KEEPER, command=command, environment=settings.variables(), without=("OTEL_",))
    process.start(keeper, state=settings.state)


@dataclass(slots=True)
class _Absence:
    """A server that has ended, and when it may be started again, on the monotonic clock."""

    next: float
    pause: float = 1.0


class Keeper:
    """Starts again what has ended without being asked to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers: dict[str, Server] = {server.name: server for server in servers(settings)}
        self._absences: dict[str, _Absence] = {}

    def look(self) -> None:
        """Start again each server that is due; one that another command is starting or stopping is left to that."""
        now = time.monotonic()
        for ended in process.find_ended(state=self._settings.state):
            absence = self._absences.setdefault(ended.name, _Absence(now + 1.0))
            if ended.name in self._servers and now >= absence.next:
                with contextlib.suppress(StackError):  # another command holds the lock, or the program is gone
                    self._start(ended)
                absence.pause = min(absence.pause * 2, _LONGEST)
                absence.next = now + absence.pause
        for running in process.find_all(state=self._settings.state):
            if time.time() - running.started > _STEADY:
                self._absences.pop(running.name, None)

    def _start(self, ended: Running) -> None:
        with locked(self._settings.state):
            if ended not in process.find_ended(state=self._settings.state):
                return  # ended on purpose, or started again, meanwhile
            process.start(
                self._servers[ended.name],
                state=self._settings.state,
                fingerprint=ended.fingerprint,
                configuration=ended.configuration,
                restarts=ended.restarts + 1,
            )
        _logger.warning("%s had ended by itself (pid %d) and was started again.", ended.name, ended.pid)


def main() -> None:
    """Look for ever."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    keeper = Keeper(Settings.load())
    while True:
        time.sleep(_LOOKS)
        keeper.look()


if __name__ == "__main__":
    main()
