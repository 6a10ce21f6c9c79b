"""Puts the panels on one page, which needs nothing else to be shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from stack.preview.data import Frame
from stack.preview.panels import view

_TEMPLATES = Environment(
    loader=PackageLoader("stack.preview"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Occasion:
    """The time range that a page shows, when it was made, and from which stack."""

    start: datetime
    end: datetime
    made: datetime
    jaeger_url: str
    grafana_url: str


def render(dashboard: dict[str, Any], answers: Mapping[int, Sequence[Frame]], occasion: Occasion) -> str:
    """The page as HTML. A panel without an answer carries the attribute ``data-empty="true"``.

    Raises:
        ValueError: the dashboard has a type of panel that the page cannot draw.
    """

    # Jaeger's own page is not part of the native build; its answer as JSON can be read in a browser.
    def trace_url(trace_id: str) -> str:
        return f"{occasion.jaeger_url}/api/traces/{trace_id}?prettyPrint=true"

    return _TEMPLATES.get_template("page.html").render(
        title=dashboard["title"],
        uid=dashboard["uid"],
        rows=[
            {"title": heading, "panels": [view(panel, answers.get(panel["id"], ()), trace_url) for panel in panels]}
            for heading, panels in _rows(dashboard)
        ],
        occasion=occasion,
        length=_length(occasion.start, occasion.end),
        library=(files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
    )


def _rows(dashboard: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The panels under their row's heading."""
    rows: list[tuple[str, list[dict[str, Any]]]] = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            rows.append((panel["title"], []))
        else:
            rows[-1][1].append(panel)
    return rows


def _length(start: datetime, end: datetime) -> str:
    minutes = round((end - start).total_seconds() / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if not hours else f"{hours} h {rest} min" if rest else f"{hours} h"
