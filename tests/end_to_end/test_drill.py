"""Two drills at the same time, each with a stack of its own, as a user runs them; the full drill is `make drill`."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.native import process
from tests.end_to_end.live import ROOT, without_otel


@contextmanager
def drill(state: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running drill; one that a failing test leaves behind is interrupted."""
    with subprocess.Popen(
        [sys.executable, "-m", "demo.drill", "--warm-up", "5", "--patience", "1", *arguments],
        cwd=ROOT,
        env=without_otel(GENAI_STACK_DIR=str(state), GENAI_STACK_BIN=binaries()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGINT)


def binaries() -> str:
    return os.environ.get("GENAI_STACK_BIN") or str(ROOT / ".stack" / "bin")


def left(state: Path) -> list[process.Running]:
    folders = [state / "drill", *(state / "drill" / "services").glob("*")]
    return [running for folder in folders for running in process.find_all(state=folder)]


def test_an_error_burst_and_a_dead_server_are_known_within_a_minute(tmp_path: Path) -> None:
    with (
        drill(tmp_path / "burst", "--only", "error-burst") as burst,
        drill(tmp_path / "killed", "--only", "postgres-killed") as killed,
    ):
        for name, running in (("error-burst", burst), ("postgres-killed", killed)):
            output, _ = running.communicate(timeout=150)
            assert running.returncode == 0, output
            row = next(line for line in output.splitlines() if line.split()[:1] == [name])
            assert re.search(r" 60 s +\d+ s +inbox, pagerduty, slack, webhook +none ", row), output
    assert left(tmp_path / "burst") == left(tmp_path / "killed") == []


def test_an_interrupted_drill_leaves_nothing_behind(tmp_path: Path) -> None:
    with drill(tmp_path, "--only", "error-burst") as running:
        assert running.stdout
        assert any("has to arrive" in line for line in running.stdout)
        assert left(tmp_path)
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=60)
    assert running.returncode == 130, output
    assert "Interrupted" in output
    assert "Traceback" not in output
    assert left(tmp_path) == []
