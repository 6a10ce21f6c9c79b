"""One client's known calls, held against what was recorded of them."""

import json
import math
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from instrumentation.benchmarks.environments import ROOT
from instrumentation.clients.clients import Client
from instrumentation.clients.providers import Figures
from instrumentation.clients.recorded import Recorded
from instrumentation.tests.otlp_capture import Capture

_LONGEST: Final = 300.0
"""Seconds; a program takes about five."""
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR")
_ENVIRONMENT: Final = {
    "GENAI_OBSERVABILITY_USER_KEY": "clients",  # none is to be made and kept for this
    "GENAI_OBSERVABILITY_STREAM_USAGE": "always",  # the simulated provider is none that is known to report it
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one client."""

    made: int
    recorded: int
    differences: list[str]
    """Sentences; without any, everything was recorded exactly once."""
    warnings: list[str] = field(default_factory=list)
    """What the program's user would have read."""


def check(client: Client, python: Path) -> Checked:
    """Have the known calls made in the client's environment, and count."""
    with client.provider() as provider, Capture() as capture:
        # None of the user's own variables: OTEL_*, PYTHON*, and keys of real providers.
        kept = {name: value for name, value in os.environ.items() if name in _KEPT}
        environment = kept | _ENVIRONMENT | {"OTEL_EXPORTER_OTLP_ENDPOINT": capture.url}
        environment |= provider.environment | dict(client.environment)
        lines, ending = _run([str(python), "-m", client.program], environment)
        made, recorded = provider.counted(), Recorded(capture)
    calls = [line for line in lines if "name" in line]
    known, figures = sum(call["calls"] for call in calls), recorded.figures()
    return Checked(
        made=made.calls,
        recorded=figures["call records"].calls,
        differences=[*ending, *_raised(calls), *_by_name(calls, recorded), *compared(known, made, figures)],
        warnings=list(dict.fromkeys(line["warning"] for line in lines if "warning" in line)),
    )


def _run(command: list[str], environment: dict[str, str]) -> tuple[list[dict[str, Any]], list[str]]:
    """What a program said, and how it ended, unless as it should."""
    try:
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        return [], [f"its program did not end within {_LONGEST:.0f} s"]
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    errors = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
    return lines, [f"its program failed: {errors[-1]}"] if ended.returncode else []


def compared(known: int, made: Figures, recorded: Mapping[str, Figures]) -> list[str]:
    """Where figures differ from what was made, or the provider saw other calls than those that are known."""
    found = [] if known else ["its program made no call"]
    if made.calls != known:
        found.append(f"{made.calls} calls arrived at the provider, {known} are known")
    for name, right in asdict(made).items():
        wrong = {place: getattr(figures, name) for place, figures in recorded.items()}
        if not all(math.isclose(value, right, rel_tol=1e-9) for value in wrong.values()):
            told = ", ".join(f"{value:.12g} in {place}" for place, value in wrong.items())
            found.append(f"{name.replace('_', ' ')}: {right:.12g} made, {told}")
    return found


def _raised(calls: Iterable[dict[str, Any]]) -> list[str]:
    return [f"{call['name']} failed: {call['raised']}" for call in calls if call["raised"]]


def _by_name(calls: Iterable[dict[str, Any]], recorded: Recorded) -> list[str]:
    """The calls that are not recorded as often as they were made; and what was recorded that nobody made."""
    made = Counter({call["name"]: call["calls"] for call in calls})
    places = recorded.by_name()
    names = dict.fromkeys([*made, *(name for counted in places.values() for name in counted)])
    return [
        f"{name}: {made[name]} made, " + ", ".join(f"{counted[name]} in {place}" for place, counted in places.items())
        for name in names
        if any(counted[name] != made[name] for counted in places.values())
    ]
