"""Writes the overview with its real data as one page: ``python -m stack.preview``."""

import argparse
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stack.clients import Loki, Prometheus, StoreError
from stack.files import write_whole
from stack.preview.data import collect, first_call
from stack.preview.page import Occasion, render
from stack.settings import Settings, SettingsError

_USUAL = timedelta(hours=1)
_SHORTEST = timedelta(minutes=5)
_MARGIN = timedelta(seconds=30)


def main(arguments: list[str] | None = None) -> int:
    """Write the page; 1 where the stack cannot be asked."""
    parser = argparse.ArgumentParser(
        prog="python -m stack.preview", description="Writes the overview dashboard with its real data as one HTML page."
    )
    parser.add_argument(
        "--range",
        type=_length,
        dest="length",
        help="time to look back: 30m, 6h, 1d (default: 1h, or since the first call)",
    )
    parser.add_argument("--output", type=Path, help="the page (default: .stack/preview.html)")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.load()
        output = options.output or settings.state / "preview.html"
        write_whole(output, _page(settings, options.length))
    except (SettingsError, StoreError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{output}\n")
    return 0


def _page(settings: Settings, length: timedelta | None) -> str:
    path = settings.root / "grafana" / "dashboards" / "overview.json"
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    prometheus, loki = Prometheus(settings.prometheus_url), Loki(settings.loki_url)
    end = datetime.now(UTC)
    start = end - length if length else _beginning(prometheus, end)
    answers = collect(dashboard, start=start, end=end, prometheus=prometheus, loki=loki)
    occasion = Occasion(start, end, datetime.now(UTC), settings.jaeger_url, settings.grafana_url)
    return render(dashboard, answers, occasion)


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
