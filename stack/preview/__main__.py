"""Writes every dashboard with its real data as a page: ``python -m stack.preview``."""

import argparse
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from stack.clients import Prometheus, StoreError
from stack.dashboards.answers import Frame, Stores
from stack.dashboards.queries import panels
from stack.files import write_whole
from stack.preview.data import collect, first_call
from stack.preview.occasion import Occasion
from stack.preview.page import index, render
from stack.settings import Settings, SettingsError

_USUAL = timedelta(hours=1)
_SHORTEST = timedelta(minutes=5)
_MARGIN = timedelta(seconds=30)


def main(arguments: list[str] | None = None) -> int:
    """Write the pages; 1 where the stack cannot be asked, and then nothing is written."""
    parser = argparse.ArgumentParser(
        prog="python -m stack.preview",
        description="Writes every dashboard with its real data as one HTML page, and an index of them.",
    )
    parser.add_argument(
        "--range",
        type=_length,
        dest="length",
        help="time to look back: 30m, 6h, 1d (default: 1h, or since the first call)",
    )
    parser.add_argument("--output", type=Path, help="the folder of the pages (default: .stack/preview)")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.load()
        folder = options.output or settings.state / "preview"
        _write(folder, settings, options.length)
    except (SettingsError, StoreError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{folder / 'index.html'}\n")
    return 0


def _write(folder: Path, settings: Settings, length: timedelta | None) -> None:
    """All answers first: where a store fails, the pages of the last time stay as they are."""
    dashboards = _dashboards(settings.root / "grafana" / "dashboards")
    stores = Stores.of(settings)
    end = datetime.now(UTC)
    start = end - length if length else _beginning(stores.prometheus, end)
    occasion = Occasion(start, end, end, settings.jaeger_url, settings.grafana_url, dashboards)
    console = Console()
    answers: dict[str, dict[int, list[Frame]]] = {}
    filled: dict[str, int] = {}
    for name, dashboard in dashboards.items():
        answers[name] = collect(dashboard, start=start, end=end, stores=stores)
        filled[name] = sum(1 for frames in answers[name].values() if frames)
        if console.is_terminal:
            console.print(f"{dashboard['title']}: {filled[name]} of {len(list(panels(dashboard)))} panels have data")
    for name, dashboard in dashboards.items():
        write_whole(folder / f"{name}.html", render(dashboard, answers[name], occasion))
    write_whole(folder / "index.html", index(filled, occasion))


def _dashboards(folder: Path) -> dict[str, dict[str, Any]]:
    """By their names; the overview is the first to read."""
    paths = sorted(folder.glob("*.json"), key=lambda path: (path.stem != "overview", path.stem))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def _beginning(prometheus: Prometheus, end: datetime) -> datetime:
    """An hour ago, or shortly before the first call within that hour, so that graphs are not mostly empty."""
    first = first_call(prometheus, start=end - _USUAL, end=end)
    return end - _USUAL if first is None else max(end - _USUAL, min(first - _MARGIN, end - _SHORTEST))


def _length(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,4})([mhd])", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no time to look back: write 30m, 6h or 1d")
    return int(found[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[found[2]]


if __name__ == "__main__":
    sys.exit(main())
