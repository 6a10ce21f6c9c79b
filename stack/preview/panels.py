"""What the page shows of each panel: the panel's definition and its answers, as plain values for the template."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from stack.dashboards.answers import Frame, Point
from stack.preview import units
from stack.preview.occasion import Occasion
from stack.preview.tables import table

Definition = dict[str, Any]
View = dict[str, Any]

_PALETTE = (
    "#73BF69",
    "#5794F2",
    "#FF9830",
    "#B877D9",
    "#F2CC0C",
    "#F2495C",
    "#8AB8FF",
    "#37872D",
    "#CA95E5",
    "#E0B400",
)
"""Colours of series without a meaning of their own."""

_HEIGHT_OF_ROW = 38
"""Pixels of one row of Grafana's grid, with the gap below it."""


def view(panel: Definition, frames: Sequence[Frame], occasion: Occasion) -> View:
    """What the template needs of a panel. ``body`` names the part of the template that draws it.

    Raises:
        ValueError: the page cannot draw this type of panel.
    """
    defaults, position = panel["fieldConfig"]["defaults"], panel["gridPos"]
    try:
        draw = _DRAWN[panel["type"]]
    except KeyError:
        raise ValueError(
            f"The preview cannot draw the panel {panel['title']!r}: its type is {panel['type']}."
        ) from None
    return {
        "id": panel["id"],
        "title": panel["title"],
        "description": panel["description"],
        "columns": position["w"],
        "height": position["h"] * _HEIGHT_OF_ROW - 8,
        "range": _own_range(panel),
        "links": _links(defaults, occasion),
        "on_the_right": position["x"] >= 12,
        "body": panel["type"],
        "empty": None if frames else defaults["noValue"],
        "content": draw(panel, frames, occasion) if frames else None,
    }


def _figure(panel: Definition, frames: Sequence[Frame], _: Occasion) -> View:
    defaults = panel["fieldConfig"]["defaults"]
    figures = []
    for frame in frames:
        word = units.word(frame.last, defaults.get("mappings", ()))
        value = word["text"] if word else units.text(frame.last, defaults["unit"], defaults.get("decimals"))
        figures.append(
            {
                "name": frame.name,
                "value": value,
                "colour": word["color"] if word and "color" in word else _threshold_colour(defaults, frame.last),
                "line": _line(frame.points) if len(frame.points) > 1 else "",
            }
        )
    return {"figures": figures, "letters": max(len(figure["value"]) for figure in figures)}


def _course(panel: Definition, frames: Sequence[Frame], occasion: Occasion) -> View:
    defaults = panel["fieldConfig"]["defaults"]
    style = defaults["custom"]
    colours = _colours(panel, frames)
    dashed = style.get("thresholdsStyle", {}).get("mode") == "dashed"
    bar = _distance(frames)
    beside = bar / 2 if style.get("drawStyle") == "bars" else timedelta()
    return {
        "legend": [{"name": frame.name, "colour": colour} for frame, colour in zip(frames, colours, strict=True)],
        "chart": {
            "traces": [_trace(frame, colour, style, bar) for frame, colour in zip(frames, colours, strict=True)],
            "axis": units.axis(defaults["unit"]),
            "lines": [step for step in _steps(defaults) if step["value"] is not None] if dashed else [],
            "range": [_moment(occasion.start_of(panel) - beside), _moment(occasion.end + beside)],
            "days": _days(panel, occasion),
        },
    }


def _ranking(panel: Definition, frames: Sequence[Frame], _: Occasion) -> View:
    defaults = panel["fieldConfig"]["defaults"]
    largest = defaults.get("max") or max((frame.last for frame in frames if math.isfinite(frame.last)), default=0) or 1
    own = {
        item["matcher"]["options"]: _properties(item)
        for item in panel["fieldConfig"].get("overrides", ())
        if "thresholds" in _properties(item)
    }
    return {
        "bars": [
            {
                "name": frame.name,
                "value": units.text(frame.last, defaults["unit"]),
                "share": min(100.0, 100 * frame.last / largest) if math.isfinite(frame.last) else 0.0,
                "colour": _threshold_colour(own.get(frame.name, defaults), frame.last),
            }
            for frame in sorted(frames, key=lambda frame: frame.last, reverse=True)
        ]
    }


def _parts(panel: Definition, frames: Sequence[Frame], _: Occasion) -> View:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    whole = sum(frame.last for frame in frames) or 1
    colours = _colours(panel, frames)
    return {
        "legend": [
            {
                "name": frame.name,
                "colour": colour,
                "value": units.text(frame.last, unit),
                "share": f"{100 * frame.last / whole:.0f}%",
            }
            for frame, colour in zip(frames, colours, strict=True)
        ],
        "chart": {
            "traces": [
                {
                    "type": "pie",
                    "hole": 0.6,
                    "sort": False,
                    "direction": "clockwise",
                    "labels": [frame.name for frame in frames],
                    "values": [frame.last for frame in frames],
                    "marker": {"colors": colours},
                    "textinfo": "none",
                    "hoverinfo": "label+percent",
                }
            ],
            "axis": {},
            "lines": [],
            "range": [],
            "days": False,
        },
    }


def _heat(panel: Definition, frames: Sequence[Frame], occasion: Occasion) -> View:
    """What came into each bucket: the growth of a bucket counts what came into the smaller ones, too."""
    unit = panel["options"]["yAxis"]["unit"]
    grown = {float(frame.labels["le"]): dict(frame.points) for frame in frames}
    times = sorted({time for points in grown.values() for time in points})
    rows: list[tuple[float, list[float]]] = []
    below = dict.fromkeys(times, 0.0)
    for bound in sorted(grown):
        upto = {time: max(below[time], grown[bound].get(time, below[time])) for time in times}
        rows.append((bound, [upto[time] - below[time] for time in times]))
        below = upto
    hit = [index for index, (_, counts) in enumerate(rows) if any(counts)]
    shown = rows[hit[0] : hit[-1] + 1] if hit else rows
    labels = [f"≤ {units.text(bound, unit)}" if math.isfinite(bound) else "more" for bound, _ in shown]
    return {
        "legend": [],
        "chart": {
            "traces": [
                {
                    "type": "heatmap",
                    "x": [_moment(time) for time in times],
                    "y": labels,
                    "z": [[count or None for count in counts] for _, counts in shown],
                    "xgap": 1,
                    "ygap": 1,
                    "showscale": False,
                }
            ],
            "axis": {"type": "category", "categoryarray": labels},
            "lines": [],
            "range": [],
            "days": _days(panel, occasion),
        },
    }


_DRAWN: dict[str, Callable[[Definition, Sequence[Frame], Occasion], View]] = {
    "stat": _figure,
    "timeseries": _course,
    "bargauge": _ranking,
    "piechart": _parts,
    "heatmap": _heat,
    "table": table,
}


def _trace(frame: Frame, colour: str, style: dict[str, Any], bar: timedelta) -> dict[str, Any]:
    filled = f"{colour}{round(255 * style['fillOpacity'] / 100):02x}"
    trace: dict[str, Any] = {
        "name": frame.name or "value",
        "x": [_moment(time) for time, _ in frame.points],
        "y": [value if math.isfinite(value) else None for _, value in frame.points],
    }
    if style.get("drawStyle") == "bars":
        # The chart library guesses a width from the distance of bars, and of a single one none.
        return {**trace, "type": "bar", "marker": {"color": filled}, "width": 800 * bar.total_seconds()}
    trace |= {
        "type": "scatter",
        "mode": "lines" if len(frame.points) > 1 else "markers",  # a line needs two points
        "line": {"color": colour, "width": style["lineWidth"]},
        "marker": {"color": colour},
    }
    if style.get("stacking", {}).get("mode") == "normal":
        return {**trace, "stackgroup": "all", "fillcolor": filled}
    return trace


def _moment(time: datetime) -> str:
    """As the chart library reads it; the page says that it is UTC."""
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _days(panel: Definition, occasion: Occasion) -> bool:
    """Whether the time axis needs dates."""
    return occasion.end - occasion.start_of(panel) > timedelta(days=1)


def _distance(frames: Sequence[Frame]) -> timedelta:
    """From one bar to the next."""
    times = sorted({time for frame in frames for time, _ in frame.points})
    return min((later - time for time, later in pairwise(times)), default=timedelta(minutes=1))


def _own_range(panel: Definition) -> str:
    return f"last {panel['timeFrom']}" if panel.get("timeFrom") else ""


def _links(defaults: Definition, occasion: Occasion) -> list[dict[str, str]]:
    """Where the panel leads to, of what has a page."""
    found = ((link["title"], occasion.page(link["url"])) for link in defaults.get("links", ()))
    return [{"title": title, "page": page} for title, page in found if page]


def _colours(panel: Definition, frames: Sequence[Frame]) -> list[str]:
    fixed = {
        item["matcher"]["options"]: _properties(item)["color"]["fixedColor"]
        for item in panel["fieldConfig"].get("overrides", ())
        if "color" in _properties(item)
    }
    return [fixed.get(frame.name, _PALETTE[index % len(_PALETTE)]) for index, frame in enumerate(frames)]


def _properties(override: dict[str, Any]) -> dict[str, Any]:
    return {item["id"]: item["value"] for item in override["properties"]}


def _threshold_colour(defaults: Definition, value: float) -> str:
    reached = [step["color"] for step in _steps(defaults) if step["value"] is None or value >= step["value"]]
    return str(reached[-1])


def _steps(defaults: Definition) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = defaults["thresholds"]["steps"]
    return steps


def _line(points: Sequence[Point]) -> str:
    """The course behind a figure, as the points of an SVG polyline in a box of 100 by 30, from zero upwards."""
    first, last = points[0][0], points[-1][0]
    largest = max(value for _, value in points) or 1
    length = (last - first).total_seconds() or 1
    return " ".join(
        f"{100 * (time - first).total_seconds() / length:.1f},{30 - 28 * value / largest:.1f}" for time, value in points
    )
