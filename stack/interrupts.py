"""How a command that is ended from outside still ends what it has started: one way for all of them."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final

_ONE: Final = 30.0
"""Seconds within which several signals are one wish: `timeout` signals `make` and all of its group, and `make` passes
that on, so that one command gets two. The second must not break off the tidying up that the first has begun."""


def interrupt_on_termination() -> None:
    """Lets SIGTERM (`timeout`, `kill`, a stopped job) and SIGHUP (a closed terminal) do what Ctrl-C does.

    They raise KeyboardInterrupt, so that every `with` and `finally` ends what the command has started.
    """
    heeded = float("-inf")

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal heeded
        if time.monotonic() - heeded > _ONE:
            heeded = time.monotonic()
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Lets Ctrl-C and termination wait until the block is left.

    So nothing is started without being remembered, and nothing is left that was being ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are delivered to the main thread only
        return
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for interrupt, handler in previous.items():
            signal.signal(interrupt, handler)
        for number in received:
            signal.raise_signal(number)
