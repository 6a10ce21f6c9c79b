"""Runs Prometheus' own rules engine over made-up samples: the program ``replay`` that is built beside the server."""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path


class ReplayError(Exception):
    """The engine cannot be run, or a rule failed; one sentence."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert from its beginning to its end; ``None`` where it still fires when the replay ends."""

    labels: dict[str, str]
    begun: datetime
    ended: datetime | None

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels["alertname"]

    @property
    def severity(self) -> str:
        """How urgent it is."""
        return self.labels.get("severity", "")


def replay(
    program: Path,
    rules: Sequence[Path],
    labels: Sequence[dict[str, str]],
    steps: Iterable[Sequence[float | None]],
    *,
    start: datetime,
    step: timedelta,
    on_step: Callable[[], object] = lambda: None,
) -> list[Firing]:
    """All alerts that the rules give, in the order in which they begin.

    Raises:
        ReplayError: the program is missing, or says what is wrong.
    """
    command = [str(program), "--start", f"{start:%Y-%m-%dT%H:%M:%SZ}", "--step", f"{step.total_seconds():g}s"]
    with (
        # Its database is deleted here, as the program itself cannot where it is interrupted.
        tempfile.TemporaryDirectory(prefix="genai-replay-") as folder,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as complaint,
    ):
        try:
            child = subprocess.Popen(  # noqa: S603
                [*command, *map(str, rules)],
                stdin=subprocess.PIPE, stdout=output, stderr=complaint, text=True, env=os.environ | {"TMPDIR": folder},
            )  # fmt: skip
        except OSError as error:
            raise ReplayError(f"{program} cannot be run ({error.strerror}): build it with `make up`.") from error
        assert child.stdin  # noqa: S101 - as it is a pipe
        try:
            with contextlib.suppress(BrokenPipeError), child.stdin:  # it has ended, and says why
                child.stdin.write(json.dumps(list(labels)) + "\n")
                for values in steps:
                    child.stdin.write(" ".join("" if value is None else f"{value:.10g}" for value in values) + "\n")
                    on_step()
            code = child.wait()
        finally:
            child.kill()
            child.wait()
        output.seek(0)
        complaint.seek(0)
        if code:
            raise ReplayError(complaint.read().strip() or f"{program} ended with status {code}.")
        return _firings(output.read())


def _firings(output: str) -> list[Firing]:
    open_: dict[str, tuple[dict[str, str], datetime]] = {}
    found: list[Firing] = []
    for line in output.splitlines():
        event = json.loads(line)
        key, time = json.dumps(event["labels"], sort_keys=True), datetime.fromisoformat(event["time"])
        if event["state"] == "firing":
            open_[key] = (event["labels"], time)
        else:
            labels, begun = open_.pop(key)
            found.append(Firing(labels, begun, time))
    found += [Firing(labels, begun, None) for labels, begun in open_.values()]
    return sorted(found, key=lambda each: each.begun)
