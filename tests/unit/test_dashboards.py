"""The generated dashboards: complete, by the catalogue alone, and understood by the real stores."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from genai_observability import signals

from stack.clients import Loki, Prometheus
from stack.dashboards import Window, dashboards, expressions, queries, style
from stack.dashboards.__main__ import main
from stack.dashboards.queries import panels
from stack.dashboards.sdk import JSONEncoder
from stack.dashboards.style import GREEN, ORANGE, RED
from stack.reader import Name
from stack.settings import Settings
from stack.thresholds import OtherLatency, Thresholds
from tests.server_metrics import METRICS_OF_SERVERS
from tests.stores import running

Panel = dict[str, Any]

_PAGES = dashboards()
_PANELS = [(name, panel) for name, page in _PAGES.items() for panel in panels(page)]
_WINDOW = Window(timedelta(minutes=30))

each_page = pytest.mark.parametrize("page", _PAGES.values(), ids=_PAGES)
each_panel = pytest.mark.parametrize("panel", [each for _, each in _PANELS], ids=[each["title"] for _, each in _PANELS])


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Path(tmp_path_factory.mktemp("stores"))) as settings:
        yield settings


@pytest.fixture(scope="module")
def talks(stores: Settings) -> None:
    """Four calls: of two conversations, in two sessions, and one of neither."""
    now = int(datetime.now(UTC).timestamp())
    calls = [("1", "c-1", "s-1"), ("2", "c-1", "s-2"), ("3", "c-2", "s-2"), ("4", "", "")]
    records = [
        {
            "timeUnixNano": f"{now - 60 + int(tokens)}000000000",
            "body": {"stringValue": "a call"},
            "attributes": _attributes(
                {
                    signals.EVENT_NAME: signals.CALL_EVENT,
                    signals.INPUT_TOKENS: tokens,
                    signals.CONVERSATION: conversation,
                    signals.SESSION: session,
                }
            ),
        }
        for tokens, conversation, session in calls
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    logs = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
    httpx.post(f"{stores.loki_url}/otlp/v1/logs", json=logs).raise_for_status()


def _attributes(values: dict[signals.Attribute, str]) -> list[Panel]:
    return [{"key": key.name, "value": {"stringValue": value}} for key, value in values.items() if value]


@each_panel
def test_every_query_of_a_panel_has_a_name_and_a_data_source_with_a_fixed_uid(panel: Panel) -> None:
    refs = [target["refId"] for target in panel["targets"]]
    assert all(refs)
    assert len(set(refs)) == len(refs)
    for target in panel["targets"]:
        assert target["datasource"] in ({"type": "prometheus", "uid": "prometheus"}, {"type": "loki", "uid": "loki"})


@each_panel
def test_several_values_of_one_panel_can_be_told_apart(panel: Panel) -> None:
    if panel["type"] != "table" and len(panel["targets"]) > 1:
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert all(legends)
        assert len(set(legends)) == len(legends)


def test_the_page_of_the_stack_names_metrics_that_its_servers_have() -> None:
    known = {name for names in METRICS_OF_SERVERS.values() for name in names}
    servers = r"(?:otelcol|prometheus|loki|jaeger|tempo|tempodb|alertmanager|inbox|usage|process)_\w+"
    named = {
        name
        for query in queries(_PAGES["health.json"], _WINDOW)
        for name in re.findall(rf"\b{servers}", re.sub(r'"[^"]*"', "", query.expr))
    }
    assert "otelcol_exporter_queue_size" in named
    assert named <= known


@each_page
def test_every_query_obeys_the_choices_of_the_page_or_its_panel_says_which_not(page: Panel) -> None:
    # What a reader types is looked up by a panel or two; it is no choice of the page.
    choices = [item for item in page["templating"]["list"] if item["type"] == "query"]
    names = [item["name"] for item in choices if not item.get("hide")]
    chosen = {name: f"chosen-{name}" for name in names}
    descriptions = {panel["id"]: panel["description"] for panel in panels(page)}
    for query in queries(page, Window(timedelta(hours=1), variables=chosen)):
        selectors = re.findall(r"{[^}]*}(?: \| [^\[]*)?", query.expr)
        assert selectors
        _, _, exceptions = descriptions[query.panel_id].partition(" Shows all, whatever is chosen as ")
        for name, value in chosen.items():
            obeyed = all(f'=~"{value}' in selector for selector in selectors)
            assert obeyed or re.search(rf"\b{name}\b", exceptions), (query.panel, name)


@each_panel
def test_a_link_leads_to_a_page_that_exists(panel: Panel) -> None:
    uids = {page["uid"] for page in _PAGES.values()}
    assert set(re.findall(r'"/d/([\w-]+)', json.dumps(panel["fieldConfig"]))) <= uids


@each_page
def test_every_query_is_accepted_by_its_store(page: Panel, stores: Settings) -> None:
    clients: dict[str, Prometheus | Loki] = {
        "prometheus": Prometheus(stores.prometheus_url),
        "loki": Loki(stores.loki_url),
    }
    now = datetime.now(UTC)
    for query in queries(page, _WINDOW):  # each raises where the store refuses it
        if query.newest is None:
            clients[query.store].query(query.expr)
        else:
            Loki(stores.loki_url).entries(query.expr, start=now - _WINDOW.length, end=now, limit=query.newest)


def test_all_matches_what_lacks_the_label_but_no_log_stream_without_a_service() -> None:
    page = _PAGES["overview.json"]
    choices = {item["name"]: item["allValue"] for item in page["templating"]["list"] if not item.get("hide")}
    assert choices == {name: ".+" if name == "service" else ".*" for name in expressions.VARIABLES}


def test_a_variable_that_the_page_lacks_is_an_error() -> None:
    page = json.loads(json.dumps(_PAGES["overview.json"]).replace("$feature", "$nothing"))
    with pytest.raises(KeyError, match="nothing"):
        queries(page, _WINDOW)


def test_windows_are_filled_in_as_grafana_does() -> None:
    [query] = [
        query
        for query in queries(_PAGES["overview.json"], Window(timedelta(minutes=30), step=timedelta(seconds=5)))
        if query.panel == "Cost by model, over time"
    ]
    assert query.step == timedelta(minutes=1), "bars are a minute apart at least"
    assert "[60s] anchored" in query.expr
    assert not query.instant


def test_a_choice_that_a_metric_does_not_know_is_left_out() -> None:
    assert "$provider" in expressions.series(signals.CALL_COST)
    assert "$provider" not in expressions.series(signals.CACHE_REQUESTS)


def test_a_choice_that_the_records_of_an_event_lack_is_left_out() -> None:
    assert "$provider" in expressions.request_log()
    assert "$provider" not in expressions.request_log(event=signals.EVALUATION_EVENT)


@pytest.mark.parametrize(
    ("typed", "times"),
    [("", ["1", "2", "3"]), ("c-1", ["1", "2"]), ("s-2", ["2", "3"]), ("c-", [])],
)
def test_a_typed_conversation_or_session_shows_its_calls_alone(
    typed: str, times: list[str], talks: None, stores: Settings
) -> None:
    window = Window(timedelta(minutes=30), variables={"conversation": typed})
    [query] = [
        query for query in queries(_PAGES["agents.json"], window) if query.panel.startswith("Calls of the conversation")
    ]
    now = datetime.now(UTC)
    entries = Loki(stores.loki_url).entries(query.expr, start=now - query.length, end=now, limit=query.newest)
    assert sorted(entry.labels[signals.INPUT_TOKENS.label] for entry in entries) == times


def test_a_score_is_coloured_by_the_limits_of_its_own_evaluation() -> None:
    [scores] = [panel for panel in panels(_PAGES["quality.json"]) if panel["title"] == "Score by evaluation"]
    steps = {
        override["matcher"]["options"]: [step["color"] for step in override["properties"][0]["value"]["steps"]]
        for override in scores["fieldConfig"]["overrides"]
    }
    assert steps["similarity"] == [ORANGE, GREEN], "it has a warning alone"
    assert steps["toxicity"] == [GREEN, ORANGE, RED], "of a risk, 1 is bad"


def test_a_quantile_by_what_is_not_recorded_is_refused() -> None:
    tenant = expressions.where(signals.TENANT, "=", "shop-ch")
    with pytest.raises(ValueError, match=r"duration is recorded without app.tenant"):
        expressions.quantile(0.5, signals.CALL_DURATION, tenant)


def test_more_than_a_day_is_read_from_the_recorded_growth_and_a_day_from_the_calls_themselves() -> None:
    for length, raw, recorded in ((timedelta(days=1), ".+", ".+"), (timedelta(days=2), "-", "-")):
        for query in queries(_PAGES["overview.json"], Window(length)):
            if query.panel == "Cost by team":
                assert f'job=~"{raw}"' in query.expr
                assert f'job!~"{recorded}"' in query.expr


def test_a_histogram_is_asked_for_by_one_of_its_parts() -> None:
    with pytest.raises(ValueError, match="is a histogram"):
        expressions.series(signals.CALL_DURATION)


def test_the_colours_change_where_the_alerts_do() -> None:
    usual = Thresholds.load()
    warning, critical = replace(usual.error_ratio.warning, above=0.03), replace(usual.error_ratio.critical, above=0.07)
    own = replace(usual, error_ratio=replace(usual.error_ratio, warning=warning, critical=critical))
    [failed] = [panel for panel in panels(dashboards(own)["overview.json"]) if panel["title"] == "Failed"]
    steps = failed["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 0.03, 0.07]


def test_a_number_that_is_only_ever_suspicious_or_only_ever_bad_has_two_colours() -> None:
    def coloured(limits: style.Limits) -> list[tuple[float | None, str]]:
        panel = style.figure(title="", description="", unit="", empty="", limits=limits).build()
        steps = json.loads(json.dumps(panel, cls=JSONEncoder))["fieldConfig"]["defaults"]["thresholds"]["steps"]
        return [(step["value"], step["color"]) for step in steps]

    assert coloured(style.Limits(critical=3)) == [(None, style.GREEN), (3, style.RED)]
    assert coloured(style.Limits(warning=2)) == [(None, style.GREEN), (2, style.ORANGE)]
    low = style.Limits(warning=2, critical=1, low_is_bad=True)
    assert coloured(low) == [(None, style.RED), (1, style.ORANGE), (2, style.GREEN)]


def test_calls_with_limits_of_their_own_are_not_held_against_those_of_others() -> None:
    nightly = OtherLatency(min_calls=20, services=(Name("importer"),), features=(Name("re.index"),))
    own = replace(Thresholds.load(), latency_of={Name("nightly"): nightly})
    asked = [query.expr for query in queries(dashboards(own)["latency.json"], _WINDOW) if query.panel == "Latency p95"]
    assert 'job!~"importer"' in asked[0]
    assert 'app_feature!~"re[.]index"' in asked[0]


def test_writing_twice_gives_the_same_files_and_nothing_is_stale_after_it(tmp_path: Path) -> None:
    directory = str(tmp_path / "dashboards")
    assert main(["--directory", directory]) == 0
    first = {path.name: path.read_bytes() for path in Path(directory).iterdir()}
    assert main(["--directory", directory]) == 0
    assert {path.name: path.read_bytes() for path in Path(directory).iterdir()} == first
    assert main(["--check", "--directory", directory]) == 0


def test_a_generated_file_says_so() -> None:
    for page in _PAGES.values():
        assert page["description"].startswith("Generated by `make generate` from stack/dashboards/")


def test_a_changed_file_and_one_without_a_module_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--directory", str(tmp_path)])
    (tmp_path / "overview.json").write_text("{}", encoding="utf-8")
    (tmp_path / "forgotten.json").write_text("{}", encoding="utf-8")
    assert main(["--check", "--directory", str(tmp_path)]) == 1
    complaint = capsys.readouterr().err
    assert f"{tmp_path}/overview.json is not up to date: run `make generate`." in complaint
    assert f"{tmp_path}/forgotten.json is not up to date: run `make generate`." in complaint
    assert main(["--directory", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(_PAGES)
