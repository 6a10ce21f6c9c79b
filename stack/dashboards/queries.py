"""Every query of a dashboard as it reaches a store, with its variables filled in.

Grafana does this in the browser. Tests and the preview do it here, so that what they run is what the panels show.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, Literal

from stack.clients.logs import Where
from stack.dashboards import error_lines
from stack.dashboards.expressions import MOST_RECENT_SECONDS, RECENT

VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_]\w*)")
"""As queries and links name one; the $1 of a regular expression is none."""

GRAFANAS: Final = frozenset(
    {"__range", "__range_s", "__interval", "__interval_ms", "__rate_interval", "__timeFrom", "__timeTo"}
)
"""The variables of a query that Grafana itself has a value for."""

Store = Literal["prometheus", "loki", "warehouse"]


@dataclass(frozen=True, slots=True)
class Window:
    """How much time is looked at, in which steps; ``variables`` has what is typed, and chosen other than All."""

    length: timedelta
    step: timedelta = timedelta(seconds=15)
    variables: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of one panel.

    An instant query is asked for the end of the window; another one of Prometheus for every step in it; one of the
    warehouse and of the log store for the window.
    """

    panel: str
    panel_id: int
    ref: str
    store: Store
    expr: str
    """In PromQL, LogQL or SQL. In SQL the time range is still to be filled in, as Grafana's server does."""
    instant: bool
    legend: str
    step: timedelta
    exemplars: bool
    """Whether points of it open the trace of a call."""
    length: timedelta
    """The time range of the panel: its own, or that of the page."""
    rows: bool
    """Whether each row of the answer is one of a table, with all of its fields."""
    lines: tuple[Where, ...] = ()
    """Of a query of Loki: the same as conditions, for any log store."""


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
    values = _values(dashboard, window, length, step)
    return [
        PanelQuery(
            panel=panel["title"],
            panel_id=panel["id"],
            ref=target["refId"],
            store=(store := _STORES[target["datasource"]["type"]]),
            expr=_in_sql(target["rawSql"], values) if store == "warehouse" else _in_promql(target["expr"], values),
            instant=bool(target.get("instant")),
            legend=target.get("legendFormat", ""),
            step=step,
            exemplars=bool(target.get("exemplar")),
            length=length,
            rows=panel["type"] == "table",
            lines=tuple(_condition(each, values) for each in error_lines.CONDITIONS) if store == "loki" else (),
        )
        for target in panel["targets"]
    ]


def own_length(panel: dict[str, Any]) -> timedelta:
    """How much time a panel shows whatever the page shows; nothing where it follows the page."""
    return _duration(panel.get("timeFrom"))


# The shortest distance of two samples that Grafana assumes: `timeInterval` of the data source.
_SAMPLES_EVERY = timedelta(seconds=15)


_STORES: Final[Mapping[str, Store]] = {
    "prometheus": "prometheus",
    "loki": "loki",
    "grafana-postgresql-datasource": "warehouse",
}
"""By the types of Grafana's data sources."""

_MOST_POINTS = 1000
"""Of a panel that does not say itself: about what Grafana shows on a large screen."""


@dataclass(frozen=True, slots=True)
class _Value:
    """Of a variable: several are chosen, or one text is typed; what stands for All, and Grafana's own, is as it is."""

    texts: tuple[str, ...]
    kind: Literal["chosen", "typed", "as it is"]


def _values(dashboard: dict[str, Any], window: Window, length: timedelta, step: timedelta) -> dict[str, _Value]:
    own = {
        RECENT: ".+" if window.length.total_seconds() <= MOST_RECENT_SECONDS else "-",
        "__range": _seconds(length),
        "__range_s": str(round(length.total_seconds())),
        "__interval": _seconds(step),
        "__interval_ms": str(round(step.total_seconds() * 1000)),
        # Grafana's own definition: https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
        "__rate_interval": _seconds(max(step + _SAMPLES_EVERY, 4 * _SAMPLES_EVERY)),
    }
    values = {name: _Value((value,), "as it is") for name, value in own.items()}
    for item in dashboard["templating"]["list"]:
        name, given = item["name"], window.variables.get(item["name"])
        if item["type"] == "textbox":
            values[name] = _Value((str(given or ""),), "typed")
        elif given is not None:
            values[name] = _Value((given,) if isinstance(given, str) else tuple(given), "chosen")
        elif name not in own:
            values[name] = _Value((item["allValue"],), "as it is")
    return values


def _in_promql(expr: str, values: Mapping[str, _Value]) -> str:
    """Raises KeyError for a variable that the dashboard does not have; `$1` and so on are of PromQL."""

    def written(found: re.Match[str]) -> str:
        value = values[found[1]]
        if value.kind != "chosen":
            return value.texts[0]
        texts = [_as_expression(text) for text in value.texts]
        return texts[0] if len(texts) == 1 else f"({'|'.join(texts)})"

    return re.sub(r"\$([A-Za-z_]\w*)", written, expr)


def _as_expression(text: str) -> str:
    """A regular expression that matches the text alone, as it stands in double quotes."""
    escaped = text.replace("\\", r"\\\\").replace('"', r"\\\"")
    return re.sub(r"[$^*+?.()|[\]{}]", r"\\\\\g<0>", escaped)


def _in_sql(text: str, values: Mapping[str, _Value]) -> str:
    """See `stack.dashboards.sql` for what Grafana does. Raises KeyError for a variable that the dashboard lacks."""

    def written(found: re.Match[str]) -> str:
        name, how = found[1] or found[3], found[2]
        if name in GRAFANAS:
            return found[0]
        value = values[name]
        if value.kind == "as it is":
            return value.texts[0]
        doubled = [text.replace("'", "''") for text in value.texts]
        if how == "sqlstring":
            doubled = [text.replace('"', '\\"') for text in doubled]
        elif value.kind == "typed":
            return doubled[0]
        return ",".join(f"'{text}'" for text in doubled)

    return re.sub(r"\$(?:\{(\w+)(?::(\w+))?\}|([A-Za-z_]\w*))", written, text)


def _condition(where: Where, values: Mapping[str, _Value]) -> Where:
    """One for any log store, whose regular expressions are in no quotes."""
    return replace(where, value=re.sub(r"\\(.)", r"\1", _in_promql(where.value, values)))


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
