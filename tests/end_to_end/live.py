"""What the end-to-end tests share: settings of a stack of their own, and waiting for data to arrive."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from stack.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Demonstration:
    """A finished run of the demonstration."""

    began: datetime
    ended: datetime
    output: str


def settings_at(state: Path) -> Settings:
    """Settings with free ports, and with the servers that the repository has built."""
    names = [field.name.upper() for field in fields(Settings) if field.name.endswith("_port")]
    environment = dict(zip(names, _free_ports(len(names)), strict=True))
    binaries = os.environ.get("GENAI_STACK_BIN") or str(ROOT / ".stack" / "bin")
    return Settings.load(environment | {"GENAI_STACK_DIR": str(state), "GENAI_STACK_BIN": binaries})


def eventually(find: Callable[[], _Found], *, within: float = 30.0) -> _Found:
    """The first value that is true, tried for so many seconds; after that the last one."""
    deadline = time.monotonic() + within
    while not (found := find()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return found


def without_otel(**more: str) -> dict[str, str]:
    """This process' environment without settings of OpenTelemetry, and with more."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | more


def _free_ports(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
