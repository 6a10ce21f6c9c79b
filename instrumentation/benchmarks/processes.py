"""The processes of the variants, and what they have measured."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from instrumentation.benchmarks.environments import ROOT
from instrumentation.benchmarks.variants import Variant

Turn = dict[str, float]

_ENVIRONMENT: Final = {
    "GENAI_OBSERVABILITY_USER_KEY": "benchmark",  # none is to be made and kept for this
    "TRACELOOP_TRACE_CONTENT": "false",
}


class WorkerError(Exception):
    """A variant cannot be measured; the message says why."""


class Worker:
    """The process of one variant, ready to measure."""

    def __init__(self, variant: Variant, python: Path) -> None:
        """Start it and check what it records.

        Raises:
            WorkerError: it does not start, or does not record what it should.
        """
        # None of the user's own variables: OTEL_*, PYTHON* and those of the peers would change what is measured.
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        self._process = subprocess.Popen(
            [str(python), "-m", "instrumentation.benchmarks.worker", variant.setup, variant.module or ""],
            cwd=ROOT,
            env=kept | _ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self.found: dict[str, Any] = self._answer()
            _require_recording(variant, self.found)
        except BaseException:
            self.end()
            raise

    def run(self, call: str, seconds: float) -> Turn:
        """Measure calls for some seconds.

        Raises:
            WorkerError: the process has ended.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps({"call": call, "seconds": seconds}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        turn: Turn = self._answer()
        return turn

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        return json.loads(line)

    def _ended(self) -> WorkerError:
        assert self._process.stderr
        lines = self._process.stderr.read().strip().splitlines()
        return WorkerError(f"its process ended: {lines[-1] if lines else 'without a word'}")


def _require_recording(variant: Variant, found: dict[str, Any]) -> None:
    """A variant that records nothing, or what it should not, would look fast or slow for the wrong reason."""
    if found["network"]:
        raise WorkerError(f"it tried to connect to {found['network'][0]}")
    if variant.setup == "none":
        return
    if found["spans"] < found["calls"]:
        raise WorkerError(f"it recorded {found['spans']} spans of {found['calls']} calls")
    if found["content"] and not variant.keeps_content:
        raise WorkerError("it recorded content although that was switched off")


@dataclass(slots=True)
class Measured:
    """What was measured of one variant, in microseconds, in the order of the rounds."""

    found: dict[str, Any] = field(default_factory=dict)
    imports: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    turns: dict[str, list[Turn]] = field(default_factory=dict)

    def add_start(self, found: dict[str, Any]) -> None:
        """Keep what a fresh process says of itself."""
        self.found = found
        self.imports.append(found["import"])
        self.starts.append(found["start"])

    def add_turn(self, call: str, turn: Turn) -> None:
        """Keep a turn."""
        self.turns.setdefault(call, []).append(turn)
