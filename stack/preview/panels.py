"""What the page shows of each panel: the panel's definition and its answers, as plain values for the template."""

from collections.abc import Callable, Sequence
from typing import Any

from stack.preview import units
from stack.preview.data import Frame, Point

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


def view(panel: Definition, frames: Sequence[Frame], trace_url: Callable[[str], str]) -> View:
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
        "on_the_right": position["x"] >= 12,
        "body": panel["type"],
        "empty": None if frames else defaults["noValue"],
        "content": draw(panel, frames, trace_url) if frames else None,
    }


def _figure(panel: Definition, frames: Sequence[Frame], _: Callable[[str], str]) -> View:
    defaults = panel["fieldConfig"]["defaults"]
    return {
        "figures": [
            {
                "name": frame.name,
                "value": units.text(frame.last, defaults["unit"], defaults.get("decimals")),
                "colour": _threshold_colour(defaults, frame.last),
                "line": _line(frame.points) if len(frame.points) > 1 else "",
            }
            for frame in frames
        ]
    }


def _course(panel: Definition, frames: Sequence[Frame], _: Callable[[str], str]) -> View:
    defaults = panel["fieldConfig"]["defaults"]
    style = defaults["custom"]
    colours = _colours(panel, frames)
    dashed = style.get("thresholdsStyle", {}).get("mode") == "dashed"
    return {
        "legend": [{"name": frame.name, "colour": colour} for frame, colour in zip(frames, colours, strict=True)],
        "chart": {
            "traces": [_trace(frame, colour, style) for frame, colour in zip(frames, colours, strict=True)],
            "axis": units.axis(defaults["unit"]),
            "lines": [step for step in _steps(defaults) if step["value"] is not None] if dashed else [],
        },
    }


def _ranking(panel: Definition, frames: Sequence[Frame], _: Callable[[str], str]) -> View:
    defaults = panel["fieldConfig"]["defaults"]
    largest = defaults.get("max") or max(frame.last for frame in frames) or 1
    return {
        "bars": [
            {
                "name": frame.name,
                "value": units.text(frame.last, defaults["unit"]),
                "share": min(100.0, 100 * frame.last / largest),
                "colour": _threshold_colour(defaults, frame.last),
            }
            for frame in sorted(frames, key=lambda frame: frame.last, reverse=True)
        ]
    }


def _parts(panel: Definition, frames: Sequence[Frame], _: Callable[[str], str]) -> View:
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
        },
    }


def _table(panel: Definition, frames: Sequence[Frame], trace_url: Callable[[str], str]) -> View:
    steps = {step["id"]: step["options"] for step in panel["transformations"]}
    headings, order = steps["organize"]["renameByName"], steps["organize"]["indexByName"]
    fields = sorted(headings, key=lambda field: order[field])
    [sort] = steps["sortBy"]["sort"]
    numbers = {item["targetField"] for item in steps.get("convertFieldType", {"conversions": ()})["conversions"]}
    records = sorted(
        (_record(frame, numbers) for frame in frames),
        key=lambda record: record.get(sort["field"], ""),
        reverse=sort["desc"],
    )
    overrides = {item["matcher"]["options"]: _properties(item) for item in panel["fieldConfig"].get("overrides", ())}
    return {
        "headings": [headings[field] for field in fields],
        "rows": [
            [_cell(record.get(field, ""), overrides.get(headings[field], {}), trace_url) for field in fields]
            for record in records[: steps["limit"]["limitField"]]
        ],
    }


def _record(frame: Frame, numbers: set[str]) -> dict[str, Any]:
    """A line's labels, of which some are numbers, or a sample's labels and its value."""
    labels = {key: float(value) if key in numbers else value for key, value in frame.labels.items()}
    return {**labels, "Value": frame.last} if frame.points else labels


_DRAWN: dict[str, Callable[[Definition, Sequence[Frame], Callable[[str], str]], View]] = {
    "stat": _figure,
    "timeseries": _course,
    "bargauge": _ranking,
    "piechart": _parts,
    "table": _table,
}


def _cell(value: str | float, properties: dict[str, Any], trace_url: Callable[[str], str]) -> dict[str, str]:
    if "mappings" in properties:
        [mapping] = properties["mappings"]
        shown = mapping["options"][f"{value:g}" if isinstance(value, float) else value]
        return {"text": shown["text"], "colour": shown["color"]}
    if "links" in properties and value:
        return {"text": f"{value}"[:8], "title": f"{value}", "link": trace_url(str(value))}
    if isinstance(value, float):
        return {"text": units.text(value, properties.get("unit", "none"))}
    return {"text": value}


def _trace(frame: Frame, colour: str, style: dict[str, Any]) -> dict[str, Any]:
    filled = f"{colour}{round(255 * style['fillOpacity'] / 100):02x}"
    trace: dict[str, Any] = {
        "name": frame.name or "value",
        "x": [f"{time:%Y-%m-%d %H:%M:%S}" for time, _ in frame.points],
        "y": [value for _, value in frame.points],
    }
    if style.get("drawStyle") == "bars":
        return {**trace, "type": "bar", "marker": {"color": filled}}
    trace |= {
        "type": "scatter",
        "mode": "lines" if len(frame.points) > 1 else "markers",  # a line needs two points
        "line": {"color": colour, "width": style["lineWidth"]},
        "marker": {"color": colour},
    }
    if style.get("stacking", {}).get("mode") == "normal":
        return {**trace, "stackgroup": "all", "fillcolor": filled}
    return trace


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
