"""The generated dashboards: complete, by the catalogue alone, and understood by the real stores."""

import asyncio
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from genai_observability import signals

from stack.dashboards import Frame, PanelQuery, Stores, Window, ask, dashboards, expressions, queries, sql, style
from stack.dashboards.__main__ import main
from stack.dashboards.answers import in_range
from stack.dashboards.queries import panels
from stack.dashboards.sdk import JSONEncoder
from stack.dashboards.style import GREEN, ORANGE, RED
from stack.native import down, up
from stack.reader import Name
from stack.settings import Settings
from stack.thresholds import OtherLatency, Thresholds
from stack.usage.columns import CALLS, FINDINGS, SCORES
from stack.usage.records import Batch
from stack.usage.store import prepare, store
from stack.warehouse import INGEST, address
from tests.server_metrics import METRICS_OF_SERVERS
from tests.stores import settings_at

Panel = dict[str, Any]

_PAGES = dashboards()
_PANELS = [(name, panel) for name, page in _PAGES.items() for panel in panels(page)]
_WINDOW = Window(timedelta(minutes=30))

each_page = pytest.mark.parametrize("page", _PAGES.values(), ids=_PAGES)
each_panel = pytest.mark.parametrize("panel", [each for _, each in _PANELS], ids=[each["title"] for _, each in _PANELS])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = settings_at(tmp_path_factory.mktemp("stores"))
    try:
        up(settings, only={"prometheus", "victorialogs", "postgres", "usage"})
        yield settings
    finally:
        down(settings, volumes=True)


@pytest.fixture(scope="module")
def stores(stack: Settings) -> Stores:
    return Stores.of(stack)


@pytest.fixture(scope="module")
def talks(stack: Settings) -> None:
    """Four calls: of two conversations, in two sessions, and one of neither."""
    talks = [("1", "c-1", "s-1"), ("2", "c-1", "s-2"), ("3", "c-2", "s-2"), ("4", None, None)]
    _store(
        stack,
        *(
            {"input_tokens": int(tokens), "conversation_id": conversation, "session_id": session}
            for tokens, conversation, session in talks
        ),
    )


@pytest.fixture(scope="module")
def hostile(stack: Settings) -> None:
    """A call of each hostile name, as a feature, a user and a conversation, and one without any."""
    _store(
        stack,
        {"service": "hostile"},
        *(
            {"service": "hostile", "feature": name, "user_hash": name, "conversation_id": name, "cost": Decimal(1)}
            for name in _HOSTILE
        ),
    )


def _store(stack: Settings, *calls: dict[str, Any]) -> None:
    """Calls in the warehouse, as its own writer puts them there."""
    ended = datetime.now(UTC) - timedelta(minutes=1)
    rows = [
        {"id": uuid.uuid4(), "ended_at": ended, "outcome": "success"} | call for call in calls
    ]  # fmt: skip
    batch = Batch()
    batch.rows[CALLS.name].extend(tuple(row.get(name) for name in CALLS.names) for row in rows)

    async def written() -> None:
        connection = await asyncpg.connect(address(stack, INGEST))
        await prepare(connection)
        assert (await store(connection, batch)).new[CALLS.name] == len(calls)
        await connection.close()

    asyncio.run(written())


@each_panel
def test_every_query_of_a_panel_has_a_name_and_a_data_source_with_a_fixed_uid(panel: Panel) -> None:
    refs = [target["refId"] for target in panel["targets"]]
    assert all(refs)
    assert len(set(refs)) == len(refs)
    for target in panel["targets"]:
        assert target["datasource"] in (
            {"type": "prometheus", "uid": "prometheus"},
            {"type": "loki", "uid": "loki"},
            {"type": "grafana-postgresql-datasource", "uid": "warehouse"},
        )


def test_only_the_applications_own_lines_are_asked_of_the_log_store() -> None:
    asked = [panel["title"] for _, panel in _PANELS for target in panel["targets"] if _store_of(target) == "loki"]
    assert asked == ["Errors in the application's log"]


def _store_of(target: Panel) -> str:
    return str(target["datasource"]["uid"])


@each_panel
def test_several_values_of_one_panel_can_be_told_apart(panel: Panel) -> None:
    if panel["type"] != "table" and len(panel["targets"]) > 1:
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert all(legends)
        assert len(set(legends)) == len(legends)


def test_the_page_of_the_stack_names_metrics_that_its_servers_have() -> None:
    known = {name for names in METRICS_OF_SERVERS.values() for name in names}
    servers = r"(?:otelcol|prometheus|loki|vl|jaeger|tempo|tempodb|alertmanager|inbox|usage|process)_\w+"
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
        selectors = re.findall(r"{[^}]*}", query.expr) if query.store == "prometheus" else [query.expr]
        assert selectors
        _, _, exceptions = descriptions[query.panel_id].partition(" Shows all, whatever is chosen as ")
        for name, value in chosen.items():
            obeyed = all(re.search(rf"(=~\"|IN \('){value}", selector) for selector in selectors)
            assert obeyed or re.search(rf"\b{name}\b", exceptions), (query.panel, name)


@each_panel
def test_a_link_leads_to_a_page_that_exists(panel: Panel) -> None:
    uids = {page["uid"] for page in _PAGES.values()}
    assert set(re.findall(r'"/d/([\w-]+)', json.dumps(panel["fieldConfig"]))) <= uids


@each_page
def test_every_query_is_accepted_by_its_store(page: Panel, stores: Stores) -> None:
    for query in queries(page, _WINDOW):  # each raises where the store refuses it
        ask(query, end=datetime.now(UTC), stores=stores)


def test_all_is_a_regular_expression_that_matches_everything_and_a_text_in_quotes() -> None:
    page = _PAGES["overview.json"]
    choices = {item["name"]: item["allValue"] for item in page["templating"]["list"] if not item.get("hide")}
    assert tuple(choices) == expressions.VARIABLES
    for name, everything in choices.items():
        assert re.fullmatch(everything, "any-thing.at:all")
        assert bool(re.fullmatch(everything, "")) is (name != "service"), "no log stream is without a service"
        assert re.fullmatch("'[^']*'", everything)


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


def test_what_is_chosen_is_a_text_and_no_regular_expression() -> None:
    one, two = (
        {query.panel: query.expr for query in queries(_PAGES["cost.json"], Window(_WINDOW.length, variables=chosen))}
        for chosen in ({"service": "a.b"}, {"service": ("a.b", "it's")})
    )
    assert r'job=~"a\\.b"' in one["Cost by team"]
    assert r'job=~"(a\\.b|it' in two["Cost by team"]
    assert "service IN ('a.b')" in one["Calls by price"]
    assert "service IN ('a.b','it''s')" in two["Calls by price"]


@pytest.mark.parametrize("name", ["a.b", "a\\b", 'a "b"', "it's", "$x", "[a]{b}(c)|^*+?"])
def test_the_application_that_is_chosen_is_found_whatever_its_name_is(name: str, stores: Stores) -> None:
    for query in queries(_PAGES["errors.json"], Window(_WINDOW.length, variables={"service": name})):
        if query.store != "warehouse":
            ask(query, end=datetime.now(UTC), stores=stores)
        for condition in query.lines[:1]:
            assert re.fullmatch(condition.value, name)
            assert not re.fullmatch(condition.value, "aXb")


def test_a_choice_that_a_metric_does_not_know_is_left_out() -> None:
    assert "$provider" in expressions.series(signals.CALL_COST)
    assert "$provider" not in expressions.series(signals.CACHE_REQUESTS)


def test_a_choice_that_the_records_of_a_table_lack_is_left_out() -> None:
    assert any("$provider" in condition for condition in sql.chosen())
    assert not any("$provider" in condition for condition in sql.chosen(SCORES))


def test_a_signal_without_a_column_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"findings has no column for gen_ai\.usage"):
        sql.column(signals.COST, FINDINGS)


@pytest.mark.parametrize(
    ("typed", "times"),
    [("", {1, 2, 3}), ("c-1", {1, 2}), ("s-2", {2, 3}), ("c-", set())],
)
def test_a_typed_conversation_or_session_shows_its_calls_alone(
    typed: str, times: set[int], talks: None, stores: Stores
) -> None:
    rows = _rows(stores, "agents", "Calls of the conversation, in order", conversation=typed)
    assert {row["input_tokens"] for row in rows if "input_tokens" in row} == times


_HOSTILE = (
    "o'brien", "''", '"; drop table calls; --', "'; drop table calls; --", "a\\b", "\\", "\\'", "$x", "$1", "${team}",
    ".*", "'|.*|'", "%", "_", "a,b", "E'\\x27'", "$$", "naïve 😀",
)  # fmt: skip


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_choice_is_obeyed_whatever_is_in_its_name(name: str, hostile: None, stores: Stores) -> None:
    rows = _rows(stores, "overview", "Dearest calls", service="hostile", feature=name)
    assert [row["feature"] for row in rows] == [name]
    rows = _rows(stores, "users", "Top spenders", service="hostile", feature=(name, "other"))
    assert [row["user_hash"] for row in rows] == [name]


def test_several_choices_show_the_calls_of_each_and_all_those_without_any(hostile: None, stores: Stores) -> None:
    rows = _rows(stores, "users", "Calls of the user", service="hostile", feature=_HOSTILE)
    assert sorted(row["feature"] for row in rows) == sorted(_HOSTILE)
    [query] = _asked("latency", "Slowest calls", service="hostile")
    of_all = replace(query, expr=query.expr.replace("AND duration IS NOT NULL", "").replace("duration DESC", "id"))
    found = ask(replace(of_all, expr=of_all.expr.replace("LIMIT 10", "")), end=datetime.now(UTC), stores=stores)
    assert len(found) == len(_HOSTILE) + 1, "the one without a feature is there, too"


@pytest.mark.parametrize("name", [name for name in _HOSTILE if '"' not in name])
def test_what_a_reader_types_is_looked_for_whatever_it_is(name: str, hostile: None, stores: Stores) -> None:
    rows = _rows(stores, "agents", "Calls of the conversation, in order", service="hostile", conversation=name)
    assert [row["conversation_id"] for row in rows] == [name]
    rows = _rows(stores, "users", "Calls of the user", service="hostile", user=name)
    assert name in [row["user_hash"] for row in rows]
    assert all(str(row["user_hash"]).startswith(name) for row in rows)


def test_a_double_quote_that_a_reader_types_finds_nothing_and_breaks_nothing(hostile: None, stores: Stores) -> None:
    # The format sqlstring writes a backslash before it.
    assert _rows(stores, "users", "Calls of the user", service="hostile", user='"; drop table calls; --') == []
    assert _rows(stores, "users", "Calls of the user", service="hostile", user="") != []


def test_tables_of_single_calls_are_of_the_whole_time_range(stack: Settings, stores: Stores) -> None:
    calls = (
        {"service": "many", "duration": float(number % 1201), "cost": Decimal(number % 1103)} for number in range(1500)
    )
    _store(stack, *calls)
    slowest = [row["duration"] for row in _rows(stores, "latency", "Slowest calls", service="many")]
    assert slowest == [1200, 1199, 1198, 1197, 1196, 1195, 1194, 1193, 1192, 1191]
    dearest = [row["cost"] for row in _rows(stores, "cost", "Dearest calls", service="many")]
    assert dearest == [1102, 1101, 1100, 1099, 1098, 1097, 1096, 1095, 1094, 1093]


def test_calls_are_not_gone_through_for_choices_that_none_ever_had_together(stack: Settings, stores: Stores) -> None:
    _store(
        stack, {"feature": "rare", "team": "one", "duration": 1.0}, {"feature": "other", "team": "two", "duration": 2.0}
    )
    now = datetime.now(UTC)
    for team, executed in (("one", True), ("two", False)):
        [query] = _asked("latency", "Slowest calls", feature="rare", team=team)
        rows = stores.warehouse.rows(f"EXPLAIN ANALYZE {in_range(query.expr, now - query.length, now)}")
        scans = [line for line in (str(row["QUERY PLAN"]) for row in rows) if re.search(r"Scan .*on calls", line)]
        assert scans
        assert any("never executed" not in line for line in scans) is executed, scans


def test_calls_by_price_and_the_price_p95_are_of_the_steps_that_prices_are_in(stack: Settings, stores: Stores) -> None:
    prices = [*["0.00005"] * 10, *["0.0001"] * 80, *["0.03"] * 8, "0.3", "7"]
    _store(stack, *({"service": "prices", "cost": Decimal(price)} for price in prices))
    assert _figures(stores, "cost", "Calls by price", service="prices") == {
        "less than 0.0001 USD": 10, "0.0001 to 0.001 USD": 80, "0.01 to 0.1 USD": 8, "0.1 to 1 USD": 1,
        "1 USD or more": 1,
    }  # fmt: skip
    assert _figures(stores, "cost", "Price of a call p95, by feature", service="prices") == {"none": 0.05}


def _asked(page: str, title: str, **variables: str | Sequence[str]) -> list[PanelQuery]:
    window = Window(timedelta(minutes=30), variables=variables)
    return [query for query in queries(_PAGES[f"{page}.json"], window) if query.panel == title]


def _answer(stores: Stores, page: str, title: str, **variables: str | Sequence[str]) -> list[Frame]:
    [query] = [query for query in _asked(page, title, **variables) if query.store == "warehouse"]
    return ask(query, end=datetime.now(UTC), stores=stores)


def _rows(stores: Stores, page: str, title: str, **variables: str | Sequence[str]) -> list[dict[str, Any]]:
    return [dict(frame.row) for frame in _answer(stores, page, title, **variables)]


def _figures(stores: Stores, page: str, title: str, **variables: str | Sequence[str]) -> dict[str, float]:
    return {frame.name: frame.last for frame in _answer(stores, page, title, **variables)}


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
