"""A name for this process that the next one may take over, so that restarts do not make new metric series for ever."""

import os
import re
import socket
import tempfile
from pathlib import Path
from typing import Final
from uuid import uuid4

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MOST: Final = 256
_held: Final[list[tuple[int, tuple[int, int]]]] = []
"""Descriptors whose locks last as long as the process does, with the files they are of."""


def instance_id(service: str, *, host: str = "") -> str:
    """``host:n`` with the smallest n that no living process of the same service holds on this host.

    Two processes must never write one series, so where slots cannot be locked the name is a random one.
    """
    host = host or socket.gethostname()
    name = re.sub(r"\W+", "-", service)[:80]
    try:
        directory = Path(tempfile.gettempdir()) / f"genai-observability-{os.getuid() if fcntl else 0}"
        directory.mkdir(mode=0o700, exist_ok=True)
        for number in range(_MOST):
            if _lock(directory / f"{name}.{number}"):
                return f"{host}:{number}"
    except OSError:
        pass
    return f"{host}:{uuid4().hex[:12]}"


def let_go() -> None:
    """Let go of the names that are held: at the end, or in a child made by fork, whose parent has them."""
    while _held:
        descriptor, file = _held.pop()
        try:
            if _file(descriptor) == file:  # else the application has closed it, and uses the number for another file
                os.close(descriptor)
        except OSError:
            pass  # closed, as daemons do


def _file(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _lock(path: Path) -> bool:
    if fcntl is None:
        raise OSError("no file locks here")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held.append((descriptor, _file(descriptor)))
    return True
