"""A dashboard with a fault is not written, and the sentence names dashboard and panel."""

import json
from pathlib import Path
from typing import Any

import pytest
from genai_observability import signals

from stack.dashboards import __main__ as command
from stack.dashboards import dashboards
from stack.dashboards.queries import panels
from stack.dashboards.validate import DashboardsError, validate

Page = dict[str, Any]


@pytest.fixture
def page() -> Page:
    """The overview, to be spoilt."""
    copy: Page = json.loads(json.dumps(dashboards()["overview.json"]))
    return copy


def _complaint(page: Page) -> str:
    with pytest.raises(DashboardsError) as raised:
        validate({"overview.json": page})
    return str(raised.value)


def test_the_dashboards_have_no_fault() -> None:
    validate(dashboards())


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (("description",), "a description: say how to read it and what to do next"),
        (("fieldConfig", "defaults", "unit"), "a unit"),
        (("fieldConfig", "defaults", "noValue"), "a text for when it is empty"),
        (("targets",), "a query"),
    ],
)
def test_what_a_panel_lacks_is_said(page: Page, keys: tuple[str, ...], what: str) -> None:
    *way, last = keys
    place = next(panels(page))
    for key in way:
        place = place[key]
    del place[last]
    assert _complaint(page) == f"overview.json, panel 'Calls a second': it lacks {what}."


def test_a_description_that_only_says_what_is_not_obeyed_is_none(page: Page) -> None:
    next(panels(page))["description"] = " Shows all, whatever is chosen as team."
    assert "panel 'Calls a second': it lacks a description" in _complaint(page)


def test_a_panel_without_a_title_is_named_by_its_id(page: Page) -> None:
    panel = next(panels(page))
    panel["title"] = ""
    assert _complaint(page) == f"overview.json, panel {panel['id']}: it lacks a title."


def test_a_metric_gone_from_the_catalogue_is_named_with_the_panel(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tuple(metric for metric in signals.METRICS if metric is not signals.CALLS_UNPRICED)
    monkeypatch.setattr(signals, "METRICS", kept)
    monkeypatch.setattr("genai_observability.signals.metrics.METRICS", kept)
    assert (
        "overview.json, panel 'Calls without a price': a query names genai_observability_calls_unpriced_total, "
        "which the signal catalogue does not have."
    ) in _complaint(page)


def test_a_label_that_nothing_has_is_named(page: Page) -> None:
    next(panels(page))["targets"][0]["expr"] = "sum by (app_feeture) (up)"
    assert "panel 'Calls a second': a query names app_feeture, which the signal catalogue" in _complaint(page)


def test_a_column_that_the_warehouse_lacks_and_an_unknown_variable_of_sql_are_named(page: Page) -> None:
    [slowest] = [panel for panel in panels(page) if panel["title"] == "Slowest calls"]
    asked = "SELECT sum(cost) AS money, feture FROM calls WHERE user_hash = ${usr:sqlstring} AND team = 'teem'"
    slowest["targets"][0]["rawSql"] = asked
    assert _complaint(page).splitlines() == [
        "overview.json, panel 'Slowest calls': a query uses the variable $usr, which the dashboard does not have.",
        "overview.json, panel 'Slowest calls': a query names feture, which the warehouse does not have.",
    ]


def test_an_unknown_variable_of_a_query_is_named(page: Page) -> None:
    next(panels(page))["targets"][0]["expr"] = 'up{job=~"$servise"} + $__rnge'
    assert _complaint(page).splitlines() == [
        f"overview.json, panel 'Calls a second': a query uses the variable ${name}, which the dashboard does not have."
        for name in ("__rnge", "servise")
    ]


def test_an_unknown_variable_of_a_link_an_annotation_or_another_variable_is_named(page: Page) -> None:
    next(panels(page))["fieldConfig"]["defaults"]["links"] = [{"title": "Cost", "url": "/d/x?${featur:queryparam}"}]
    page["annotations"]["list"][0]["expr"] = "$one"
    page["templating"]["list"][0]["query"] = "$other"
    complaint = _complaint(page)
    assert "panel 'Calls a second': a link uses the variable $featur, which the dashboard does not have." in complaint
    assert "annotation 'Alerts': a query uses the variable $one, which" in complaint
    assert "variable 'environment': a query uses the variable $other, which" in complaint


def test_the_group_of_a_regular_expression_is_no_variable(page: Page) -> None:
    next(panels(page))["targets"][0]["expr"] = 'label_replace(up, "a", "$1", "b", "(.*)$")'
    validate({"overview.json": page})


def test_panels_on_each_other_beside_the_page_or_with_one_id_are_named(page: Page) -> None:
    first, second, third, *_ = panels(page)
    second["gridPos"] = dict(first["gridPos"])
    second["id"] = first["id"]
    third["gridPos"]["x"] = 23
    complaint = _complaint(page)
    assert "panel 'Failed': it lies on panel 'Calls a second'." in complaint
    assert "panel 'Failed': it has the id of panel 'Calls a second'." in complaint
    assert f"panel {third['title']!r}: it is wider than the page." in complaint


def test_a_faulty_dashboard_stops_the_check_and_nothing_is_written(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del next(panels(page))["description"]
    monkeypatch.setattr(command, "dashboards", lambda: {"overview.json": page})
    for option in ("--check", "--directory"):
        assert command.main([*([option] if option == "--check" else []), "--directory", str(tmp_path)]) == 1
        assert "overview.json, panel 'Calls a second': it lacks a description" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
