"""Writes the dashboards' files: ``python -m stack.dashboards``; with ``--check`` it only says which are stale."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from stack.dashboards.catalogue import dashboards
from stack.dashboards.validate import DashboardsError, validate
from stack.files import bring_up_to_date
from stack.settings import Settings, SettingsError
from stack.thresholds import ThresholdsError


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; 1 where thresholds or a dashboard are faulty or, checking, where a file is stale."""
    parser = argparse.ArgumentParser(prog="python -m stack.dashboards", description="Writes Grafana's dashboards.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is not up to date")
    parser.add_argument("--directory", type=Path, help="where the files are (default: grafana/dashboards)")
    options = parser.parse_args(arguments)
    try:
        directory = options.directory or Settings.load().root / "grafana" / "dashboards"
        pages = dashboards()
        validate(pages)
        files: dict[Path, str | None] = {directory / name: _text(content) for name, content in pages.items()}
        left_over = dict.fromkeys(path for path in sorted(directory.glob("*.json")) if path not in files)
        return bring_up_to_date(files | left_over, check=options.check)
    except (SettingsError, ThresholdsError, DashboardsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
