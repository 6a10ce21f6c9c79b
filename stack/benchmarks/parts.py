"""What the processes of a stack take: CPU time and memory of each part, with its children."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from stack.native import process

_MEMORY_EVERY: Final = 5.0
"""Seconds: the system adds up the pages anew at each look."""


@dataclass(slots=True)
class Use:
    """What a part took: seconds of CPU in all, and the most memory at one time, in bytes."""

    cpu: float = 0.0
    memory: int = 0


@dataclass
class Parts:
    """Servers of a stack by their names, watched."""

    state: Path
    names: Collection[str]
    uses: dict[str, Use] = field(default_factory=dict)

    @contextmanager
    def watched(self) -> Iterator[dict[str, Use]]:
        """Adds up while the block runs; the figures are complete once it is left."""
        self.uses = {name: Use() for name in self.names}
        before = {name: self.cpu(name) for name in self.names}
        ended = threading.Event()
        looking = threading.Thread(target=self._look, args=(ended,), daemon=True)
        looking.start()
        try:
            yield self.uses
        finally:
            ended.set()
            looking.join()
            for name in self.names:
                self.uses[name].cpu = self.cpu(name) - before[name]

    def memory(self) -> dict[str, int]:
        """The memory of each part now."""
        return {
            name: process.memory_bytes(running) if (running := process.find(name, state=self.state)) else 0
            for name in self.names
        }

    def _look(self, ended: threading.Event) -> None:
        while True:
            for name, memory in self.memory().items():
                self.uses[name].memory = max(self.uses[name].memory, memory)
            if ended.wait(_MEMORY_EVERY):
                return

    def cpu(self, name: str) -> float:
        """Seconds of CPU since it was started: its own, its children's, and those of children that have ended."""
        running = process.find(name, state=self.state)
        if running is None:
            return 0.0
        whole = 0.0
        main = psutil.Process(running.pid)
        for each in (main, *main.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                whole += times.user + times.system + times.children_user + times.children_system
        return whole
