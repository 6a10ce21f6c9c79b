"""The background thread that does whatever need not delay the application, in turns with the application's threads."""

import contextlib
import logging
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final

_logger = logging.getLogger("genai_observability")

_PAUSE: Final = 0.2  # seconds between two looks at the queue: waking a thread for each call would cost the caller time
_sleep: Final = time.sleep  # an application may put something else in its place
_TURN: Final = 0.001  # seconds of work after which the application may go first
_GIVE_WAY: Final = 0.000_05  # seconds; at 0 the lock would be taken back before a thread that waits for it is awake


class Turns:
    """The turns of one piece of work, which begins now."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends = time.perf_counter() + _TURN

    def give_way(self) -> None:
        """Let whoever waits go first, where this turn has been long enough."""
        if time.perf_counter() > self._ends:
            _sleep(_GIVE_WAY)
            self._ends = time.perf_counter() + _TURN


def in_each_child(method: Callable[[], object]) -> None:
    """Call a method in each child made by fork, for as long as its object lives."""
    if hasattr(os, "register_at_fork"):  # not on Windows
        known = weakref.WeakMethod(method)
        os.register_at_fork(after_in_child=lambda: (call := known()) and call())


class Worker:
    """Runs functions in order, later, in one daemon thread.

    The queue is bounded: what comes while it is full is refused and counted by the caller.
    """

    def __init__(self, *, capacity: int, warm_up: Callable[[], object]) -> None:
        """Start the thread; ``warm_up`` is the first thing it runs."""
        self.settle: Callable[[], object] = lambda: None
        """Run whenever the queue has been emptied."""
        self._capacity = capacity
        self._failure_level = logging.WARNING
        self._tasks: deque[Callable[[], object]] = deque([warm_up])
        self._start()
        in_each_child(self._restart)

    def submit(self, task: Callable[[], object]) -> bool:
        """Queue a task; ``False`` where the queue is full."""
        if len(self._tasks) >= self._capacity:
            return False
        self._tasks.append(task)
        return True

    def run(self, task: Callable[[], object], *, timeout: float) -> bool:
        """Run a task after all that is queued and wait for it; ``False`` where that took longer than ``timeout`` s.

        A signal handler may call this: it needs no lock that the interrupted thread may hold.
        """
        done = threading.Event()
        self._tasks.extend((self.settle, task, done.set))
        self._wake.put(None)
        return done.wait(timeout)

    def stop(self) -> None:
        """End the thread, once it has run what is queued."""
        self._stopped = True
        self._wake.put(None)

    def _start(self) -> None:
        self._stopped = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._loop, name="genai-observability", daemon=True).start()

    def _restart(self) -> None:
        self._tasks.clear()  # the parent process delivers its own
        if not self._stopped:
            self._start()

    def _loop(self) -> None:
        while not self._stopped:
            self._drain()
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=_PAUSE)
        self._drain()

    def _drain(self) -> None:
        if not self._tasks:
            return
        turns = Turns()
        while self._tasks:
            self._perform(self._tasks.popleft())
            turns.give_way()
        self._perform(self.settle)

    def _perform(self, task: Callable[[], object]) -> None:
        try:
            task()
        except Exception:
            _logger.log(self._failure_level, "A call could not be recorded", exc_info=True)
            self._failure_level = logging.DEBUG  # said once: a fault of ours must not fill the application's log
