"""Work in the background that takes turns with the application.

Python runs one thread at a time, and one that works without a pause keeps the others waiting for 5 ms each time.
"""

import time
from typing import Final

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
