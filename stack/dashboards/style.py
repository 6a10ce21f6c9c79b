"""The house style of the panels.

Each function builds one kind of panel. A panel has a title, a description that says how to read it, a unit and a text
for the case that there is nothing to show. Colours carry meaning: green, orange and red are for good, suspicious and
bad alone; whatever is just a number is blue.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Final, Protocol, Self, TypeVar
from urllib.parse import quote

from genai_observability.signals import Attribute

from stack import thresholds
from stack.dashboards import sql
from stack.dashboards.expressions import VARIABLES
from stack.dashboards.sdk import (
    Builder,
    Dataquery,
    SqlQuery,
    bargauge,
    common,
    dashboard,
    heatmap,
    heatmap_values,
    loki,
    model,
    pie_values,
    piechart,
    prometheus,
    prometheus_values,
    stat,
    table,
    timeseries_panel,
    values,
)
from stack.dashboards.sql import Sql

GREEN: Final = "#73BF69"
ORANGE: Final = "#FF9830"
RED: Final = "#F2495C"
BLUE: Final = "#5794F2"
PURPLE: Final = "#B877D9"
GREY: Final = "#8E8E99"

SECONDS: Final = "s"
SHARE: Final = "percentunit"
DOLLARS: Final = "currencyUSD"
COUNT: Final = "short"
CALLS_PER_SECOND: Final = "reqps"
_COUNTS_PER_SECOND: Final = "cps"
TOKENS_PER_SECOND: Final = "suffix: tok/s"
SCORE: Final = "none"

_ROWS: Final = 10
"""Rows of a table: the worst, not all."""

_BARS: Final = 100
"""Of a graph of bars, at most: more are too thin to be told apart."""
_POINTS: Final = 600
"""Of a graph, at most: as many as most screens can show. Of more than a day, a step is then a minute or longer."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """A PromQL query. ``instant`` asks for one value, at the end of the range; ``exemplars`` for links to traces."""

    expr: str
    legend: str = ""
    instant: bool = False
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """A LogQL query for the newest lines; a table shows their labels."""

    expr: str
    newest: int


Query = Metrics | Sql | Lines


@dataclass(frozen=True, slots=True)
class Limits:
    """From which value on a number is suspicious and bad, if it can be both; ``low_is_bad`` turns the scale round."""

    warning: float | None = None
    critical: float | None = None
    low_is_bad: bool = False

    @classmethod
    def of(cls, alerts: thresholds.Limits) -> Self:
        """Those of the alerts on the same number."""
        return cls(alerts.warning.above, alerts.critical.above)


@dataclass(frozen=True, slots=True)
class Link:
    """Opens another page, by its uid or a variable with it, in the same time range and with the same choices.

    ``choosing`` narrows it down to what was clicked: for a variable of the page, the signal that has the value.
    """

    title: str
    to: str
    choosing: Mapping[str, Attribute] = field(default_factory=dict)

    def url(self, *, titles: Mapping[str, str] | None = None) -> str:
        """Its address. In an answer of rows the value is in another field; ``titles`` has the fields' headings."""
        kept = [f"${{{name}:queryparam}}" for name in VARIABLES if name not in self.choosing]
        chosen = [f"var-{name}=${{{_value(attribute, titles)}}}" for name, attribute in self.choosing.items()]
        return f"/d/{self.to}?" + "&".join(["${__url_time_range}", *kept, *chosen])


def _value(attribute: Attribute, titles: Mapping[str, str] | None) -> str:
    if titles is None:
        return f"__field.labels.{attribute.label}"
    field = attribute.label if attribute.label in titles else sql.column(attribute)
    return f'__data.fields["{titles[field]}"]'


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the field of the answer, its heading, and how its values are shown.

    A query of the warehouse has its own fields; the value of one of Prometheus is the field Value, or, of several
    queries, Value #A, Value #B and so on.
    """

    field: str
    title: str
    unit: str = ""
    links_to_trace: bool = False
    link: Link | None = None
    colours: Mapping[str, tuple[str, str]] | None = None
    """The text and the colour that stand for a value."""


class _Common(Protocol):
    """What the SDK's panel builders have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...


P = TypeVar("P", bound=_Common)


def figure(
    *queries: Metrics | Sql,
    title: str,
    description: str,
    unit: str,
    empty: str,
    width: int = 3,
    height: int = 4,
    limits: Limits | None = None,
    decimals: int | None = None,
    link: Link | None = None,
) -> stat.Panel:
    """One large number or a few, each the last value of a query, with its course in the background.

    Of the warehouse they are the columns of one row.
    """
    courses = not all(isinstance(query, Sql) or query.instant for query in queries)
    panel = (
        _described(stat.Panel(), title, description, unit, empty, width, height=height)
        .targets(_targets(queries))
        .reduce_options(_last_value())
        .thresholds(_thresholds(limits, otherwise=BLUE))
        .color_scheme(_colour(model.FieldColorModeId.THRESHOLDS))
        .color_mode(values.BigValueColorMode.VALUE)
        .graph_mode(values.BigValueGraphMode.AREA if courses else values.BigValueGraphMode.NONE)
        .data_links(_links(link))
    )
    return panel if decimals is None else panel.decimals(decimals)


def course(
    *queries: Metrics,
    title: str,
    description: str,
    unit: str,
    empty: str,
    width: int = 8,
    limits: Limits | None = None,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
    bars: bool = False,
    last: str = "",
    link: Link | None = None,
) -> timeseries_panel.Panel:
    """Values over time. Bars are for amounts, each over the time since the bar before.

    ``last`` is a time range of its own, such as 30d, shown in steps of an hour whatever the page shows.
    """
    panel = (
        _described(timeseries_panel.Panel(), title, description, unit, empty, width, height=8)
        .targets(_targets(queries))
        .color_scheme(_colour(model.FieldColorModeId.PALETTE_CLASSIC))
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(values.TooltipDisplayMode.MULTI).sort(values.SortOrder.DESCENDING))
        .min(0)
        .line_width(2)
        .fill_opacity(70 if stacked else 0)
        .show_points(values.VisibilityMode.AUTO)
        .thresholds(_thresholds(limits, otherwise=GREEN))
        .max_data_points(_POINTS)
        .data_links(_links(link))
    )
    if bars:
        panel.draw_style(values.GraphDrawStyle.BARS).interval("1m").max_data_points(_BARS)
    if last:
        panel.time_from(last).interval("1h" if not bars else "1d")
    if stacked:
        # Without lines: that of a value of 0 would lie on the edge of the value below and look like it.
        panel.stacking(common.StackingConfig().mode(values.StackingMode.NORMAL).group("A")).line_width(0)
    if limits:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(values.GraphThresholdsStyleMode.DASHED))
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [_fixed_colour(colour)])
    return panel


def ranking(
    *queries: Metrics | Sql,
    title: str,
    description: str,
    unit: str,
    empty: str,
    width: int = 8,
    limits: Limits | None = None,
    largest: float | None = None,
    colour: str = BLUE,
    link: Link | None = None,
    limits_of: Mapping[str, Limits] | None = None,
) -> bargauge.Panel:
    """One horizontal bar a value; ``largest`` is where a full bar ends, by default at the largest value.

    ``limits_of`` has those of single bars, by their names. An answer of the warehouse has a row a bar, whose name is
    its text.
    """
    of_rows = all(isinstance(query, Sql) for query in queries)
    fields = _own_names(link) if link and of_rows else None
    panel = (
        _described(bargauge.Panel(), title, description, unit, empty, width, height=8)
        .targets(_targets(queries))
        .reduce_options(_last_value().values(values=of_rows))
        .orientation(values.VizOrientation.HORIZONTAL)
        .display_mode(values.BarGaugeDisplayMode.BASIC)
        .value_mode(values.BarGaugeValueMode.TEXT)
        .name_placement(values.BarGaugeNamePlacement.TOP)
        .min(0)
        .thresholds(_thresholds(limits, otherwise=colour))
        .color_scheme(_colour(model.FieldColorModeId.THRESHOLDS))
        .data_links(_links(link, titles=fields))
    )
    for name, own in (limits_of or {}).items():
        panel.override_by_name(name, [_own_thresholds(own)])
    return panel if largest is None else panel.max(largest)


def parts(*queries: Metrics, title: str, description: str, unit: str, empty: str, width: int = 8) -> piechart.Panel:
    """The parts of a whole, as a ring."""
    return (
        _described(piechart.Panel(), title, description, unit, empty, width, height=8)
        .targets(_targets(queries))
        .reduce_options(_last_value())
        .pie_type(pie_values.PieChartType.DONUT)
        .legend(
            piechart.PieChartLegendOptions()
            .show_legend(show_legend=True)
            .display_mode(values.LegendDisplayMode.TABLE)
            .placement(values.LegendPlacement.RIGHT)
            .values([pie_values.PieChartLegendValues.VALUE, pie_values.PieChartLegendValues.PERCENT])
        )
        .color_scheme(_colour(model.FieldColorModeId.PALETTE_CLASSIC))
    )


def heat(query: Metrics, *, title: str, description: str, unit: str, empty: str, width: int = 12) -> heatmap.Panel:
    """How values are distributed, over time; the query is the growth of a histogram's buckets, summed by `le`.

    ``unit`` is that of the values, on the left; a cell counts them.
    """
    return (
        _described(heatmap.Panel(), title, description, _COUNTS_PER_SECOND, empty, width, height=8)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .targets([_buckets(query)])
        .calculate(calculate=False)
        .color(heatmap.HeatmapColorOptions().scheme("Blues").mode(heatmap_values.HeatmapColorMode.SCHEME).steps(64))
        .show_value(values.VisibilityMode.NEVER)
        .cell_gap(1)
        .max_data_points(_BARS)
    )


def rows(
    *queries: Query,
    title: str,
    description: str,
    empty: str,
    columns: Sequence[Column],
    sort_by: str,
    ascending: bool = False,
    most: int = _ROWS,
    width: int = 12,
    height: int = 10,
) -> table.Panel:
    """A table with these columns from left to right: ten rows, largest value of ``sort_by`` first.

    ``ascending`` puts the smallest first; ``most`` is for more rows. Several queries are merged into one table by the
    labels that they share.
    """
    panel = (
        _described(table.Panel(), title, description, "none", empty, width, height=height)
        .targets(_targets(queries, as_table=True))
        .transformations(_transformations(queries, columns, sort_by, descending=not ascending, most=most))
        .sort_by([common.TableSortByFieldState().display_name(sort_by).desc(desc=not ascending)])
        .cell_height(values.TableCellHeight.SM)
    )
    titles = {column.field: column.title for column in columns}
    for column in columns:
        if properties := _column_properties(column, titles):
            panel.override_by_name(column.title, properties)
    return panel


def trace_link() -> str:
    """Opens the trace whose id is the cell's value, in the time range of the page.

    Tempo takes a trace id as a TraceQL query; Jaeger, which has the same fixed uid natively, looks at ``query`` alone.
    """
    pane = {
        "datasource": "tempo",
        "queries": [{"refId": "A", "datasource": {"uid": "tempo"}, "queryType": "traceql", "query": "${__value.raw}"}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    panes = quote(json.dumps({"trace": pane}, separators=(",", ":")), safe="${}")
    return f"/explore?schemaVersion=1&panes={panes}"


def _described(panel: P, title: str, description: str, unit: str, empty: str, width: int, *, height: int) -> P:
    return panel.title(title).description(description).unit(unit).no_value(empty).span(width).height(height)


def _targets(queries: Sequence[Query], *, as_table: bool = False) -> list[Builder[Dataquery]]:
    """The SDK's queries; it gives them no refId, without which Grafana confuses them."""
    return [_target(query, ref, as_table=as_table) for query, ref in zip(queries, ascii_uppercase, strict=False)]


def _target(query: Query, ref: str, *, as_table: bool) -> Builder[Dataquery]:
    if isinstance(query, Sql):
        return SqlQuery(query.text, ref)
    if isinstance(query, Lines):
        source = values.DataSourceRef(type_val="loki", uid="loki")
        lines = loki.Dataquery().ref_id(ref).datasource(source).expr(query.expr)
        return lines.query_type("range").range(range_val=True).max_lines(query.newest)
    source = values.DataSourceRef(type_val="prometheus", uid="prometheus")
    numbers = prometheus.Dataquery().ref_id(ref).datasource(source).expr(query.expr).legend_format(query.legend)
    # The query builder of Grafana does not know `anchored`; the code editor leaves an expression as it is.
    numbers.editor_mode(prometheus_values.QueryEditorMode.CODE)
    if as_table:
        return numbers.instant().format(prometheus_values.PromQueryFormat.TABLE)
    return numbers.instant() if query.instant else numbers.range().exemplar(query.exemplars)


def _thresholds(limits: Limits | None, *, otherwise: str) -> dashboard.ThresholdsConfig:
    if not limits:
        return _steps([otherwise], [])
    given = [(limits.warning, ORANGE), (limits.critical, RED)]
    values_and_colours = [(value, colour) for value, colour in given if value is not None]
    bounds, colours = [value for value, _ in values_and_colours], [GREEN, *(colour for _, colour in values_and_colours)]
    return _steps(colours[::-1], bounds[::-1]) if limits.low_is_bad else _steps(colours, bounds)


def _steps(colours: Sequence[str], bounds: Sequence[float]) -> dashboard.ThresholdsConfig:
    """One colour more than bounds: the first is below all of them."""
    steps = [model.Threshold(value=value, color=colour) for value, colour in zip((None, *bounds), colours, strict=True)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _transformations(
    queries: Sequence[Query],
    columns: Sequence[Column],
    sort_by: str,
    *,
    descending: bool,
    most: int,
) -> list[model.DataTransformerConfig]:
    """From an answer to the rows of a table, step by step."""
    ranked = next(column.field for column in columns if column.title == sort_by)
    steps: list[tuple[str, dict[str, object]]] = [
        ("sortBy", {"sort": [{"field": ranked, "desc": descending}]}),
        ("limit", {"limitField": most}),
        (
            "organize",
            {
                "excludeByName": {"Time": True},
                "indexByName": {column.field: index for index, column in enumerate(columns)},
                "renameByName": {column.field: column.title for column in columns},
            },
        ),
    ]
    if len(queries) > 1:
        steps = [("merge", {}), *steps]
    elif isinstance(queries[0], Lines):  # the labels of each line come in one field
        labels = ("extractFields", {"source": "labels", "format": "json", "replace": True, "keepTime": False})
        steps = [labels, *steps]
    return [model.DataTransformerConfig(id_val=name, options=options) for name, options in steps]


def _column_properties(column: Column, titles: Mapping[str, str]) -> list[model.DynamicConfigValue]:
    properties = []
    if column.unit:
        properties.append(model.DynamicConfigValue("unit", column.unit))
    if column.links_to_trace:
        properties.append(model.DynamicConfigValue("links", [{"title": "Open the trace", "url": trace_link()}]))
    if column.link:
        link = {"title": column.link.title, "url": column.link.url(titles=titles)}
        properties.append(model.DynamicConfigValue("links", [link]))
    if column.colours:
        options = {
            value: {"text": text, "color": colour, "index": index}
            for index, (value, (text, colour)) in enumerate(column.colours.items())
        }
        properties += [
            model.DynamicConfigValue("mappings", [{"type": "value", "options": options}]),
            model.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
        ]
    return properties


def _own_names(link: Link) -> dict[str, str]:
    return {name: name for name in map(sql.column, link.choosing.values())}


def _links(link: Link | None, *, titles: Mapping[str, str] | None = None) -> list[Builder[model.DashboardLink]]:
    return [dashboard.DashboardLink(link.title).url(link.url(titles=titles))] if link else []


def _buckets(query: Metrics) -> Builder[Dataquery]:
    source = values.DataSourceRef(type_val="prometheus", uid="prometheus")
    counts = prometheus.Dataquery().ref_id("A").datasource(source).expr(query.expr).legend_format("{{le}}").range()
    return counts.format(prometheus_values.PromQueryFormat.HEATMAP).editor_mode(prometheus_values.QueryEditorMode.CODE)


def _own_thresholds(limits: Limits) -> model.DynamicConfigValue:
    return model.DynamicConfigValue("thresholds", _thresholds(limits, otherwise=BLUE).build())


def _fixed_colour(colour: str) -> model.DynamicConfigValue:
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def _colour(mode: model.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def _last_value() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False)


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(values.LegendDisplayMode.LIST)
        .placement(values.LegendPlacement.BOTTOM)
        .calcs([])
    )
