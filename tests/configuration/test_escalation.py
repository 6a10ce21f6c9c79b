"""Escalations in the real Prometheus, Alertmanager and inbox: told on, and silenced with their alert or incident."""

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
from tests.inbox import alert, message
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
    for name in ("alertmanager", "postgres"):
        shutil.copytree(repository / name, root / name)
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


# --- Acknowledged in the inbox ---------------------------------------------------------------------------------------

LABELS = {"alertname": "ShopDown", "service": "shop", "severity": "critical", "team": "search"}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Settings]:
    settings = settings_at(tmp_path / "state")
    try:
        up(settings, only={"inbox"})
        yield settings
    finally:
        down(settings)


def tell(settings: Settings, **labels: str) -> None:
    """The inbox of an alert, in Alertmanager's place."""
    body = message(alert(fingerprint=repr(labels), **{**LABELS, **labels}))
    httpx.post(f"{settings.inbox_url}/alerts", json=body).raise_for_status()


def fire(settings: Settings, **labels: str) -> None:
    now = datetime.now(UTC)
    body = {"labels": LABELS | labels, "startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
    httpx.post(f"{settings.alertmanager_url}/api/v2/alerts", json=[body]).raise_for_status()


def become(settings: Settings, state: str) -> dict[str, Any]:
    body = {"state": state, "who": "Ann Other"}
    answer = httpx.post(f"{settings.inbox_url}/api/incidents/1/state", json=body).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def silenced(settings: Settings) -> dict[str, bool]:
    """By name of the alert, and of an escalation with a star: whether it is silenced."""
    alerts = httpx.get(f"{settings.alertmanager_url}/api/v2/alerts").json()
    return {
        each["labels"]["alertname"] + "*" * ("escalation" in each["labels"]): bool(each["status"]["silencedBy"])
        for each in alerts
        if each["status"]["state"] != "unprocessed"
    }


def test_an_acknowledged_incident_is_not_escalated_until_it_is_resolved(pair: Settings) -> None:
    up(pair, only={"alertmanager"})
    fire(pair)
    wait_for(lambda: httpx.get(f"{pair.inbox_url}/api/incidents").json(), seconds=20)
    found = become(pair, "acknowledged")
    assert re.fullmatch(r"The escalation is silenced until \S+ \S+ UTC\.", found["escalation"])
    assert found["escalation"] in httpx.get(f"{pair.inbox_url}/incidents/1/clocks").text

    # Escalations of this alert, and of one that joins the incident later; and one of another service.
    fire(pair, escalation="1")
    tell(pair, alertname="ShopSlow")
    fire(pair, alertname="ShopSlow", escalation="2")
    fire(pair, alertname="MailDown", service="mail", escalation="1")
    expected = {"ShopDown": False, "ShopDown*": True, "ShopSlow*": True, "MailDown*": False}
    wait_for(lambda: silenced(pair) == expected, seconds=20)
    for silence in httpx.get(f"{pair.alertmanager_url}/api/v2/silences").json():
        assert silence["createdBy"] == "Ann Other"
        assert silence["comment"] == "Incident 1 of the inbox: acknowledged by Ann Other."
        lasting = datetime.fromisoformat(silence["endsAt"]) - datetime.now(UTC)
        assert timedelta(hours=23) < lasting <= timedelta(hours=24)

    assert become(pair, "resolved")["escalation"] == ""
    wait_for(lambda: not any(silenced(pair).values()), seconds=20)


def test_without_alertmanager_an_acknowledgement_holds_and_is_passed_on_once_that_is_back(pair: Settings) -> None:
    tell(pair)
    found = become(pair, "acknowledged")
    assert (found["state"], found["acknowledged_by"]) == ("acknowledged", "Ann Other")
    goes_on = "The escalation goes on. Alertmanager cannot be reached, or refuses the silence."
    assert found["escalation"] == goes_on
    assert goes_on in httpx.get(f"{pair.inbox_url}/incidents/1/clocks").text

    up(pair, only={"alertmanager"})
    fire(pair, escalation="1")
    httpx.get(f"{pair.inbox_url}/metrics").raise_for_status()  # as Prometheus does every 10 s
    wait_for(lambda: silenced(pair) == {"ShopDown*": True}, seconds=20)
    assert "is silenced until" in httpx.get(f"{pair.inbox_url}/api/incidents/1").json()["escalation"]


def test_a_silence_that_somebody_ends_stays_ended_and_one_that_is_lost_is_put_again(pair: Settings) -> None:
    def silences() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{pair.alertmanager_url}/api/v2/silences").json()
        return found

    up(pair, only={"alertmanager"})
    tell(pair)
    become(pair, "acknowledged")
    down(pair)
    shutil.rmtree(pair.state / "data" / "alertmanager")
    up(pair, only={"alertmanager", "inbox"})
    assert silences() == []
    httpx.get(f"{pair.inbox_url}/metrics").raise_for_status()
    (again,) = wait_for(silences, seconds=20)

    httpx.delete(f"{pair.alertmanager_url}/api/v2/silence/{again['id']}").raise_for_status()
    httpx.get(f"{pair.inbox_url}/metrics").raise_for_status()
    ended = "The escalation goes on: its silence was ended in Alertmanager."
    wait_for(lambda: httpx.get(f"{pair.inbox_url}/api/incidents/1").json()["escalation"] == ended, seconds=20)
    assert [each["id"] for each in silences()] == [again["id"]]


def test_an_incident_without_a_critical_alert_has_no_escalation_to_silence(pair: Settings) -> None:
    up(pair, only={"alertmanager"})
    tell(pair, severity="warning")
    assert become(pair, "acknowledged")["escalation"] == ""
    assert httpx.get(f"{pair.alertmanager_url}/api/v2/silences").json() == []
