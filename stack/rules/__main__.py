"""Writes the rules files: ``python -m stack.rules``; with ``--check`` it only says which are not up to date."""

import argparse
import sys
from pathlib import Path

from stack.files import write_whole
from stack.rules import calls, cost, errors, latency, stack_health, tokens
from stack.rules.model import GENERATED, rules_file
from stack.settings import Settings, SettingsError
from stack.thresholds import FILE, Thresholds, ThresholdsError

_SUBJECTS = {
    "calls": calls.groups,
    "errors": errors.groups,
    "latency": latency.groups,
    "tokens": tokens.groups,
    "cost": cost.groups,
    "stack_health": stack_health.groups,
}


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; 1 where the thresholds are faulty or, checking, where a file is stale."""
    parser = argparse.ArgumentParser(prog="python -m stack.rules", description="Writes Prometheus' rules files.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is not up to date")
    parser.add_argument("--thresholds", type=Path, default=FILE, help="thresholds to use (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where the rules files are (default: prometheus/rules)")
    options = parser.parse_args(arguments)
    try:
        directory = options.directory or Settings.load().root / "prometheus" / "rules"
        files = render(Thresholds.load(options.thresholds))
        stale = [path for path in _paths(directory, files) if _read(path) != files.get(path.name)]
        if options.check:
            for path in stale:
                sys.stderr.write(f"{path} is not up to date: run `make generate`.\n")
            return 1 if stale else 0
        for path in stale:
            if path.name in files:
                write_whole(path, files[path.name])
            else:
                path.unlink()
    except (SettingsError, ThresholdsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def render(thresholds: Thresholds) -> dict[str, str]:
    """The text of every rules file, by its name."""
    return {f"{subject}.yaml": rules_file(groups(thresholds), thresholds) for subject, groups in _SUBJECTS.items()}


def _paths(directory: Path, files: dict[str, str]) -> list[Path]:
    """The files that must be there, and generated ones that no longer have a subject."""
    left_over = [path for path in directory.glob("*.yaml") if (_read(path) or "").startswith(GENERATED)]
    return sorted({*left_over, *(directory / name for name in files)})


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
