"""How the servers are doing, and where their logs are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.native import process
from stack.native.process import StackError
from stack.native.servers import servers
from stack.settings import Settings


@dataclass(frozen=True, kw_only=True)
class State:
    """How one server is doing."""

    name: str
    state: str
    """`ready`, `not ready` or `stopped`."""
    pid: int | None
    url: str
    uptime: float
    """In seconds."""
    memory: int
    """In bytes; its children's included."""
    restarts: int = 0
    """How often it has ended by itself and was started again."""


def status(settings: Settings) -> list[State]:
    """How every server of the stack is doing, in the order in which they are started."""
    states = []
    for server in servers(settings):
        running = process.find(server.name, state=settings.state)
        state = "stopped" if not running else "ready" if process.is_ready(server) else "not ready"
        states.append(
            State(
                name=server.name,
                state=state,
                pid=running.pid if running else None,
                url=server.url,
                uptime=time.time() - running.started if running else 0.0,
                memory=process.memory_bytes(running) if running else 0,
                restarts=running.restarts if running else 0,
            )
        )
    return states


def logs(settings: Settings, names: Sequence[str]) -> dict[str, Path]:
    """The log files of these names (builds and the demo have one, too), or of all servers.

    Raises:
        StackError: there is no server or log of that name.
    """
    folder = settings.state / "logs"
    found = {path.stem: path for path in sorted(folder.glob("*.log"))}
    for name in names:
        if name not in found:
            raise StackError(f"There is no log of {name!r}. There are: {', '.join(found) or 'none yet'}.")
    return {name: found[name] for name in names or [each.name for each in servers(settings) if each.name in found]}
