"""Escalations in the real Prometheus and Alertmanager: told on under the alert's name, and silenced with it."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.native import down, up
from stack.rules.__main__ import render
from stack.settings import Settings
from stack.slos import Slos
from stack.thresholds import Duration, Escalation, Thresholds
from tests.stores import settings_at

ALWAYS = """\
groups:
  - name: always
    interval: 1s
    rules:
      - {alert: ShopDown, expr: vector(1), labels: {severity: critical, service: shop, team: search, zone: a}}
      - {alert: MailDown, expr: vector(1), labels: {severity: critical, service: mail, team: search}}
      - {alert: MailSlow, expr: vector(1), labels: {severity: warning, service: mail, team: search}}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Settings]:
    """Alerts that always fire, escalations after 1 and 3 seconds, and a silence from before they began."""
    root = tmp_path / "repository"
    root.mkdir()
    repository = Settings.load().root
    (root / "stack").symlink_to(repository / "stack")
    shutil.copytree(repository / "alertmanager", root / "alertmanager")
    shutil.copytree(
        repository / "prometheus", root / "prometheus", ignore=shutil.ignore_patterns("rules", "distribution")
    )
    rules = root / "prometheus" / "rules"
    rules.mkdir()
    (rules / "always.yaml").write_text(ALWAYS)
    thresholds = replace(Thresholds.load(), escalation=Escalation(first=Duration("1s"), second=Duration("3s")))
    text = render(thresholds, Slos({}))["escalation.yaml"]
    assert "interval: 15s" in text
    (rules / "escalation.yaml").write_text(text.replace("interval: 15s", "interval: 1s"))
    settings = replace(settings_at(tmp_path / "state"), root=root)
    try:
        up(settings, only={"alertmanager", "inbox"})
        silence(settings, alertname="MailDown", service="mail")
        up(settings, only={"prometheus"})
        yield settings
    finally:
        down(settings)


def silence(settings: Settings, **labels: str) -> None:
    now = datetime.now(UTC)
    body = {
        "matchers": [{"name": name, "value": value, "isRegex": False} for name, value in labels.items()],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "ada",
        "comment": "I am on it.",
    }
    httpx.post(f"{settings.alertmanager_url}/api/v2/silences", json=body).raise_for_status()


def received(settings: Settings) -> list[dict[str, Any]]:
    notifications = httpx.get(f"{settings.inbox_url}/api/notifications").json()
    return [alert for notification in notifications for alert in notification["alerts"]]


def wait_for(what: Callable[[], Any], *, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.2)
    return found


def test_an_unattended_alert_is_told_on_under_its_name_and_a_silenced_one_to_nobody(stack: Settings) -> None:
    def of_shop(level: str) -> list[dict[str, Any]]:
        return [each for each in received(stack) if each["labels"].get("escalation") == level]

    # What fires before Prometheus has found Alertmanager is sent a minute later.
    (second,) = wait_for(lambda: of_shop("2"), seconds=90)[:1]
    wait_for(lambda: of_shop("1"), seconds=90)
    assert second["labels"] == {
        "alertname": "ShopDown",
        "of": "ShopDown",
        "escalation": "2",
        "severity": "critical",
        "service": "shop",
        "team": "search",
        "zone": "a",
    }
    began = re.fullmatch(
        r"Unattended for more than 3s: ShopDown of shop, which began at (.{16}) UTC", second["annotations"]["summary"]
    )
    assert began
    since = datetime.fromisoformat(f"{began[1]}+00:00")
    assert datetime.now(UTC) - timedelta(minutes=3) < since < datetime.now(UTC)

    def of_mail() -> list[dict[str, Any]]:
        alerts = httpx.get(f"{stack.alertmanager_url}/api/v2/alerts", params={"filter": 'service="mail"'}).json()
        return alerts if {each["labels"].get("escalation") for each in alerts} == {None, "1", "2"} else []

    alerts = wait_for(of_mail, seconds=90)
    assert {each["status"]["state"] for each in alerts if each["labels"]["severity"] == "critical"} == {"suppressed"}
    time.sleep(3)  # longer than the wait before the message of a critical alert
    assert not [each for each in received(stack) if each["labels"]["alertname"] == "MailDown"]
