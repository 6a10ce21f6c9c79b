"""Alerts of Loki's rules are escalated and counted as those of Prometheus, with the inbox between the two."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import yaml
from genai_observability.signals import USER_HASH

from stack.clients import Loki, Prometheus
from stack.native import down, up
from stack.rules.__main__ import render
from stack.settings import Settings
from stack.slos import Slos
from stack.thresholds import Duration, Escalation, Thresholds
from tests.end_to_end.live import ROOT, eventually
from tests.stores import settings_at

USERS = f"sum by (service_name, {USER_HASH.label}) (count_over_time({{service_name=~`.+`}}[10s])) > 0"
RULES = {
    "groups": [
        {
            "name": "critical",
            "interval": "1s",
            "rules": [
                # The second of these is silenced by the first, as alertmanager.yml says of their names.
                {"alert": "GenAIProviderDown", "expr": USERS, "labels": {"severity": "critical", "service": "shop"}},
                {"alert": "GenAIErrorBurst", "expr": USERS, "labels": {"severity": "critical", "service": "shop"}},
                {"alert": "Waits", "expr": USERS, "for": "1h", "labels": {"severity": "critical", "service": "shop"}},
            ],
        }
    ]
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The four, with scrapes and rules every second, and escalations after 1 and 3 seconds."""
    folder = tmp_path_factory.mktemp("loki-escalation")
    root = folder / "repository"
    for name in ("loki", "alertmanager", "prometheus"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("distribution", "rules", "rule_tests"))
    (root / "stack").symlink_to(ROOT / "stack")
    (root / "loki" / "rules" / "fake").mkdir(parents=True)
    (root / "loki" / "rules" / "fake" / "own.yaml").write_text(yaml.safe_dump(RULES))
    (root / "prometheus" / "rules").mkdir()
    thresholds = replace(Thresholds.load(), escalation=Escalation(first=Duration("1s"), second=Duration("3s")))
    rules = render(thresholds, Slos({}))["escalation.yaml"]
    (root / "prometheus" / "rules" / "escalation.yaml").write_text(_every_second(rules, "interval: 15s"))
    main = root / "prometheus" / "prometheus.yml"
    main.write_text(_every_second(main.read_text(), "scrape_interval: 10s").replace("timeout: 5s", "timeout: 1s"))
    settings = replace(settings_at(folder / "state"), root=root)
    try:
        up(settings, only={"alertmanager", "inbox", "loki", "prometheus"})
        yield settings
    finally:
        down(settings)


def _every_second(text: str, line: str) -> str:
    assert line in text
    return text.replace(line, f"{line.partition(':')[0]}: 1s")


def call(settings: Settings, user: str) -> None:
    record = {
        "timeUnixNano": str(time.time_ns()),
        "attributes": [{"key": USER_HASH.name, "value": {"stringValue": user}}],
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    body = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
    headers = {"Content-Type": "application/json"}
    httpx.post(f"{settings.loki_url}/otlp/v1/logs", content=json.dumps(body), headers=headers).raise_for_status()


def in_alertmanager(settings: Settings) -> list[tuple[str, str, str, bool]]:
    """Name, escalation, user, and whether it is told to anybody."""
    alerts: list[dict[str, Any]] = httpx.get(f"{settings.alertmanager_url}/api/v2/alerts").json()
    return sorted(
        (
            each["labels"]["alertname"],
            each["labels"].get("escalation", ""),
            each["labels"].get(USER_HASH.label, ""),
            each["status"]["state"] == "active",
        )
        for each in alerts
    )


def test_alerts_of_loki_are_escalated_inhibited_and_counted_until_they_end(stack: Settings) -> None:
    prometheus, loki = Prometheus(stack.prometheus_url), Loki(stack.loki_url)

    def of_loki(metric: str) -> list[dict[str, str]]:
        return [each.labels for each in prometheus.query(f'{metric}{{alertname!="GenAIUnattended"}}')]

    def told() -> list[tuple[str, str, str, bool]]:
        call(stack, "ann")
        call(stack, "bob")
        return in_alertmanager(stack)

    assert eventually(lambda: prometheus.query("prometheus_notifications_alertmanagers_discovered == 1"))
    began = datetime.now(UTC).timestamp()

    # Each user's alert went from Loki to Alertmanager; the escalations came from Prometheus, one for both users.
    expected = sorted(
        (name, *each, name == "GenAIProviderDown")
        for name in ("GenAIProviderDown", "GenAIErrorBurst")
        for each in (("", "ann"), ("", "bob"), ("1", ""), ("2", ""))
    )
    assert eventually(lambda: told() == expected, within=60), in_alertmanager(stack)
    labels = {"severity": "critical", "service": "shop", "service_name": "shop"}
    assert sorted(of_loki("ALERTS"), key=lambda each: each["alertname"]) == [
        {"__name__": "ALERTS", "alertname": name, "alertstate": state, **labels}
        for name, state in (("GenAIErrorBurst", "firing"), ("GenAIProviderDown", "firing"), ("Waits", "pending"))
    ]
    for each in prometheus.query('ALERTS_FOR_STATE{alertname="GenAIProviderDown"}'):
        assert began - 2 < each.value < began + 20
    assert {alert.name for alert in prometheus.alerts()} == {"GenAIUnattended"}  # it sends none of Loki's

    # With the alert ends the series, and with that the escalation.
    assert eventually(lambda: not loki.alerts(), within=60) is True
    assert eventually(lambda: not of_loki("ALERTS") and not prometheus.alerts(), within=5) is True
    assert of_loki("ALERTS_FOR_STATE") == []
