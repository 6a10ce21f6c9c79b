"""Writes the rules files of Prometheus: ``python -m stack.rules``.

With ``--check`` it only says which are not up to date.
"""

import argparse
import sys
from pathlib import Path

from stack.dashboards import alerts, dashboards
from stack.files import bring_up_to_date
from stack.reader import FileError
from stack.rules import (
    baselines,
    calls,
    changes,
    cost,
    drift,
    errors,
    escalation,
    history,
    latency,
    quality,
    requests,
    security,
    slo,
    stack_health,
    telemetry,
    tokens,
    waste,
)
from stack.rules.model import GENERATED, rules_file
from stack.settings import Settings, SettingsError
from stack.slos import FILE as SLOS
from stack.slos import Slos
from stack.thresholds import FILE, Thresholds

_SUBJECTS = {
    "calls": calls.groups,
    "errors": errors.groups,
    "latency": latency.groups,
    "tokens": tokens.groups,
    "cost": cost.groups,
    "waste": waste.groups,
    "security": security.groups,
    "telemetry": telemetry.groups,
    "stack_health": stack_health.groups,
    "baselines": baselines.groups,
    "drift": drift.groups,
    "changes": changes.groups,
    "quality": quality.groups,
    "escalation": escalation.groups,
    "requests": requests.groups,
    "history": history.groups,
}


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; 1 where thresholds or objectives are faulty or, checking, where a file is stale."""
    parser = argparse.ArgumentParser(prog="python -m stack.rules", description="Writes the rules files.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is not up to date")
    parser.add_argument("--thresholds", type=Path, default=FILE, help="thresholds to use (default: %(default)s)")
    parser.add_argument("--slos", type=Path, default=SLOS, help="objectives to use (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="write into this directory instead")
    options = parser.parse_args(arguments)
    try:
        root = Settings.load().root
        directory = options.directory or root / "prometheus" / "rules"
        wanted = _files(directory, render(Thresholds.load(options.thresholds), Slos.load(options.slos)))
        return bring_up_to_date(dict(sorted(wanted.items())), check=options.check)
    except (SettingsError, FileError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def render(thresholds: Thresholds, slos: Slos | None = None) -> dict[str, str]:
    """The text of every rules file, by its name; without objectives, those of the file."""
    subjects = {subject: groups(thresholds) for subject, groups in _SUBJECTS.items()}
    subjects["slo"] = slo.groups(Slos.load() if slos is None else slos)
    panels = alerts.paths(dashboards(thresholds))
    return {f"{subject}.yaml": rules_file(groups, thresholds, panels) for subject, groups in subjects.items()}


def _files(directory: Path, files: dict[str, str]) -> dict[Path, str | None]:
    """The files that must be there with their texts, and without one those that no longer have a subject."""
    present = [path for path in directory.glob("*.yaml") if path.is_file()]
    left_over = [path for path in present if path.read_text(encoding="utf-8").startswith(GENERATED)]
    return dict.fromkeys(left_over) | {directory / name: text for name, text in files.items()}


if __name__ == "__main__":
    sys.exit(main())
