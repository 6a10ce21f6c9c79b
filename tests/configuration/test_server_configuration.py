"""The shipped configuration of the servers: accepted by each of them, and keeping what the design promises."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.native.configuration import prepare
from stack.native.servers import Server, metrics_addresses, servers
from stack.settings import Settings
from tests.server_metrics import METRICS_OF_SERVERS

SETTINGS = Settings.load()
SERVERS = {server.name: server for server in servers(SETTINGS) if server.check}
LOKI = shutil.which("loki")
"""It is not built here: where it is on the PATH it is asked."""


def _server(name: str) -> Server:
    return next(server for server in servers(SETTINGS) if server.name == name)


def _load(path: str) -> Any:
    return yaml.safe_load((SETTINGS.root / path).read_text(encoding="utf-8"))


def _duration_in_hours(text: str) -> float:
    count, unit = re.fullmatch(r"(\d+)([hd])", text).groups()  # type: ignore[union-attr]
    return float(count) * (24 if unit == "d" else 1)


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_each_server_accepts_its_configuration(name: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, state=tmp_path)
    server = next(server for server in servers(settings) if server.name == name)
    assert prepare(settings, server)
    assert (tmp_path / "config" / name / server.configuration).exists()


@pytest.mark.parametrize(
    "command",
    [
        ["otelcol", "validate", "--config=collector/config.yaml"],
        *([[LOKI, "-config.file=loki/config.yaml", "-config.expand-env=true", "-verify-config"]] if LOKI else []),
    ],
    ids=lambda command: Path(command[0]).name,
)
def test_without_any_variable_the_defaults_for_containers_are_valid(command: list[str]) -> None:
    result = subprocess.run(
        [SETTINGS.binaries / command[0], *command[1:]],
        cwd=SETTINGS.root,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_every_pipeline_of_the_collector_limits_memory_first_and_batches_only_in_queues_on_disk() -> None:
    collector = _load("collector/config.yaml")
    for pipeline in collector["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        assert not [name for name in pipeline["processors"] if name.startswith("batch")]
        for name in pipeline["exporters"]:
            queue, retry = (
                collector["exporters"][name]["sending_queue"],
                collector["exporters"][name]["retry_on_failure"],
            )
            assert queue["storage"] == "file_storage/queues"
            assert queue["block_on_overflow"] is True
            assert queue["batch"]["max_size"] < 4 * 1024 * 1024  # what a gRPC server accepts by default
            assert retry["max_elapsed_time"] == "0s"


def test_prometheus_and_loki_accept_data_as_old_as_a_day_long_outage_makes_it() -> None:
    assert _duration_in_hours(_load("prometheus/prometheus.yml")["storage"]["tsdb"]["out_of_order_time_window"]) >= 24
    assert _duration_in_hours(_load("loki/config.yaml")["limits_config"]["reject_old_samples_max_age"]) >= 24


def test_only_service_and_environment_are_index_labels_of_loki_and_resource_labels_of_prometheus() -> None:
    otlp = _load("loki/config.yaml")["limits_config"]["otlp_config"]["resource_attributes"]
    assert otlp["ignore_defaults"] is True
    (rule,) = otlp["attributes_config"]
    assert (rule["action"], rule["attributes"]) == ("index_label", ["service.name", "deployment.environment.name"])
    assert _load("prometheus/prometheus.yml")["otlp"]["promote_resource_attributes"] == ["deployment.environment.name"]


def test_every_server_is_scraped_under_its_own_name() -> None:
    # PostgreSQL speaks for itself in SQL alone: the ingest service says how it is.
    assert set(metrics_addresses(SETTINGS)) == {server.name for server in servers(SETTINGS)} - {"postgres"}
    assert "loki" in metrics_addresses(replace(SETTINGS, logs="loki"))


def test_prometheus_drops_no_metric_of_servers_that_rules_dashboards_or_runbooks_name() -> None:
    [scrape] = _load("prometheus/prometheus.yml")["scrape_configs"]
    [drop] = scrape["metric_relabel_configs"]
    assert (drop["action"], drop["source_labels"]) == ("drop", ["__name__"])
    named = {name for names in METRICS_OF_SERVERS.values() for name in names}
    assert [name for name in sorted(named) if re.fullmatch(drop["regex"], name)] == []


def test_victorialogs_keeps_lines_apart_by_what_loki_has_an_index_of_and_as_long() -> None:
    streams = _load("collector/config.yaml")["exporters"]["otlp_http/logs"]["headers"]["VL-Stream-Fields"]
    limits = _load("loki/config.yaml")["limits_config"]
    [indexed] = limits["otlp_config"]["resource_attributes"]["attributes_config"]
    assert streams.split(",") == indexed["attributes"]
    [kept] = [flag for flag in _server("victorialogs").command if flag.startswith("-retentionPeriod=")]
    assert _duration_in_hours(kept.partition("=")[2]) == _duration_in_hours(limits["retention_period"])


def test_alertmanager_reaches_the_inbox_at_the_address_of_this_machine(tmp_path: Path) -> None:
    settings = replace(SETTINGS, state=tmp_path, inbox_port=12345)
    prepare(settings, next(server for server in servers(settings) if server.name == "alertmanager"))
    text = (tmp_path / "config" / "alertmanager" / "alertmanager.yml").read_text()
    assert "http://127.0.0.1:12345/" in text
    assert "http://inbox" not in text


def test_a_rule_file_that_was_removed_is_removed_from_the_copy(tmp_path: Path) -> None:
    settings = replace(SETTINGS, state=tmp_path)
    stale = tmp_path / "config" / "prometheus" / "rules" / "stale.yaml"
    stale.parent.mkdir(parents=True)
    stale.write_text("groups: []\n")
    prepare(settings, next(server for server in servers(settings) if server.name == "prometheus"))
    assert not stale.exists()


def test_an_alert_outlives_prometheus_by_two_minutes_natively_and_in_containers() -> None:
    # docs/channels.md says how long it takes until a dead Prometheus is noticed: four times this, and three beats.
    flag = "--rules.alert.resend-delay=30s"
    assert flag in SERVERS["prometheus"].command
    assert flag in _load("compose.yaml")["services"]["prometheus"]["command"]
    assert _load("stack/channels.yaml")["heartbeat"]["every"] == "30s"
