"""Every query of a dashboard as it reaches a store, with its variables filled in.

Grafana does this in the browser. Tests and the preview do it here, so that what they run is what the panels show.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal


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


def queries(dashboard: dict[str, Any], window: Window) -> list[PanelQuery]:
    """The queries of all panels, in the order in which the panels are read."""
    return [query for panel in panels(dashboard) for query in panel_queries(dashboard, panel, window)]


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels of a dashboard without its rows' headings."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def panel_queries(dashboard: dict[str, Any], panel: dict[str, Any], window: Window) -> list[PanelQuery]:
    """The queries of one panel."""
    step = max(window.step, _duration(panel.get("interval")))
    replacements = _replacements(dashboard, window, step)
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
        )
        for target in panel["targets"]
    ]


# The shortest distance of two samples that Grafana assumes: `timeInterval` of the data source.
_SAMPLES_EVERY = timedelta(seconds=15)


def _replacements(dashboard: dict[str, Any], window: Window, step: timedelta) -> dict[str, str]:
    all_values = {item["name"]: item["allValue"] for item in dashboard["templating"]["list"]}
    return {
        **all_values,
        **window.variables,
        "__range": _seconds(window.length),
        "__interval": _seconds(step),
        # Grafana's own definition: https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
        "__rate_interval": _seconds(max(step + _SAMPLES_EVERY, 4 * _SAMPLES_EVERY)),
    }


def _filled(expr: str, replacements: dict[str, str]) -> str:
    """Raises KeyError for a variable that the dashboard does not have."""
    return re.sub(r"\$(\w+)", lambda match: replacements[match[1]], expr)


def _seconds(time: timedelta) -> str:
    return f"{max(1, round(time.total_seconds()))}s"


def _duration(text: str | None) -> timedelta:
    """The panel's shortest step, which the house style writes in whole minutes or seconds."""
    if not text:
        return timedelta()
    return timedelta(seconds=int(text[:-1]) * {"s": 1, "m": 60}[text[-1]])
