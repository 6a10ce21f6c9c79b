"""The rules of Prometheus: generated, named after the catalogue, each alert tested and explained."""

import functools
import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from genai_observability import signals

from stack.offenders import GAUGES
from stack.reader import Name, WebAddress
from stack.replay.rules import names_in, needed
from stack.rules import errors, latency, stack_health
from stack.rules.__main__ import main, render
from stack.rules.model import GENERATED
from stack.rules.promql import Match, series
from stack.settings import Settings
from stack.thresholds import ServiceBudget, Thresholds
from stack.usage.offenders import KINDS
from tests.server_metrics import METRICS_OF_SERVERS

SETTINGS = Settings.load()
PROMETHEUS = SETTINGS.root / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yaml"))
TEST_FILES = sorted((PROMETHEUS / "rule_tests").glob("*.yaml"))
INBOX = Thresholds.load().links.inbox
RUNBOOKS = SETTINGS.root / "docs" / "runbooks"

# Written by Prometheus itself, not by applications.
SERVER_METRICS = {"up", "ALERTS", "ALERTS_FOR_STATE", "target_info"}
SERVER_METRICS |= {name for names in METRICS_OF_SERVERS.values() for name in names}
SERVER_LABELS = {
    "alertname", "alertstate", "job", "instance", "le", "deployment_environment_name", "data_type", "signal", "fault",
    "rule_group", "group", "integration", "code", "handler", "method", "path", "route", "status_code",
    "step", "gauge", "exporter",
}  # fmt: skip
# Given by the rules themselves.
RULE_LABELS = {"severity", "service", "server", "team", "slo", "escalation", "of", "measure", "ago"}
RULE_LABELS |= {latency.TRAFFIC, latency.MEASURE, errors.CALLS}
PROMQL_WORDS = {
    "anchored",
    "abs", "absent", "and", "avg", "avg_over_time", "bool", "by", "clamp_min", "count", "count_over_time",
    "day_of_month", "days_in_month", "end", "group_left", "histogram_fraction", "histogram_quantile", "ignoring",
    "increase", "label_replace", "last_over_time", "max", "max_over_time", "min_over_time", "offset", "on", "or",
    "predict_linear", "quantile", "quantile_over_time", "rate", "scalar", "sqrt", "stdvar_over_time", "sum",
    "sum_over_time", "time", "timestamp", "topk", "unless", "vector", "without",
}  # fmt: skip
IDENTIFIER = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*")


def rules(file: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


ALERTS = [(file.stem, rule) for file in RULE_FILES for rule in rules(file) if "alert" in rule]
RECORDED = {rule["record"] for file in RULE_FILES for rule in rules(file) if "record" in rule}
EXPRESSIONS = [rule["expr"] for file in RULE_FILES for rule in rules(file)]
alert_names = pytest.mark.parametrize("name", sorted({rule["alert"] for _, rule in ALERTS}))
alerts = pytest.mark.parametrize(
    "alert", [pytest.param(rule, id=f"{rule['alert']}-{rule['labels']['severity']}") for _, rule in ALERTS]
)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [SETTINGS.binaries / "promtool", "--enable-feature=promql-extended-range-selectors", *arguments]
    environment = os.environ | {"GOGC": "400"}  # more memory, less time
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def known_metrics() -> set[str]:
    names = set(SERVER_METRICS | RECORDED)
    for metric in (*signals.METRICS, *GAUGES):
        parts = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        names |= {metric.prometheus + part for part in parts}
    return names


def known_labels() -> set[str]:
    labels = {label.label for metric in (*signals.METRICS, *GAUGES) for label in metric.labels}
    return SERVER_LABELS | RULE_LABELS | labels


# --- Generated files -------------------------------------------------------------------------------------------------


def test_the_rules_files_are_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_every_rules_file_says_that_it_is_generated() -> None:
    assert RULE_FILES
    assert all(file.read_text().startswith(GENERATED + "\n") for file in RULE_FILES)


def test_a_stale_file_is_named_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--directory", str(tmp_path)]) == 0
    stale = tmp_path / "errors.yaml"
    stale.write_text(stale.read_text().replace("> 0.1", "> 0.2"))
    before = stale.read_bytes()
    assert main(["--check", "--directory", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{stale} is not up to date: run `make generate`.\n"
    assert stale.read_bytes() == before


def test_a_generated_file_without_a_subject_is_removed_and_a_file_of_ones_own_is_kept(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(f"{GENERATED}\ngroups: []\n")
    (tmp_path / "mine.yaml").write_text("groups: []\n")
    assert main(["--check", "--directory", str(tmp_path)]) == 1
    assert main(["--directory", str(tmp_path)]) == 0
    assert not (tmp_path / "old.yaml").exists()
    assert (tmp_path / "mine.yaml").exists()
    assert main(["--check", "--directory", str(tmp_path)]) == 0


def test_a_threshold_reaches_the_rules() -> None:
    default = Thresholds.load()
    limit = replace(default.error_burst.critical, above=0.35)
    changed = replace(default, error_burst=replace(default.error_burst, critical=limit))
    assert "> 0.35\n" in render(changed)["errors.yaml"]
    assert "more than 35%" in render(changed)["errors.yaml"]


def test_budgets_are_series_by_service_and_none_is_set_as_shipped() -> None:
    default = Thresholds.load()
    assert default.budgets == {}
    assert "job:genai_budget_usd:month\n        expr: vector(0) < 0\n" in render(default)["cost.yaml"]
    budgets = {Name("shop"): ServiceBudget(month=2000), Name("chat"): ServiceBudget(month=500, day=20)}
    text = render(replace(default, budgets=budgets))["cost.yaml"]
    assert 'label_replace(vector(2000), "job", "shop", "", "")\n' in text
    assert 'or label_replace(vector(500), "job", "chat", "", "")\n' in text
    assert 'expr: label_replace(vector(20), "job", "chat", "", "")\n' in text


def test_a_limit_for_users_reaches_the_rules() -> None:
    default = Thresholds.load()
    text = render(replace(default, user_limits=replace(default.user_limits, usd_a_day=12.5)))["requests.yaml"]
    assert "(genai_offender_user_usd) > 12.5\n" in text
    assert "The limit is $12.5 a day." in text


def test_the_addresses_of_runbooks_grafana_and_inbox_are_settings() -> None:
    default = Thresholds.load()
    links = replace(
        default.links,
        inbox=WebAddress("https://alerts.example.org/"),
        runbooks=WebAddress("https://wiki.example.org/runbooks/"),
        grafana=WebAddress("https://grafana.example.org/"),
    )
    text = render(replace(default, links=links))["errors.yaml"]
    assert "runbook_url: https://wiki.example.org/runbooks/GenAIErrorBurst\n" in text
    assert "dashboard_url: https://grafana.example.org/d/genai-errors?viewPanel=panel-" in text
    assert "trace_url: https://alerts.example.org/report?service=" in text


# --- Names -----------------------------------------------------------------------------------------------------------


def test_every_metric_and_label_in_an_expression_is_in_the_catalogue() -> None:
    known = known_metrics() | known_labels() | PROMQL_WORDS
    for expression in EXPRESSIONS:
        without_texts = re.sub(r'"[^"]*"', "", expression)
        unknown = {name for name in IDENTIFIER.findall(without_texts) if name not in known}
        assert not unknown, f"{unknown} in {expression}"


@alerts
def test_every_label_in_a_message_is_in_the_catalogue(alert: dict[str, Any]) -> None:
    for text in (*alert["labels"].values(), *alert["annotations"].values()):
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= known_labels()


def test_the_series_of_offenders_in_the_tests_have_the_labels_that_the_service_gives_them() -> None:
    given = {kind.gauge.prometheus: {*kind.labels, "instance"} for kind in KINDS}
    written = re.findall(r"(genai_offender_\w+)\{(.*)\}", (PROMETHEUS / "rule_tests" / "requests.yaml").read_text())
    assert {name for name, _ in written} == set(given)
    for name, labels in written:
        assert set(re.findall(r'(\w+)="', labels)) == given[name]


def test_the_buckets_in_the_tests_are_those_that_the_metrics_have() -> None:
    buckets = {metric.prometheus: metric.buckets for metric in signals.emitted("old", "new")}
    written = [
        (name, bound)
        for file in TEST_FILES
        for name, bound in re.findall(r'(\w+)_bucket\{.*?\ble="([^"]+)"', file.read_text())
        if bound != "+Inf" and name in buckets
    ]
    assert len(written) > 40
    assert [(name, bound) for name, bound in written if float(bound) not in buckets[name]] == []


def test_a_limit_is_in_rules_and_messages_with_all_its_digits(tmp_path: Path) -> None:
    thresholds = Thresholds.load()
    limits = replace(thresholds.user_limits, tokens_an_hour=1_234_567.0)
    budget = {Name("shop"): ServiceBudget(month=1_234_567.25)}
    files = render(replace(thresholds, user_limits=limits, budgets=budget))
    assert "1234567.25" in files["cost.yaml"]
    assert "1,234,567 tokens an hour" in files["requests.yaml"]
    assert re.findall(r"\d[\d.]*e\+\d+", "".join(files.values())) == []


def test_every_alert_that_a_rule_asks_for_exists() -> None:
    asked = {
        name
        for expression in EXPRESSIONS
        for names in re.findall(r'alertname=~?"([^"]*)"', expression)
        for name in names.split("|")
    }
    assert asked <= {rule["alert"] for _, rule in ALERTS}


def test_every_outcome_that_a_rule_asks_for_exists() -> None:
    asked = {
        outcome
        for expression in EXPRESSIONS
        for outcomes in re.findall(rf'{signals.OUTCOME.label}!?=~?"([^"]*)"', expression)
        for outcome in outcomes.split("|")
    }
    assert asked == {"success", "error", "timeout", "rate_limited", "cancelled"}
    assert all(re.search(rf"\b{outcome}\b", signals.OUTCOME.meaning) for outcome in asked)


def test_recorded_names_read_level_metric_operation() -> None:
    level = r"(job(_[a-z]+)?|provider(_[a-z]+)?|slo)"
    assert all(re.fullmatch(rf"{level}:genai_[a-z_]+:[a-z0-9_]+|history:[a-z_]+:increase1m", name) for name in RECORDED)


def test_a_label_that_a_metric_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"genai_observability\.cost\.usd has no label genai_observability\.outcome"):
        series(signals.CALL_COST, Match(signals.OUTCOME, "=", "success"))


def test_a_histogram_without_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="is a histogram"):
        series(signals.CALL_DURATION)


def test_every_server_of_the_stack_is_watched() -> None:
    watched = " ".join(rule["expr"] for _, rule in ALERTS if rule["alert"] == "GenAIStackServerDown")
    for server in (*stack_health.SERVERS, *stack_health.LOG_STORES, *stack_health.TRACE_STORES, stack_health.VIEWER):
        assert server in watched


# --- promtool --------------------------------------------------------------------------------------------------------


def test_promtool_finds_nothing_to_complain_about() -> None:
    result = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in TEST_FILES])
def test_the_rules_behave_as_their_tests_say(file: Path, tmp_path: Path) -> None:
    """Without the recordings that play no part in them, which would take most of the time."""
    text = file.read_text()
    rules = [(file.parent / name).resolve() for name in yaml.safe_load(text)["rule_files"]]
    copies = [str(path) for path in needed(rules, tmp_path, also=names_in(text))]
    copy = tmp_path / "tests" / file.name
    copy.parent.mkdir()
    copy.write_text(
        re.sub(r"^rule_files: .*$", lambda _: f"rule_files: {json.dumps(copies)}", text, flags=re.MULTILINE)
    )
    result = promtool("test", "rules", copy)
    assert result.returncode == 0, result.stdout + result.stderr


# --- Completeness ----------------------------------------------------------------------------------------------------


@functools.cache
def cases() -> list[dict[str, Any]]:
    """What the tests expect of alerts; all files are read once, which takes seconds."""
    tests = [test for file in TEST_FILES for test in yaml.safe_load(file.read_text())["tests"]]
    return [case for test in tests for case in test.get("alert_rule_test", [])]


@pytest.mark.parametrize("name", sorted({rule["alert"] for _, rule in ALERTS}))
def test_every_alert_has_a_test_that_fires_and_one_that_is_silent(name: str) -> None:
    fires = {bool(case.get("exp_alerts")) for case in cases() if case["alertname"] == name}
    # The dead man's switch is never silent.
    assert fires == ({True} if name == stack_health.WATCHDOG else {True, False})


@alerts
def test_every_severity_of_an_alert_has_a_test_that_fires(alert: dict[str, Any]) -> None:
    fired = {
        (case["alertname"], expected["exp_labels"]["severity"])
        for case in cases()
        for expected in case.get("exp_alerts", [])
    }
    assert (alert["alert"], alert["labels"]["severity"]) in fired


@alerts
def test_every_alert_says_what_is_wrong_whose_it_is_and_where_to_look(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"info", "warning", "critical"}
    assert alert["labels"]["team"]
    assert alert["labels"]["service"]
    annotations = alert["annotations"]
    assert len(re.sub(r"{{.*?}}", "", annotations["summary"])) < 120
    assert len(annotations["description"]) > 40
    # One sentence, which is all that someone woken up reads.
    assert re.fullmatch(r"[A-Z][^.]{19,119}\.", re.sub(r"{{.*?}}", "X", annotations["impact"]))
    assert annotations["runbook_url"].endswith(f"/{alert['alert']}")
    assert annotations["dashboard_url"].startswith("http")
    assert annotations.get("trace_url", INBOX).startswith(INBOX)


def test_an_alert_about_calls_that_can_be_found_links_to_their_traces() -> None:
    with_traces = {rule["alert"] for _, rule in ALERTS if "trace_url" in rule["annotations"]}
    assert with_traces == {
        "GenAIProviderDown", "GenAIErrorBurst", "GenAINoSuccess", "GenAIErrorRatioHigh", "GenAIRateLimited",
        "GenAILatencyHigh", "GenAILatencyBurst", "GenAILatencyUnusual", "GenAIErrorsUnusual", "GenAISLOBurn",
        "GenAIHourlyCostHigh", "GenAIDailyCostHigh", "GenAICostSpike", "GenAICostUnusual",
        "GenAIExpensiveRequest", "GenAIRunawayLoop",
    }  # fmt: skip


@alert_names
def test_every_alert_has_a_runbook_with_all_its_sections(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    sections = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert sections == ["Meaning", "Impact", "First look", "Likely causes", "Mitigation", "Escalation"]
    assert re.search(r"\bminutes\b", text)


def test_no_runbook_is_left_over_from_an_alert_that_is_gone() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for _, rule in ALERTS}


def test_every_metric_in_a_runbook_is_known() -> None:
    for path in RUNBOOKS.glob("*.md"):
        queries = re.findall(r"```promql\n(.*?)```", path.read_text(), flags=re.DOTALL)
        names = {name for query in queries for name in re.findall(r"\b(?:gen_?ai|job)\w*(?::\w+)*", query)}
        assert names <= known_metrics() | known_labels(), f"{path.name}: {names - known_metrics() - known_labels()}"
