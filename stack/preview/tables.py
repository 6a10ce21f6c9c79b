"""Tables: what Grafana's transformations make of the answers, as cells."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stack.dashboards.answers import Cell, Frame
from stack.preview import units
from stack.preview.occasion import Occasion

Record = dict[str, Cell]

_SHOWN = 20
"""Rows that are drawn: a picture of a page is to show what is below a long table, too."""

_OF_THE_ROW = re.compile(r'\${__data\.fields\["([^"]*)"\]}')
"""In a link: the value of another field of the row."""


def table(panel: dict[str, Any], frames: Sequence[Frame], occasion: Occasion) -> dict[str, Any]:
    """The headings and the rows of a table."""
    steps = {step["id"]: step["options"] for step in panel["transformations"]}
    headings, order = steps["organize"]["renameByName"], steps["organize"]["indexByName"]
    fields = sorted(headings, key=lambda field: order[field])
    records = _merged(frames) if "merge" in steps else [_record(frame) for frame in frames]
    [sort] = steps["sortBy"]["sort"]
    ranked = _sorted(records, sort["field"], descending=sort.get("desc", False))[: steps["limit"]["limitField"]]
    properties = {heading: _properties(panel, heading) for heading in headings.values()}
    return {
        "headings": [headings[field] for field in fields],
        "rows": [
            [_cell(record, field, properties[headings[field]], occasion) for field in fields]
            for record in ranked[:_SHOWN]
        ],
        "more": max(0, len(ranked) - _SHOWN),
    }


def _record(frame: Frame) -> Record:
    """A row, or a sample's labels and its value."""
    return frame.row or {**frame.labels, "Value": frame.last}


def _merged(frames: Sequence[Frame]) -> list[Record]:
    """One row for the samples that agree in the labels which all queries have."""
    labels: dict[str, set[str]] = {}
    for frame in frames:
        labels.setdefault(frame.ref, set()).update(frame.labels)
    shared = set.intersection(*labels.values())
    records: dict[tuple[str, ...], list[Record]] = {}
    for frame in frames:
        rows = records.setdefault(tuple(frame.labels.get(label, "") for label in sorted(shared)), [])
        new: Record = {**frame.labels, f"Value #{frame.ref}": frame.last}
        for row in rows:
            if all(row.get(key, value) == value for key, value in new.items()):
                row.update(new)
                break
        else:
            rows.append(new)
    return [row for rows in records.values() for row in rows]


def _sorted(records: Sequence[Record], field: str, *, descending: bool) -> list[Record]:
    """Rows without a value are last."""
    there = [record for record in records if not _missing(record.get(field, ""))]
    return [
        *sorted(there, key=lambda record: _key(record[field]), reverse=descending),
        *(record for record in records if _missing(record.get(field, ""))),
    ]


def _key(value: Cell) -> Any:
    """The values of one field are of one type."""
    return value


def _missing(value: Cell) -> bool:
    return value == "" or (isinstance(value, float) and math.isnan(value))


def _text(value: Cell, unit: str) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return units.text(value, unit) if isinstance(value, float) else value


def _properties(panel: dict[str, Any], heading: str) -> dict[str, Any]:
    return dict(_overridden(panel, heading))


def _overridden(panel: dict[str, Any], heading: str) -> Iterator[tuple[str, Any]]:
    for override in panel["fieldConfig"].get("overrides", ()):
        if override["matcher"]["options"] == heading:
            yield from ((item["id"], item["value"]) for item in override["properties"])


def _cell(record: Record, field: str, properties: Mapping[str, Any], occasion: Occasion) -> dict[str, str]:
    value = record.get(field, "")
    cell = {"text": _text(value, properties.get("unit", "none"))}
    if word := units.word(value, properties.get("mappings", ())):
        cell |= {"text": word["text"], "colour": word["color"]}
    for link in properties.get("links", ()) if value != "" else ():
        if link["url"].startswith("/d/"):
            address = _OF_THE_ROW.sub(lambda name: str(record.get(name[1], "")), link["url"])
            page = occasion.page(address)
            cell |= {"link": page, "title": link["title"], "page": "yes"} if page else {}
        elif isinstance(value, str):
            cell |= {"text": value[:8], "title": value, "link": occasion.trace(value)}
    return cell
