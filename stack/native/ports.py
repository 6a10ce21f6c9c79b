"""Ports of this machine that nothing uses."""

import random
import socket
from dataclasses import fields
from pathlib import Path

from stack.settings import Logs, Settings

choice = range(10_000, 32_000)
"""Below the ports that the system gives to outgoing connections: one of those may be gone a moment later.

Tests that run side by side choose from a part each.
"""


def is_free(port: int) -> bool:
    """Whether a server could listen on it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections that are only winding down do not keep a port from being used.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """As many free ports in a row, for servers to be started soon.

    Where is left to chance: others may be looking for some at the same time, and rows seldom meet.
    """
    while True:
        first = random.choice(choice)  # noqa: S311 -- not a secret
        ports = list(range(first, first + count))
        if all(map(is_free, ports)):
            return ports


def settings_at(state: Path, *, logs: Logs = "victorialogs") -> Settings:
    """Settings with free ports, with everything below ``state`` but the servers that are built already."""
    names = [field.name.upper() for field in fields(Settings) if field.name.endswith("_port")]
    ports = {name: str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}
    places = {"GENAI_STACK_DIR": str(state), "GENAI_STACK_BIN": str(Settings.load().binaries)}
    return Settings.load({**ports, **places, "LOGS": logs})
