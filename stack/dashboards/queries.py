"""Every query of a dashboard as it reaches a store, with its variables filled in.

Grafana does this in the browser. Tests and the preview do it here, so that what they run is what the panels show.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, Literal

from stack.clients.logs import Where
from stack.dashboards.expressions import MOST_RECENT_SECONDS, RECENT
from stack.dashboards.records import Records

VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_]\w*)")
"""As queries and links name one; the $1 of a regular expression is none."""

GRAFANAS: Final = frozenset({"__range", "__range_s", "__interval", "__interval_ms", "__rate_interval"})
"""The variables of a query that Grafana itself has a value for."""


@dataclass(frozen=True, slots=True)
class Window:
    """How much time is looked at, in which steps; ``variables`` has choices other than All, as regular expressions."""

    length: timedelta
    step: timedelta = timedelta(seconds=15)
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of one panel.

    An instant query is asked for the end of the window; another one of Prometheus for every step in it; another one of
    Loki for the ``newest`` lines in it.
    """

    panel: str
    panel_id: int
    ref: str
    store: Literal["prometheus", "loki"]
    expr: str
    instant: bool
    legend: str
    step: timedelta
    newest: int | None
    exemplars: bool
    """Whether points of it open the trace of a call."""
    length: timedelta
    """The time range of the panel: its own, or that of the page."""
    records: Records | None = None
    """The same question to any log store."""


def queries(dashboard: dict[str, Any], window: Window) -> list[PanelQuery]:
    """The queries of all panels, in the order in which the panels are read."""
    return [query for panel in panels(dashboard) for query in panel_queries(dashboard, panel, window)]


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels of a dashboard without its rows' headings."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def panel_queries(dashboard: dict[str, Any], panel: dict[str, Any], window: Window) -> list[PanelQuery]:
    """The queries of one panel."""
    length = own_length(panel) or window.length
    most = panel.get("maxDataPoints") or _MOST_POINTS
    step = max(window.step, _duration(panel.get("interval")), _rounded(length / most))
    replacements = _replacements(dashboard, window, length, step)
    return [
        PanelQuery(
            panel=panel["title"],
            panel_id=panel["id"],
            ref=target["refId"],
            store=target["datasource"]["type"],
            expr=_filled(target["expr"], replacements),
            instant=bool(target.get("instant")),
            legend=target.get("legendFormat", ""),
            step=step,
            newest=target.get("maxLines"),
            exemplars=bool(target.get("exemplar")),
            length=length,
            records=_records(target, replacements),
        )
        for target in panel["targets"]
    ]


def own_length(panel: dict[str, Any]) -> timedelta:
    """How much time a panel shows whatever the page shows; nothing where it follows the page."""
    return _duration(panel.get("timeFrom"))


# The shortest distance of two samples that Grafana assumes: `timeInterval` of the data source.
_SAMPLES_EVERY = timedelta(seconds=15)


_MOST_POINTS = 1000
"""Of a panel that does not say itself: about what Grafana shows on a large screen."""


def _replacements(dashboard: dict[str, Any], window: Window, length: timedelta, step: timedelta) -> dict[str, str]:
    all_values = {item["name"]: item.get("allValue", "") for item in dashboard["templating"]["list"]}
    return {
        **all_values,
        RECENT: ".+" if window.length.total_seconds() <= MOST_RECENT_SECONDS else "-",
        **window.variables,
        "__range": _seconds(length),
        "__range_s": str(round(length.total_seconds())),
        "__interval": _seconds(step),
        "__interval_ms": str(round(step.total_seconds() * 1000)),
        # Grafana's own definition: https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
        "__rate_interval": _seconds(max(step + _SAMPLES_EVERY, 4 * _SAMPLES_EVERY)),
    }


def _filled(expr: str, replacements: dict[str, str]) -> str:
    """Raises KeyError for a variable that the dashboard does not have; `$1` and so on are of PromQL."""
    return re.sub(r"\$([A-Za-z_]\w*)", lambda match: replacements[match[1]], expr)


def _records(target: dict[str, Any], replacements: dict[str, str]) -> Records | None:
    if "records" not in target:
        return None
    asked = Records.of(target["records"])
    where = (Where(each.field, each.operator, _filled(each.value, replacements)) for each in asked.where)
    return replace(asked, where=tuple(where))


def _rounded(step: timedelta) -> timedelta:
    """To one of the steps that Grafana chooses; the longer ones are all whole minutes."""
    return next((each for each in _STEPS if each >= step), timedelta(days=1))


_STEPS = tuple(
    timedelta(seconds=each)
    for each in (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200)
)


def _seconds(time: timedelta) -> str:
    return f"{max(1, round(time.total_seconds()))}s"


def _duration(text: str | None) -> timedelta:
    """A time as the house style writes it, in one unit."""
    if not text:
        return timedelta()
    return timedelta(seconds=int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]])
