"""Puts the panels of a dashboard on one page, and the pages on an index.

Every page carries the chart library: five megabytes each, so that a page can be sent to someone as the one file it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from stack.dashboards.answers import Frame
from stack.dashboards.queries import panels
from stack.preview.occasion import Occasion
from stack.preview.panels import view

Dashboard = Mapping[str, Any]
Answers = Mapping[int, Sequence[Frame]]

_TEMPLATES = Environment(
    loader=PackageLoader("stack.preview"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(dashboard: dict[str, Any], answers: Answers, occasion: Occasion) -> str:
    """The page as HTML. A panel without an answer carries the attribute ``data-empty="true"``.

    Raises:
        ValueError: the dashboard has a type of panel that the page cannot draw.
    """
    return _TEMPLATES.get_template("page.html").render(
        title=dashboard["title"],
        uid=dashboard["uid"],
        choices=[
            {"name": item["label"], "value": item["current"]["text"]}
            for item in dashboard["templating"]["list"]
            if not item.get("hide")
        ],
        rows=[
            {"title": heading, "panels": [view(panel, answers.get(panel["id"], ()), occasion) for panel in group]}
            for heading, group in _rows(dashboard)
        ],
        library=(files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
        **_surroundings(occasion),
    )


def index(filled: Mapping[str, int], occasion: Occasion) -> str:
    """The page that leads to the others; ``filled`` has the number of panels with data, by the name of the page."""
    return _TEMPLATES.get_template("index.html").render(
        title="GenAI dashboards",
        uid="",
        dashboards=[
            {
                "file": f"{name}.html",
                "title": dashboard["title"],
                "question": next(heading for heading, _ in _rows(dashboard)),
                "about": dashboard["description"].partition(": change it there. ")[2],
                "filled": filled[name],
                "panels": sum(1 for _ in panels(dashboard)),
            }
            for name, dashboard in occasion.dashboards.items()
        ],
        **_surroundings(occasion),
    )


def _surroundings(occasion: Occasion) -> dict[str, Any]:
    return {
        "occasion": occasion,
        "length": _length(occasion.start, occasion.end),
        "pages": [
            {"file": f"{name}.html", "uid": other["uid"], "title": _short(other["title"])}
            for name, other in occasion.dashboards.items()
        ],
    }


def _rows(dashboard: Dashboard) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The panels under their row's heading."""
    rows: list[tuple[str, list[dict[str, Any]]]] = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            rows.append((panel["title"], []))
        else:
            rows[-1][1].append(panel)
    return iter(rows)


def _short(title: str) -> str:
    """A title without what all have in common: "GenAI cost" is "Cost"."""
    name = title.removeprefix("GenAI ")
    return name[:1].upper() + name[1:]


def _length(start: datetime, end: datetime) -> str:
    minutes = round((end - start).total_seconds() / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if not hours else f"{hours} h {rest} min" if rest else f"{hours} h"
