"""The order in which things are measured: what fails is noted, the others go on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from instrumentation.benchmarks.environments import InstallError, python_of
from instrumentation.benchmarks.processes import Measured, Worker, WorkerError
from instrumentation.benchmarks.variants import BY_NAME, CALLS, Variant

_STARTS: Final = 7  # fresh processes for the import time, at the most


class Comparison:
    """Measures variants against each other."""

    def __init__(self, variants: list[Variant], folder: Path) -> None:
        """The environments are below ``folder``, made where they are missing."""
        self.failures: dict[Variant, str] = {}
        self._measured = {variant: Measured() for variant in variants}
        self._folder = folder
        self._pythons: dict[Variant, Path] = {}
        self._workers: dict[Variant, Worker] = {}

    def run(self, rounds: int, seconds: float) -> None:
        """Measure all, first the import times, then the calls."""
        try:
            self._install()
            for number in range(min(rounds, _STARTS)):
                self._time_imports(number)
            self._start()
            for call in CALLS:
                for number in range(rounds):
                    progress(f"{call} calls, round {number + 1} of {rounds}")
                    self._take_turns(call, seconds, number)
        finally:
            for worker in self._workers.values():
                worker.end()
            progress("")

    def results(self) -> dict[Variant, Measured]:
        """What was measured whole, with a baseline that was too."""
        for variant in self._measured:
            if variant not in self.failures and (baseline := BY_NAME[variant.baseline]) in self.failures:
                self.failures[variant] = f"there is nothing to hold it against, as '{baseline.title}' failed"
        return {variant: measured for variant, measured in self._measured.items() if variant not in self.failures}

    def _install(self) -> None:
        for variant in self._going_on():
            progress(f"installing {variant.title}")
            with self._failing(variant):
                self._pythons[variant] = python_of(variant.environment, self._folder)

    def _time_imports(self, number: int) -> None:
        progress(f"import times, round {number + 1}")
        for variant in self._going_on(number):
            with self._failing(variant):
                worker = Worker(variant, self._pythons[variant])
                self._measured[variant].add_start(worker.started)
                worker.end()

    def _start(self) -> None:
        for variant in self._going_on():
            progress(f"starting {variant.title}")
            with self._failing(variant):
                self._workers[variant] = Worker(variant, self._pythons[variant])
                self._measured[variant].found |= self._workers[variant].check()

    def _take_turns(self, call: str, seconds: float, number: int) -> None:
        for variant in self._going_on(number):
            with self._failing(variant):
                self._measured[variant].add_turn(call, self._workers[variant].run(call, seconds))

    def _going_on(self, number: int = 0) -> list[Variant]:
        """What has not failed; each round begins with another one, so that none always follows the same other."""
        order = [variant for variant in self._measured if variant not in self.failures]
        first = number % max(len(order), 1)
        return order[first:] + order[:first]

    @contextmanager
    def _failing(self, variant: Variant) -> Iterator[None]:
        try:
            yield
        except (InstallError, WorkerError) as error:
            self.failures[variant] = str(error)


def progress(text: str) -> None:
    """Show in one line of a terminal what is being done; nothing for an empty text."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()
