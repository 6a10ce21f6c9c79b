"""The processes of the variants, and what they have measured."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from instrumentation.benchmarks.environments import ROOT
from instrumentation.benchmarks.variants import Variant

Turn = dict[str, float]

_MOST: Final = 0.99  # of the spans that have to arrive: batches drop what comes too fast
_ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",  # sets and dictionaries take as long in every process
    "GENAI_OBSERVABILITY_USER_KEY": "benchmark",  # none is to be made and kept for this
    "TRACELOOP_TRACE_CONTENT": "false",
}


class WorkerError(Exception):
    """A variant cannot be measured; the message says why."""


class Worker:
    """The process of one variant."""

    def __init__(self, variant: Variant, python: Path, *, under: Sequence[str] = (), **environment: str) -> None:
        """Start it, where that is given ``under`` another program; ``started`` tells how long that took.

        Raises:
            WorkerError: it does not start.
        """
        self._variant = variant
        # None of the user's own variables: OTEL_*, PYTHON* and those of the peers would change what is measured.
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [*under, str(python), "-m", "instrumentation.benchmarks.worker", variant.setup, variant.module or ""],
            cwd=ROOT,
            env=kept | _ENVIRONMENT | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.started: dict[str, Any] = self._answer()
        except BaseException:
            self.end()
            raise

    def check(self) -> dict[str, Any]:
        """Warm it up; returns what it records of the calls.

        Raises:
            WorkerError: it does not record what it should, or has ended.
        """
        found: dict[str, Any] = self._ask({"call": "check"})
        require_recording(self._variant, found)
        return found

    def repeat(self, call: str, number: int) -> None:
        """Make so many calls.

        Raises:
            WorkerError: it lost spans, so that it did less than its work, or has ended.
        """
        self._require_spans(self._ask({"call": "repeat", "kind": call, "number": number}))

    def run(self, call: str, seconds: float) -> Turn:
        """Measure calls for some seconds.

        Raises:
            WorkerError: it lost spans, so that it did less than its work, or has ended.
        """
        turn: Turn = self._ask({"call": call, "seconds": seconds})
        self._require_spans(turn)
        return turn

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _require_spans(self, turn: Turn) -> None:
        if self._variant.setup != "none" and turn["spans"] < _MOST:
            raise WorkerError(f"it lost {1 - turn['spans']:.0%} of the spans")

    def _ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        return json.loads(line)

    def _ended(self) -> WorkerError:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return WorkerError(f"its process ended: {lines[-1] if lines else 'without a word'}")


def require_recording(variant: Variant, found: dict[str, Any]) -> None:
    """Refuse a variant that would look fast or slow for the wrong reason.

    Raises:
        WorkerError: it recorded too little, or content, or used the network.
    """
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

    def add_start(self, started: dict[str, Any]) -> None:
        """Keep what a fresh process says of itself."""
        self.found |= {"openai": started["openai"]}
        self.imports.append(started["import"])
        self.starts.append(started["start"])

    def add_turn(self, call: str, turn: Turn) -> None:
        """Keep a turn."""
        self.turns.setdefault(call, []).append(turn)
