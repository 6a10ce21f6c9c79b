"""Writes the dashboards' files: ``python -m stack.dashboards``; with ``--check`` it only says which are stale."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from stack.dashboards.catalogue import dashboards
from stack.files import write_whole
from stack.settings import Settings, SettingsError
from stack.thresholds import ThresholdsError


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; 1 where the thresholds are faulty or, checking, where a file is stale."""
    parser = argparse.ArgumentParser(prog="python -m stack.dashboards", description="Writes Grafana's dashboards.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is not up to date")
    parser.add_argument("--directory", type=Path, help="where the files are (default: grafana/dashboards)")
    options = parser.parse_args(arguments)
    try:
        directory = options.directory or Settings.load().root / "grafana" / "dashboards"
        files = {directory / name: _text(content) for name, content in dashboards().items()}
        stale = [path for path, text in files.items() if _read(path) != text]
        left_over = [path for path in sorted(directory.glob("*.json")) if path not in files]
        if options.check:
            for path in [*stale, *left_over]:
                sys.stderr.write(f"{path} is not up to date: run `make generate`.\n")
            return 1 if stale or left_over else 0
        for path in left_over:
            path.unlink()
        for path in stale:
            write_whole(path, files[path])
    except (SettingsError, ThresholdsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
