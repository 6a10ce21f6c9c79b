"""The preview page from given answers, as text and in a browser."""

import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from genai_observability.signals import FEATURE, TEAM

from stack.clients import Prometheus, VictoriaLogs, Warehouse
from stack.dashboards import Frame, Stores, Window, catalogue, dashboards, queries, style
from stack.dashboards.answers import Cell
from stack.dashboards.page import Row, page
from stack.dashboards.queries import panels
from stack.dashboards.sql import Sql
from stack.preview import Occasion, collect, index, render, units
from stack.preview.__main__ import main
from tests import layout
from tests.browser import Browser, browser, empty_panels

_NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
_ALL = {name.removesuffix(".json"): dashboard for name, dashboard in dashboards().items()}
_OCCASION = Occasion(
    _NOON - timedelta(minutes=90), _NOON, _NOON, "http://127.0.0.1:16686", "http://127.0.0.1:3000", _ALL
)
_PAGE = _ALL["overview"]
_IDS = {panel["title"]: panel["id"] for panel in panels(_PAGE)}

Answers = Mapping[int, Sequence[Frame]]


def _one(title: str, *values: float, name: str = "", labels: dict[str, str] | None = None) -> Answers:
    points = [(_NOON + index * timedelta(seconds=15), value) for index, value in enumerate(values)]
    return {_IDS[title]: [Frame("A", name, labels or {}, points)]}


def _page(answers: Answers) -> str:
    """The page without the chart library, which has texts of its own."""
    return re.sub(r"<script>.{1000000,}?</script>", "", render(_PAGE, answers, _OCCASION), flags=re.DOTALL)


def _panel(title: str, answers: Answers) -> str:
    found = re.search(rf'<section [^>]*id="panel-{_IDS[title]}".*?</section>', _page(answers), flags=re.DOTALL)
    assert found
    return found[0]


def _everything(dashboard: dict[str, Any] = _PAGE) -> Answers:
    """Two series, or rows, for every query of a dashboard, with names as long as real ones."""
    start = {panel["id"]: _OCCASION.start_of(panel) for panel in panels(dashboard)}
    fields = {panel["id"]: _fields(panel) for panel in panels(dashboard)}
    ranked = {panel["id"] for panel in panels(dashboard) if panel["type"] == "bargauge"}
    answers: dict[int, list[Frame]] = {}
    for query in queries(dashboard, Window(_NOON - _OCCASION.start)):
        names = ("document-answers", "gpt-4.1-mini-2026-04-14")
        one = query.legend and "{{" not in query.legend  # what has a name of its own is one value
        for number, name in enumerate(names[:1] if one else names):
            labels = fields[query.panel_id] | {"app_feature": name, "le": ("0.5", "+Inf")[number]}
            length = _NOON - start[query.panel_id]
            points = [(_NOON - length * (20 - step) / 20, 1.0 + number + step / 7) for step in range(21)]
            if query.store == "prometheus":
                named = name if "{{" in query.legend else query.legend
                answers.setdefault(query.panel_id, []).append(
                    Frame(query.ref, named, labels, points[-1:] if query.instant else points)
                )
            elif query.rows:
                row = _row(fields[query.panel_id], number)
                answers.setdefault(query.panel_id, []).append(Frame(query.ref, "", {}, [], row))
            else:
                bars = query.panel_id in ranked
                found = [name] if bars else re.findall(r'AS "([^"]*)"', query.expr) or [""]
                frames = [Frame(query.ref, each, {}, points[-1:]) for each in found if bars or not number]
                answers.setdefault(query.panel_id, []).extend(frames)
    return answers


def _fields(panel: dict[str, Any]) -> dict[str, str]:
    """What a row of a table needs, each with a text as long as the longest."""
    steps = {step["id"]: step["options"] for step in panel.get("transformations", ())}
    texts = [name for name in steps.get("organize", {"renameByName": ()})["renameByName"] if "Value" not in name]
    return dict.fromkeys(texts, "0af7651916cd43dd8448eb211c80319c")


def _row(fields: dict[str, str], number: int) -> dict[str, Cell]:
    """One of the warehouse, or of the log store: with times and numbers as such."""
    times = {name: _NOON - timedelta(minutes=number) for name in fields if name.endswith("_at")}
    amounts = ("duration", "cost", "calls", "share", "score", "tokens", "token", "second")
    return {**fields, **times, **{name: 12.5 for name in fields if name.rpartition("_")[2] in amounts}}


def _trial(*rows: Any) -> dict[str, Any]:
    """A dashboard with these panels."""
    made = page(uid="genai-trial", title="GenAI trial", description="…", source="tests", rows=[Row("Well?", rows)])
    return catalogue._as_json(made)


def _html(dashboard: dict[str, Any], *frames: Frame) -> str:
    """The only panel of a dashboard, with these answers."""
    [panel] = panels(dashboard)
    html = render(dashboard, {panel["id"]: frames}, _OCCASION)
    found = re.search(r"<section .*?</section>", html, flags=re.DOTALL)
    assert found
    return found[0]


def _chart(html: str) -> dict[str, Any]:
    chart: dict[str, Any] = json.loads(re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html)[0])
    return chart


def _cells(html: str) -> list[list[str]]:
    rows = re.findall("<tr>(.*?)</tr>", html.partition("<tbody>")[2])
    return [[re.sub("<.*?>", "", cell) for cell in re.findall("<td.*?</td>", row)] for row in rows]


def _heat() -> dict[str, Any]:
    return _trial(
        style.heat(style.Metrics("sum by (le) (up)"), title="Spread", description="…", unit="s", empty="Nothing")
    )


def _table(**options: Any) -> dict[str, Any]:
    to_cost = style.Link("What it costs", to="genai-overview", choosing={"feature": FEATURE})
    columns = (
        style.Column(FEATURE.label, "Feature", link=to_cost),
        style.Column("Value #A", "Calls", "short"),
        style.Column("Value #B", "Cost", "currencyUSD"),
    )
    return _trial(
        style.rows(
            style.Metrics("calls"), style.Metrics("cost"),
            title="Features", description="…", empty="Nothing", columns=columns, sort_by="Cost", **options,
        )
    )  # fmt: skip


def _sample(ref: str, value: float, **labels: str) -> Frame:
    return Frame(ref, "", labels, [(_NOON, value)])


def test_a_figure_shows_its_last_value_in_its_unit_and_the_colour_of_its_threshold() -> None:
    panel = _panel("Failed", _one("Failed", 0.5, 0.001))
    assert "<b>0.1%</b>" in panel
    assert "color: #73BF69" in panel
    assert "color: #F2495C" in _panel("Failed", _one("Failed", 0.001, 0.5))


def test_a_panel_without_an_answer_says_what_it_lacks_in_a_way_a_test_can_find() -> None:
    html = _page(_one("Failed", 0.1))
    assert "Failed" not in empty_panels(html)
    assert set(empty_panels(html)) == set(_IDS) - {"Failed"}
    assert "Every call has a price" in _panel("Calls without a price", {})


def test_the_page_says_that_it_is_a_preview_of_which_range_and_when_it_was_made() -> None:
    html = _page({})
    assert "Preview of the Grafana dashboard <code>genai-overview</code>" in html
    assert "2026-01-02 10:30 – 12:00 UTC (1 h 30 min)" in html
    assert "2026-01-02 12:00:00 UTC" in html


def test_the_page_loads_nothing() -> None:
    html = _page(_everything())
    assert not re.search(r"\bsrc=|<link|@import|url\(", html)
    assert "default-src 'none'" in html


@pytest.mark.parametrize("title", ["Calls by outcome", "Cost by feature", "Calls by model", "Tokens", "Failed calls"])
def test_names_from_the_data_cannot_become_part_of_the_page(title: str) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    html = _page(_one(title, 1.0, 2.0, name=hostile, labels={"app_feature": hostile, "trace_id": hostile}))
    assert "<img" not in html
    assert "</script><" not in html.replace("</script>\n", "")


def test_a_table_is_sorted_and_its_trace_ids_lead_to_the_trace() -> None:
    slow, quick = "b7ad6b7169203331b7ad6b7169203331", "0af7651916cd43dd8448eb211c80319c"
    frames = [
        Frame("A", "", {}, [], {"trace_id": trace, "duration": seconds, "ended_at": _NOON})
        for trace, seconds in ((quick, 1.5), (slow, 12.5))
    ]
    panel = _panel("Slowest calls", {_IDS["Slowest calls"]: frames})
    assert "2026-01-02 12:00:00</td>" in panel
    assert panel.index("12.5 s") < panel.index("1.50 s")
    assert 'href="http://127.0.0.1:16686/api/traces/b7ad6b7169203331b7ad6b7169203331?prettyPrint=true"' in panel
    assert [re.sub("<.*?>", "", heading) for heading in re.findall("<th>.*?</th>", panel)] == [
        "Duration", "Time", "Feature", "Model", "Outcome", "Trace",
    ]  # fmt: skip


def test_a_state_is_shown_as_its_word() -> None:
    labels = {"alertname": "GenAIErrorBurst"}
    firing = _panel("Alerts in this time range", _one("Alerts in this time range", 1.0, labels=labels))
    assert ">firing</td>" in firing
    assert ">resolved</td>" in _panel(
        "Alerts in this time range", _one("Alerts in this time range", 0.0, labels=labels)
    )


def test_a_ranking_begins_with_the_largest_whose_bar_is_full() -> None:
    frames = [Frame("A", name, {}, [(_NOON, value)]) for name, value in (("small", 1.0), ("large", 4.0))]
    panel = _panel("Cost by feature", {_IDS["Cost by feature"]: frames})
    assert re.findall(r"--share: ([\d.]+)%", panel) == ["100.0", "25.0"]
    assert panel.index("large") < panel.index("small")


def test_a_score_is_measured_against_1() -> None:
    assert re.findall(r"--share: ([\d.]+)%", _panel("Score by evaluation", _one("Score by evaluation", 0.8))) == [
        "80.0"
    ]


def test_a_graph_has_the_colours_axis_and_thresholds_of_its_panel() -> None:
    panel = _panel("Latency", _one("Latency", 1.0, 2.0, name="p95"))
    chart = json.loads(re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', panel)[0])
    assert chart["traces"][0]["line"]["color"] == "#FF9830"
    assert chart["axis"]["ticksuffix"] == " s"
    assert [line["value"] for line in chart["lines"]] == [5, 8]


def test_a_panel_that_the_page_cannot_draw_is_named() -> None:
    page: dict[str, Any] = json.loads(json.dumps(_PAGE))
    next(panels(page))["type"] = "geomap"
    with pytest.raises(ValueError, match="cannot draw the panel 'Calls a second': its type is geomap"):
        render(page, {}, _OCCASION)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0005, "s", "0.500 ms"),
        (0.5384, "s", "538 ms"),
        (1.873, "s", "1.87 s"),
        (90, "s", "1.50 min"),
        (5400, "s", "1.50 hours"),
        (129_600, "s", "1.50 days"),
        (1_814_400, "s", "3 weeks"),
        (512, "bytes", "512 B"),
        (3 * 2**20, "bytes", "3 MiB"),
        (0.0123, "percentunit", "1.2%"),
        (0.0000247, "currencyUSD", "$0.0000247"),
        (1234.5, "currencyUSD", "$1,234.50"),
        (0, "currencyUSD", "$0"),
        (12, "short", "12"),
        (80131, "short", "80.1 K"),
        (5.7666, "reqps", "5.77 req/s"),
        (287.2, "suffix: tok/s", "287 tok/s"),
        (0.72, "none", "0.720"),
        (float("nan"), "s", "–"),
        (float("inf"), "none", "–"),
    ],
)
def test_a_value_is_written_in_its_unit(value: float, unit: str, shown: str) -> None:
    assert units.text(value, unit) == shown


def test_a_heatmap_shows_what_came_into_each_bucket() -> None:
    counts = {"0.5": (1.0, 0.0), "1": (1.0, 0.0), "2": (4.0, 0.0), "+Inf": (4.0, 3.0)}
    frames = [
        Frame(
            "A",
            bound,
            {"le": bound},
            [(_NOON + index * timedelta(minutes=1), each) for index, each in enumerate(values)],
        )
        for bound, values in reversed(counts.items())
    ]
    [trace] = _chart(_html(_heat(), *frames))["traces"]
    assert trace["y"] == ["≤ 500 ms", "≤ 1 s", "≤ 2 s", "more"]
    assert trace["z"] == [[1.0, None], [None, None], [3.0, None], [None, 3.0]]


def test_buckets_beyond_what_happened_take_no_room() -> None:
    frames = [
        _sample("A", count, le=bound) for bound, count in (("0.1", 0), ("0.5", 0), ("1", 2), ("2", 2), ("+Inf", 2))
    ]
    assert _chart(_html(_heat(), *frames))["traces"][0]["y"] == ["≤ 1 s"]


def test_answers_of_several_queries_are_one_row_by_the_labels_that_they_share() -> None:
    frames = [
        _sample("A", 3, app_feature="search"), _sample("A", 7, app_feature="chat"), _sample("A", 1, app_feature="help"),
        _sample("B", 0.5, app_feature="search", app_team="growth"), _sample("B", 0.25, app_feature="chat"),
    ]  # fmt: skip
    assert _cells(_html(_table(), *frames)) == [["search", "3", "$0.500"], ["chat", "7", "$0.250"], ["help", "1", ""]]


def test_a_table_may_begin_with_the_smallest_and_ends_with_what_has_no_value() -> None:
    dashboard = _table()
    [panel] = panels(dashboard)
    [sort] = [step for step in panel["transformations"] if step["id"] == "sortBy"]
    sort["options"]["sort"][0]["desc"] = False
    frames = [_sample("B", 2, app_feature="b"), _sample("B", 1, app_feature="a"), _sample("A", 9, app_feature="c")]
    assert [row[0] for row in _cells(_html(dashboard, *frames))] == ["a", "b", "c"]


def test_of_a_long_table_the_first_rows_are_drawn_and_the_others_counted() -> None:
    dashboard = _table()
    [panel] = panels(dashboard)
    [limit] = [step for step in panel["transformations"] if step["id"] == "limit"]
    limit["options"]["limitField"] = 200
    html = _html(dashboard, *(_sample("A", number, app_feature=f"f{number}") for number in range(30)))
    assert len(_cells(html)) == 20
    assert "10 more in Grafana" in html


def test_a_cell_and_a_panel_lead_to_the_page_of_another_dashboard() -> None:
    assert '<a href="overview.html" data-page>search</a>' in _html(_table(), _sample("A", 3, app_feature="search"))
    link = style.Link("Which calls?", to="genai-overview", choosing={"team": TEAM})
    ranking = style.ranking(Sql("SELECT 1"), title="Users", description="…", unit="short", empty="Nothing", link=link)
    html = _html(_trial(ranking), _sample("A", 3))
    assert '<a class="more" href="overview.html" data-page title="Which calls?">' in html


def test_a_link_to_a_dashboard_without_a_page_is_left_out() -> None:
    link = style.Link("Elsewhere", to="genai-nowhere")
    figure = style.figure(style.Metrics("x"), title="X", description="…", unit="s", empty="Nothing", link=link)
    assert "href" not in _html(_trial(figure), _sample("A", 3))


def test_a_panel_with_a_time_range_of_its_own_says_so_and_shows_it() -> None:
    course = style.course(
        style.Metrics("x"), title="Days", description="…", unit="s", empty="Nothing", bars=True, last="30d"
    )
    points = [(_NOON - timedelta(days=day), 1.0) for day in (2, 1, 0)]
    html = _html(_trial(course), Frame("A", "", {}, points))
    assert "<small>last 30d</small>" in html
    assert _chart(html)["range"] == ["2025-12-03 00:00:00", "2026-01-03 00:00:00"], "half a bar beside the time range"
    assert _chart(html)["days"] is True


def test_a_number_that_is_none_breaks_no_graph() -> None:
    course = style.course(style.Metrics("x"), title="X", description="…", unit="s", empty="Nothing")
    assert _chart(_html(_trial(course), _sample("A", float("nan"))))["traces"][0]["y"] == [None]
    ranking = style.ranking(style.Metrics("x"), title="X", description="…", unit="s", empty="Nothing")
    assert "<em>–</em>" in _html(_trial(ranking), _sample("A", float("inf")), _sample("A", 1))


def test_a_panel_is_asked_for_its_own_time_range() -> None:
    class Recorder(Prometheus):
        asked: list[timedelta] = []  # noqa: RUF012

        def query_range(self, expr: str, *, start: datetime, end: datetime, step: timedelta) -> Any:
            self.asked.append(end - start)
            return []

    own, usual = (
        style.course(style.Metrics("x"), title="X", description="…", unit="s", empty="Nothing", last=last)
        for last in ("30d", "")
    )
    collect(
        _trial(own, usual), start=_OCCASION.start, end=_NOON,
        stores=Stores(Recorder("http://127.0.0.1:9"), VictoriaLogs("http://127.0.0.1:9"), Warehouse("")),
    )  # fmt: skip
    assert sorted(Recorder.asked) == [timedelta(minutes=90), timedelta(days=30)]


def test_every_page_shows_the_choices_and_leads_to_every_other() -> None:
    html = _page({})
    for variable in ("Environment", "Service", "Feature", "Team", "Provider", "Model"):
        assert f"<dt>{variable}</dt><dd>All</dd>" in html
    for name in ("index", *_ALL):
        assert f'<a href="{name}.html" data-page' in html
    assert "recent" not in re.sub(r"<(style|script).*?</\1>", "", html, flags=re.DOTALL)


def test_the_index_says_of_each_page_what_it_answers_and_how_much_of_it_has_data() -> None:
    html = index(dict.fromkeys(_ALL, 3), _OCCASION)
    assert '<a href="overview.html" data-page>GenAI overview</a>' in html
    assert "<b>Is it all right now?</b>" in html
    assert f"3 of {len(_IDS)} panels have data" in html
    assert "Generated by" not in html


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.mark.parametrize("name", _ALL)
def test_a_page_is_whole_light_and_dark(name: str, chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(render(_ALL[name], _everything(_ALL[name]), _OCCASION), encoding="utf-8")
    chromium.open(file, fragment="dark")
    assert chromium.run("document.documentElement.dataset.theme") == "dark"
    assert layout.faults_of_both_themes(chromium) == []
    assert layout.panels(chromium) == sum(1 for _ in panels(_ALL[name]))


def test_every_kind_of_panel_is_whole_however_narrow(chromium: Browser, tmp_path: Path) -> None:
    words: dict[str, Any] = {"description": "…", "empty": "Nothing"}
    asked = [style.Metrics(f"x{number}", f"with name {number}", instant=True) for number in range(6)]
    trial = _trial(
        *(style.figure(*asked[:count], title=f"{count} in {width}", unit="reqps", width=width, height=height, **words)
          for count in (1, 2, 3, 4, 6) for width, height in ((3, 4), (6, 8)) if count <= width),
        style.heat(style.Metrics("x"), title="Heat", unit="s", **words),
        style.parts(*asked, title="Parts", unit="currencyUSD", **words),
        style.course(*asked, title="Course", unit="s", width=6, last="30d", bars=True, **words),
        style.ranking(*asked, title="Ranking", unit="s", width=6, **words),
    )  # fmt: skip
    file = tmp_path / "page.html"
    file.write_text(render(trial, _everything(trial), _OCCASION), encoding="utf-8")
    for width in (1400, 1920, 700):
        chromium.open(file, width=width)
        assert layout.faults(chromium) == []


def test_faults_of_a_page_are_found(chromium: Browser, tmp_path: Path) -> None:
    html = render(_PAGE, {**_everything(), _IDS["Failed"]: []}, _OCCASION)
    spoilt = html.replace(
        "</style>", ".figures b { width: 9px } .chart svg { display: none } .chart { height: 1px }</style>"
    )
    spoilt = spoilt.replace("Plotly.react(", "(() => {})(")
    file = tmp_path / "page.html"
    file.write_text(spoilt, encoding="utf-8")
    chromium.open(file)
    found = layout.faults(chromium)
    assert "Failed: is empty" in found
    assert 'Calls a second: "3.86 req/s" is cut' in found
    assert "Latency: its chart is not drawn" in found
    chromium.run("document.querySelector('.panel').style.width = '400px'")
    assert "Failed: lies on Calls a second" in layout.faults(chromium)


def test_a_picture_of_a_page_shows_all_of_it(chromium: Browser, tmp_path: Path) -> None:
    file, picture = tmp_path / "page.html", tmp_path / "pictures" / "overview.png"
    file.write_text(render(_PAGE, _everything(), _OCCASION), encoding="utf-8")
    chromium.open(file, width=800, height=600)
    chromium.picture(picture)
    header = picture.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert int.from_bytes(header[16:20]) == 800
    assert int.from_bytes(header[20:24]) > 3000


def test_a_stack_that_is_down_is_said_in_one_sentence_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    monkeypatch.setenv("PROMETHEUS_PORT", str(free))
    assert main(["--output", str(tmp_path / "pages")]) == 1
    complaint = capsys.readouterr().err
    assert complaint == f"Prometheus is not reachable at http://127.0.0.1:{free}; start the stack with `make up`.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "0m", "half an hour", "-5m", "10s"])
def test_a_range_that_makes_no_sense_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--range={text}"])
    assert ended.value.code == 2
    assert "is no time to look back: write 30m, 6h or 1d" in capsys.readouterr().err
