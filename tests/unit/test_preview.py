"""The preview page from given answers, as text and in a browser."""

import json
import re
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stack.dashboards import dashboards
from stack.dashboards.queries import panels
from stack.preview import Frame, Occasion, render, units
from stack.preview.__main__ import main
from tests.browser import empty_panels, rendered, screenshot, undrawn_charts

_NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
_OCCASION = Occasion(_NOON - timedelta(minutes=90), _NOON, _NOON, "http://127.0.0.1:16686", "http://127.0.0.1:3000")
_PAGE = dashboards()["overview.json"]
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


def _everything() -> Answers:
    """Something for every panel."""
    labels = {"alertname": "GenAIErrorBurst", "severity": "critical", "trace_id": "0af7651916cd43dd8448eb211c80319c"}
    points = [(_NOON + step * timedelta(seconds=15), 1.0) for step in range(20)]
    return {
        number: [Frame("A", "first", labels, points), Frame("B", "second", labels, points)] for number in _IDS.values()
    }


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
        Frame("A", "", {"trace_id": trace, "genai_observability_duration": seconds}, [])
        for trace, seconds in ((quick, "1.5"), (slow, "12.5"))
    ]
    panel = _panel("Slowest calls", {_IDS["Slowest calls"]: frames})
    assert panel.index("12.5 s") < panel.index("1.50 s")
    assert 'href="http://127.0.0.1:16686/api/traces/b7ad6b7169203331b7ad6b7169203331?prettyPrint=true"' in panel
    assert [re.sub("<.*?>", "", heading) for heading in re.findall("<th>.*?</th>", panel)] == [
        "Duration", "Time (UTC)", "Feature", "Model", "Outcome", "Trace",
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
    assert re.findall(r"--share: ([\d.]+)%", _panel("Scores", _one("Scores", 0.8))) == ["80.0"]


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


def test_a_browser_draws_every_chart_and_finds_no_empty_panel(tmp_path: Path) -> None:
    page = tmp_path / "preview.html"
    page.write_text(render(_PAGE, _everything(), _OCCASION), encoding="utf-8")
    html = rendered(page)
    assert empty_panels(html) == []
    assert html.count('<div class="chart') == 9
    assert undrawn_charts(html) == 0


def test_a_browser_makes_a_picture_of_the_page(tmp_path: Path) -> None:
    page, picture = tmp_path / "preview.html", tmp_path / "pictures" / "overview.png"
    page.write_text(render(_PAGE, _everything(), _OCCASION), encoding="utf-8")
    screenshot(page, picture, width=800, height=600, fragment="dark")
    header = picture.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (800, 600)


def test_a_stack_that_is_down_is_said_in_one_sentence_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    monkeypatch.setenv("PROMETHEUS_PORT", str(free))
    assert main(["--output", str(tmp_path / "page.html")]) == 1
    complaint = capsys.readouterr().err
    assert complaint == f"Prometheus is not reachable at http://127.0.0.1:{free}; start the stack with `make up`.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "0m", "half an hour", "-5m", "10s"])
def test_a_range_that_makes_no_sense_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--range={text}"])
    assert ended.value.code == 2
    assert "is no time to look back: write 30m, 6h or 1d" in capsys.readouterr().err
