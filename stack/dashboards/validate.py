"""What must be true of every dashboard before it is written: each fault is one sentence that names where it is."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from genai_observability import signals

from stack import vocabulary
from stack.dashboards import sql
from stack.dashboards.queries import GRAFANAS, VARIABLE, panels
from stack.usage.columns import TABLES

_OURS: Final = re.compile(r"\b(?:history:)?(?:gen_ai|genai_observability|app|user|error|event)_\w+")
"""What a name of the catalogue begins with, and what is recorded of it by that name."""
_ALTERNATIVES: Final = re.compile(r'__name__=~"([^"]*)"')
"""Names that are in a text."""
_TEXTS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_SQL_TEXTS: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_SMALL_WORDS: Final = re.compile(r"(?<![$\w{:])[a-z]\w*\b(?!\()")
"""Of SQL whose keywords are capital; not the variables, and not the functions."""


class DashboardsError(Exception):
    """Dashboards that cannot be written; the message has a sentence for each fault."""


def validate(dashboards: Mapping[str, dict[str, Any]]) -> None:
    """Hold the JSON of dashboards, by the names of their files, to the rules of the house.

    Raises:
        DashboardsError: one or more have a fault.
    """
    found = [
        f"{name}, {where}: {what}." for name, dashboard in dashboards.items() for where, what in _faults(dashboard)
    ]
    if found:
        raise DashboardsError("\n".join(found))


def _faults(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where a fault is, and what it is."""
    variables = {item["name"] for item in dashboard["templating"]["list"]}
    for item in dashboard["templating"]["list"]:
        yield from ((f"variable {item['name']!r}", what) for what in _unknown(item.get("query", ""), variables))
    for item in dashboard["annotations"]["list"]:
        yield from ((f"annotation {item['name']!r}", what) for what in _unknown(item["expr"], variables))
    taken: dict[tuple[int, int], str] = {}
    ids: dict[int, str] = {}
    for panel in panels(dashboard):
        where = f"panel {panel['title']!r}" if panel.get("title") else f"panel {panel['id']}"
        yield from ((where, what) for what in _incomplete(panel))
        for target in panel.get("targets", ()):
            yield from ((where, what) for what in _unknown_in(target, variables))
        for variable in sorted(set(VARIABLE.findall(_links(panel))) - variables):
            if not variable.startswith("__"):
                yield where, f"a link uses the variable ${variable}, which the dashboard does not have"
        if (other := ids.setdefault(panel["id"], where)) is not where:
            yield where, f"it has the id of {other}"
        yield from ((where, what) for what in _misplaced(panel["gridPos"], where, taken))


def _incomplete(panel: dict[str, Any]) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    needed = {
        "a title": panel.get("title"),
        "a description: say how to read it and what to do next": panel.get("description", "").partition(" Shows all, ")[
            0
        ],
        "a unit": defaults.get("unit"),
        "a text for when it is empty": defaults.get("noValue"),
        "a query": panel.get("targets"),
    }
    yield from (f"it lacks {what}" for what, there in needed.items() if not there)


def _unknown_in(target: dict[str, Any], variables: set[str]) -> Iterator[str]:
    if "rawSql" in target:
        return _unknown_in_sql(target["rawSql"], variables)
    return _unknown(target["expr"], variables)


def _unknown(query: str, variables: set[str]) -> Iterator[str]:
    """Names in a query that nothing has: of a variable, a metric or a label."""
    yield from _unknown_variables(query, variables)
    named = " ".join((_TEXTS.sub("", query), *_ALTERNATIVES.findall(query)))
    for name in sorted(set(_OURS.findall(named)) - _known()):
        yield f"a query names {name}, which the signal catalogue does not have"


def _unknown_in_sql(query: str, variables: set[str]) -> Iterator[str]:
    """The same of SQL, in which all small words that are no function are names."""
    yield from _unknown_variables(query, variables)
    columns = {name for table in TABLES for name in (table.name, *table.names)} | sql.OF_SUMS
    names = set(_SMALL_WORDS.findall(_SQL_TEXTS.sub("", query))) - set(re.findall(r"\bAS (\w+)", query))
    for name in sorted(names - columns):
        yield f"a query names {name}, which the warehouse does not have"


def _unknown_variables(query: str, variables: set[str]) -> Iterator[str]:
    for name in sorted(set(VARIABLE.findall(query)) - variables - GRAFANAS):
        yield f"a query uses the variable ${name}, which the dashboard does not have"


def _known() -> set[str]:
    """The names of metrics and labels in queries; of metrics what the rules record of them, too."""
    metrics = {metric.series(part) for metric in signals.emitted(vocabulary.chosen()) for part in metric.parts}
    metrics |= {f"history:{metric.series(part)}" for metric in signals.METRICS for part in metric.parts}
    return metrics | {attribute.label for attribute in signals.attributes()}


def _links(panel: dict[str, Any]) -> str:
    """All addresses that a panel and its columns lead to."""
    return " ".join(re.findall(r'"url": "([^"]*)"', json.dumps(panel["fieldConfig"])))


def _misplaced(position: dict[str, int], where: str, taken: dict[tuple[int, int], str]) -> Iterator[str]:
    x, y, width, height = (position[key] for key in "xywh")
    if x + width > 24:
        yield "it is wider than the page"
    cells = [(column, row) for column in range(x, x + width) for row in range(y, y + height)]
    yield from (f"it lies on {other}" for other in sorted({taken[cell] for cell in cells if cell in taken}))
    taken.update(dict.fromkeys(cells, where))
