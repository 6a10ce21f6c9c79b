"""A command that is ended from outside, by `timeout` or a job's limit, leaves no process and no temporary folder."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from stack.settings import Settings
from tests.end_to_end.live import ROOT, eventually, without_otel
from tests.stores import settings_at

BENCH = ("bench", "BENCH=--variants none --rounds 60 --seconds 0.5", "HISTORY=--days 1")
AT = {
    "calls are timed": (BENCH, "instrumentation.benchmarks.worker"),
    "a history is written": (("bench", "BENCH=--variants none --rounds 1 --seconds 0.1"), "/fill"),
    "dashboards are timed": (
        ("bench", "BENCH=--variants none --rounds 1 --seconds 0.1", "HISTORY=--days 1"),
        "/prometheus",
    ),
    "a drill's applications serve": (("drill", "DRILL=--only error-burst"), "demo.app"),
    "the demo's application serves": (("demo",), "demo.app"),
    "a month is replayed": (("month",), "/replay"),
}


@pytest.mark.parametrize("whole_group", [True, False], ids=["the group is signalled", "make is signalled"])
@pytest.mark.parametrize("moment", AT)
def test_a_command_that_is_ended_leaves_no_process_and_no_temporary_folder(
    moment: str, tmp_path: Path, *, whole_group: bool
) -> None:
    target, awaited = AT[moment]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with (
        (tmp_path / "output").open("w") as output,
        subprocess.Popen(
            ["make", *target],
            cwd=ROOT,
            env=without_otel(**_settings(target[0], tmp_path).variables(), TMPDIR=str(temporary)),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as command,
    ):
        try:
            assert eventually(lambda: _has_started(temporary, awaited), within=300), (tmp_path / "output").read_text()
            # `timeout` signals the group, and `make` then passes on what it got itself: a command hears it twice.
            (os.killpg if whole_group else os.kill)(command.pid, signal.SIGTERM)
            assert command.wait(timeout=60) != 0
            assert eventually(lambda: not _processes(temporary), within=5), _processes(temporary)
        finally:
            for process in _processes(temporary):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
    assert list(temporary.iterdir()) == []
    assert "Traceback" not in (tmp_path / "output").read_text()


def _settings(target: str, folder: Path) -> Settings:
    """Free ports and a folder of its own; a benchmark makes these itself, and keeps its environments in the usual."""
    return Settings.load() if target == "bench" else settings_at(folder / "state")


def _has_started(temporary: Path, program: str) -> bool:
    return any(program in command or command[0].endswith(program) for command in _processes(temporary).values())


def _processes(temporary: Path) -> dict[psutil.Process, list[str]]:
    """Whatever the command has started, also what has left its group: it was told where temporary files belong."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended meanwhile
            if process.environ().get("TMPDIR", "").startswith(str(temporary)) and (command := process.cmdline()):
                found[process] = command
    return found
