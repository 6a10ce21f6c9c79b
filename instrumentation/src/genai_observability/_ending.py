"""How processes end without Python's own end, by SIGTERM or as children of a library: what was recorded is delivered.

To the application SIGTERM is at the system's default, ``signal.SIG_DFL``, and the process ends by the signal as ever; a
handler that it sets, or ``signal.SIG_IGN``, is left alone. What stands for the default is set with ``signal.signal``,
and so must be put back where a server that had a handler of its own sets the default again: ``uvicorn`` does so at its
end, before it raises the signal a second time.

Python runs handlers between two steps of its own in the main thread: a main thread that is inside one long call of a
C library ends once that call returns.
"""

import functools
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Protocol
from weakref import WeakSet


class Recording(Protocol):
    """What is to be delivered."""

    def deliver(self, **details: Any) -> None:
        """Export what was recorded, within a bounded time; the details are those of Celery's signal."""


def deliver_at_end(recording: Recording, *, forked: bool) -> None:
    """Deliver at the end of this process, where it is a child of these libraries: ``forked`` just now, or running."""
    if util := sys.modules.get("multiprocessing.util"):
        multiprocessing = sys.modules["multiprocessing"]
        # Not set up yet is one that was forked just now, and one by "forkserver" that reads its program.
        if forked or multiprocessing.parent_process() is None:
            if recording not in _registered:
                _registered.add(recording)
                util.register_after_fork(recording, _before_exit)
        elif multiprocessing.get_start_method() != "spawn":  # which ends as every program does
            _before_exit(recording)
    if celery := sys.modules.get("celery.signals"):  # whose pool is not of multiprocessing
        celery.worker_process_shutdown.connect(recording.deliver)  # weakly, and only once


def _before_exit(recording: Recording) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, recording.deliver, exitpriority=0)


_registered: WeakSet[Recording] = WeakSet()
_signal: Callable[[int, Any], Any] = signal.signal
_getsignal: Callable[[int], Any] = signal.getsignal
_deliver: Callable[[], object] | None = None
_ending_process: int | None = None


def deliver_before_end(deliver: Callable[[], object]) -> None:
    """Call ``deliver`` before SIGTERM ends this process, or a child made by fork.

    It is called in the main thread, which may hold any lock: it must leave the work to another thread, and wait for
    that a bounded time only.
    """
    global _deliver
    _deliver = deliver
    _stand_in_for_default()
    if _get(signal.SIGTERM) == signal.SIG_DFL:
        with suppress(ValueError):  # not in the main thread, the only one that may set handlers
            _set(signal.SIGTERM, signal.SIG_DFL)


def forget() -> None:
    """Let SIGTERM end the process at once again."""
    global _deliver
    _deliver = None
    if _getsignal(signal.SIGTERM) is _end:
        with suppress(ValueError):
            _signal(signal.SIGTERM, signal.SIG_DFL)


@functools.cache
def _stand_in_for_default() -> None:
    """Only once, and for good: what another library puts around these functions later must not be taken away."""
    global _signal, _getsignal
    _signal, _getsignal = signal.signal, signal.getsignal
    signal.signal, signal.getsignal = _set, _get


@functools.wraps(signal.signal)
def _set(signalnum: int, handler: Any) -> Any:
    if _deliver is not None and signalnum == signal.SIGTERM and handler == signal.SIG_DFL:
        handler = _end
    return _as_default(_signal(signalnum, handler))


@functools.wraps(signal.getsignal)
def _get(signalnum: int) -> Any:
    return _as_default(_getsignal(signalnum))


def _as_default(handler: Any) -> Any:
    return signal.SIG_DFL if handler is _end else handler


def _end(signalnum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    global _ending_process
    if _getsignal(signal.SIGTERM) is not _end:  # called by a handler in its place, which ends the process its own way
        return
    if _ending_process == os.getpid():  # a second signal, as `timeout` sends: the first is about to end the process
        return
    _ending_process = os.getpid()
    try:
        if _deliver is not None:
            _deliver()
    finally:  # also where Ctrl-C ends the waiting
        _signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)  # the first process of a container lives on, as without all this
