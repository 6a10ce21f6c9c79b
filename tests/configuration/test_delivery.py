"""Delivery as a whole: who is told what and when, by the real Alertmanager to receivers that know the APIs' formats."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from stack.alerting.configuration import alertmanager_yml
from stack.channels import Channels
from stack.rules import stack_health
from stack.settings import Settings
from tests.configuration.test_channels import (
    ALL_ON,
    ANNOTATIONS,
    NIGHTS,
    SHIPPED,
    _repository,
    alerting,
    amtool,
    channel_file,
    in_inbox,
    load,
    receivers_of,
    rendered,
    wait_for,
)
from tests.receivers import http_receiver

EXPECTED = Path(__file__).parent / "messages"
MUTED = "mute_times: {}"


def with_nights(text: str, *, start: str = "20:00", end: str = "07:00") -> str:
    """The channels with warnings muted from one time of day, in UTC, to another."""
    return text.replace(MUTED, NIGHTS.replace("20:00", start).replace("07:00", end))


def routed(tmp_path: Path, text: str, **labels: str) -> str:
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager_yml(load(tmp_path, text)))
    matchers = [f'{name}="{value}"' for name, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={path}", *matchers).strip()


# --- Routes -----------------------------------------------------------------------------------------------------------

HEARTBEAT = channel_file("slack", heartbeat_enabled="true")


@pytest.mark.parametrize(
    ("text", "labels", "receivers"),
    [
        (SHIPPED, {"alertname": "GenAIWatchdog", "severity": "info"}, "nobody"),
        (HEARTBEAT, {"alertname": "GenAIWatchdog", "severity": "info"}, "heartbeat"),
        (HEARTBEAT, {"alertname": "GenAIErrorBurst", "severity": "critical"}, "critical"),
        (with_nights(SHIPPED), {"severity": "warning"}, "inbox"),
        (with_nights(ALL_ON), {"severity": "critical"}, "critical"),
        (with_nights(ALL_ON), {"severity": "warning"}, "inbox,warning"),
        (with_nights(ALL_ON), {"severity": "warning", "team": "search"}, "inbox,warning-search"),
        (with_nights(ALL_ON), {"severity": "info", "team": "growth"}, "info-growth"),
    ],
)
def test_the_table_of_routes(text: str, labels: dict[str, str], receivers: str, tmp_path: Path) -> None:
    assert routed(tmp_path, text, **labels) == receivers


def test_the_dead_mans_switch_is_named_alike_in_rules_and_routes(tmp_path: Path) -> None:
    assert routed(tmp_path, SHIPPED, alertname=stack_health.WATCHDOG) == "nobody"


def test_every_receiver_with_channels_has_the_inbox_or_is_muted_beside_it(tmp_path: Path) -> None:
    text = alertmanager_yml(load(tmp_path, with_nights(ALL_ON)))
    for receiver in receivers_of(text):
        with_inbox = "http://inbox:8093/alerts" in str(receiver)
        assert with_inbox is not receiver["name"].startswith("warning")


def test_a_mute_time_over_midnight_ends_on_the_next_day(tmp_path: Path) -> None:
    days = "    weekdays: [friday, saturday]\n    time_zone: Europe/Berlin\n"
    text = channel_file("slack").replace(MUTED, NIGHTS + days)
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text(alertmanager_yml(load(tmp_path, text)))
    (nights,) = yaml.safe_load(configuration.read_text())["time_intervals"]
    assert nights["time_intervals"] == [
        {
            "times": [{"start_time": "20:00", "end_time": "24:00"}],
            "weekdays": ["friday", "saturday"],
            "location": "Europe/Berlin",
        },
        {
            "times": [{"start_time": "00:00", "end_time": "07:00"}],
            "weekdays": ["saturday", "sunday"],
            "location": "Europe/Berlin",
        },
    ]


def test_people_are_reminded_hourly_at_most() -> None:
    repeats: dict[str, str] = {}

    def collect(route: dict[str, Any], inherited: str) -> None:
        repeat = route.get("repeat_interval", inherited)
        repeats[route["receiver"]] = repeat
        for child in route.get("routes", []):
            collect(child, repeat)

    collect(yaml.safe_load(alertmanager_yml(Channels.load()))["route"], "")
    assert repeats.pop("nobody") == "1s"
    assert set(repeats.values()) == {"1h"}


# --- Messages ---------------------------------------------------------------------------------------------------------

TEMPLATES_OF = {
    "title": ('{{ template "genai.title" . }}', "text"),
    "plain": ('{{ template "genai.alerts" .Alerts }}', "text"),
    "slack-title": ('{{ template "genai.slack.title" . }}', "text"),
    "slack": ('{{ template "genai.slack.text" . }}', "text"),
    "email": ('{{ template "genai.email.html" . }}', "html"),
}


@pytest.mark.parametrize("name", TEMPLATES_OF)
@pytest.mark.parametrize(
    "statuses", [["firing"], ["resolved"], ["firing"] * 3 + ["resolved"]], ids=lambda each: "-".join(each)
)
def test_a_message_reads_as_the_stored_one(name: str, statuses: list[str], tmp_path: Path) -> None:
    template, kind = TEMPLATES_OF[name]
    stored = EXPECTED / f"{name}.{'-'.join(statuses)}.txt"
    assert rendered(tmp_path, template, *statuses, kind=kind) == stored.read_text(encoding="utf-8")


# --- Delivery ---------------------------------------------------------------------------------------------------------


def hurried(settings: Settings) -> None:
    """Makes the configuration repeat after a second instead of an hour, and look every 2 seconds."""
    path = settings.root / "alertmanager" / "alertmanager.yml"
    text = path.read_text().replace("repeat_interval: 1h", "repeat_interval: 1s")
    path.write_text(re.sub(r"group_(wait|interval): \d+[sm]", r"group_\1: 2s", text))


def post(settings: Settings, severity: str, *, ended: bool = False, **labels: str) -> None:
    now = datetime.now(UTC)
    alert = {
        "labels": {
            "alertname": "GenAIErrorBurst",
            "service": "shop",
            "team": "platform",
            "severity": severity,
            **labels,
        },
        "annotations": ANNOTATIONS,
        "startsAt": (now - timedelta(seconds=1)).isoformat(),
        "endsAt": (now if ended else now + timedelta(minutes=5)).isoformat(),
    }
    httpx.post(f"{settings.alertmanager_url}/api/v2/alerts", json=[alert]).raise_for_status()


def test_what_repeats_and_ends_is_the_same_incident_and_every_request_keeps_to_its_format(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        text = channel_file(
            "pagerduty", "slack", "jira", "webhook",
            pagerduty_address=f"{receiver.url}/pagerduty",
            jira_address=receiver.url,
            jira_severities="[critical]",
        )  # fmt: skip
        settings = _repository(
            tmp_path, text, slack_webhook_url=f"{receiver.url}/slack", webhook_url=f"{receiver.url}/webhook"
        )
        hurried(settings)
        with alerting(settings):
            post(settings, "critical", alertname="GenAI<b>Burst</b>")
            wait_for(lambda: len(receiver.bodies("/pagerduty")) >= 2, seconds=40)
            post(settings, "critical", alertname="GenAI<b>Burst</b>", ended=True)
            wait_for(lambda: receiver.bodies("/pagerduty")[-1]["event_action"] == "resolve", seconds=40)
            wait_for(lambda: receiver.bodies("/rest/api/2/issue/OPS-1/transitions"), seconds=40)
        events = receiver.bodies("/pagerduty")
        assert [event["event_action"] for event in events].count("resolve") == 1
        assert len({event["dedup_key"] for event in events}) == 1
        assert len(receiver.bodies("/rest/api/2/issue")) == 1
        assert len({body["groupKey"] for body in receiver.bodies("/webhook")}) == 1
        assert receiver.faults == []


def test_a_silenced_alert_is_told_to_nobody_and_told_when_the_silence_ends(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        settings = _repository(tmp_path, channel_file("slack"), slack_webhook_url=f"{receiver.url}/slack")
        hurried(settings)
        with alerting(settings):
            url = f"--alertmanager.url={settings.alertmanager_url}"
            identity = amtool(
                "silence", "add", url, "--author=me", "-d", "1h", "-c", "planned", "feature=search"
            ).strip()
            post(settings, "critical", feature="search")
            post(settings, "critical", feature="chat", alertname="GenAINoSuccess")
            wait_for(lambda: receiver.bodies("/slack"), seconds=40)
            time.sleep(3)  # more than the wait of the silenced one
            assert not [
                each for each in in_inbox(settings, "firing", "critical") if each["labels"]["feature"] == "search"
            ]
            amtool("silence", "expire", url, identity)
            wait_for(
                lambda: [a for a in in_inbox(settings, "firing", "critical") if a["labels"]["feature"] == "search"],
                seconds=40,
            )


def test_at_a_mute_time_the_inbox_alone_is_told_and_critical_alerts_reach_everyone(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    start, end = (now - timedelta(hours=1)).strftime("%H:%M"), (now + timedelta(hours=2)).strftime("%H:%M")
    with http_receiver() as receiver:
        settings = _repository(
            tmp_path,
            with_nights(channel_file("slack"), start=start, end=end),
            slack_webhook_url=f"{receiver.url}/slack",
        )
        hurried(settings)
        with alerting(settings):
            post(settings, "warning", alertname="GenAIUnpricedModel")
            assert wait_for(lambda: in_inbox(settings, "firing", "warning"), seconds=40)
            post(settings, "critical")
            wait_for(lambda: receiver.bodies("/slack"), seconds=40)
            assert all("critical" in body["attachments"][0]["title"] for body in receiver.bodies("/slack"))


@pytest.mark.parametrize("fault", ["failing", "hanging"])
def test_a_failing_receiver_is_tried_again_counted_and_reached_once_it_is_back(fault: str, tmp_path: Path) -> None:
    with http_receiver() as receiver:
        getattr(receiver, fault).add("/slack")
        settings = _repository(tmp_path, channel_file("slack"), slack_webhook_url=f"{receiver.url}/slack")
        with alerting(settings):
            post(settings, "critical")
            # This counter is what GenAINotificationsFailing looks at.
            counter = r'alertmanager_notifications_failed_total{integration="slack",reason="\w+"} [1-9]'
            metrics = f"{settings.alertmanager_url}/metrics"
            wait_for(lambda: re.search(counter, httpx.get(metrics).text), seconds=60)
            assert in_inbox(settings, "firing", "critical")
            getattr(receiver, fault).clear()
            wait_for(lambda: "/slack" in receiver.accepted, seconds=60)


def test_the_dead_mans_switch_beats_outside_and_nowhere_else(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        settings = _repository(
            tmp_path,
            channel_file("slack", heartbeat_enabled="true", heartbeat_every="2s"),
            slack_webhook_url=f"{receiver.url}/slack",
            heartbeat_url=f"{receiver.url}/heartbeat",
        )
        with alerting(settings):
            post(settings, "info", alertname=stack_health.WATCHDOG)
            wait_for(lambda: len(receiver.bodies("/heartbeat")) >= 3, seconds=40)
            assert receiver.bodies("/slack") == []
            assert httpx.get(f"{settings.inbox_url}/api/notifications").json() == []
        assert receiver.faults == []


# --- Inhibition -------------------------------------------------------------------------------------------------------

SPIKE = {"alertname": "GenAICostSpike", "window": "1h"}
TOO_DEAR = {"alertname": "GenAIHourlyCostHigh"}
USER_LIMIT = {"alertname": "GenAIUserLimitExceeded", "severity": "warning"}
DROPPED = {"alertname": "GenAITelemetryDropped"}


@pytest.mark.parametrize(
    ("source", "target", "silenced"),
    [
        ({"alertname": "GenAILatencyHigh"}, {"alertname": "GenAILatencyHigh", "severity": "warning"}, True),
        (
            {"alertname": "GenAILatencyHigh", "app_feature": "chat"},
            {"alertname": "GenAILatencyHigh", "severity": "warning", "app_feature": "search"},
            False,
        ),
        (
            {"alertname": "GenAIStackServerDown", "server": "collector", "service": "observability-stack"},
            {"alertname": "GenAIApplicationSilent", "severity": "warning"},
            True,
        ),
        (
            {"alertname": "GenAIStackServerDown", "server": "loki", "service": "observability-stack"},
            {"alertname": "GenAIApplicationSilent", "severity": "warning"},
            False,
        ),
        (
            {"alertname": "GenAIStackServerDown", "server": "loki", "service": "observability-stack"},
            {"alertname": "GenAICollectorQueueFilling", "severity": "critical", "signal": "logs"},
            False,
        ),
        (TOO_DEAR, {"alertname": "GenAIDailyCostHigh"}, True),
        (TOO_DEAR, {"alertname": "GenAICostSpike", "window": "1h"}, True),
        (TOO_DEAR, {"alertname": "GenAIDailyCostHigh", "service": "other"}, False),
        ({**TOO_DEAR, "severity": "warning"}, {"alertname": "GenAICostSpike", "severity": "warning"}, True),
        ({**TOO_DEAR, "severity": "warning"}, {"alertname": "GenAICostSpike"}, False),
        (SPIKE, {"alertname": "GenAICostSpike", "window": "1d"}, True),
        ({"alertname": "GenAICostSpike", "window": "1d"}, SPIKE, False),
        ({**USER_LIMIT, "limit": "requests"}, {"alertname": "GenAIDuplicateRequests", "severity": "warning"}, True),
        ({**USER_LIMIT, "limit": "money"}, {"alertname": "GenAIDuplicateRequests", "severity": "warning"}, False),
        ({**DROPPED, "severity": "warning"}, {**DROPPED, "severity": "info", "kind": "label"}, True),
        (DROPPED, {**DROPPED, "severity": "info"}, True),
        (DROPPED, {**DROPPED, "severity": "info", "service": "other"}, False),
        (DROPPED, {"alertname": "GenAIBudgetExceeded", "severity": "info"}, False),
    ],
)  # fmt: skip
def test_the_table_of_what_silences_what(
    source: dict[str, str],
    target: dict[str, str],
    silenced: bool,
    running_alertmanager: Settings,
) -> None:
    settings = running_alertmanager
    case = str(abs(hash((str(source), str(target)))))  # alerts of other cases are there, too
    environment = {"deployment_environment_name": case}
    for labels in (source, target):
        others = {name: value for name, value in labels.items() if name != "severity"}
        post(settings, labels.get("severity", "critical"), ended=False, **others, **environment)

    expected = {"severity": "critical", **target, **environment}
    try:
        assert is_silenced(settings, expected) is silenced
    finally:  # a server that is down silences alerts of other cases, too
        others = {name: value for name, value in source.items() if name != "severity"}
        post(settings, source.get("severity", "critical"), ended=True, **others, **environment)


def is_silenced(settings: Settings, labels: dict[str, str]) -> bool:
    """Whether another alert keeps back the one with these labels."""

    def status() -> Any:
        alerts = httpx.get(f"{settings.alertmanager_url}/api/v2/alerts").json()
        (found,) = [alert["status"] for alert in alerts if labels.items() <= alert["labels"].items()]
        return found if found["state"] != "unprocessed" else None

    return bool(wait_for(status, seconds=40)["inhibitedBy"])


@pytest.mark.parametrize(
    ("hour", "day", "silenced"),
    [("critical", "critical", True), ("warning", "warning", True), ("warning", "critical", False)],
)
def test_a_dear_hour_in_one_environment_silences_the_alert_on_the_budget_of_all(
    hour: str, day: str, silenced: bool, running_alertmanager: Settings
) -> None:
    service, budget = f"budget-{hour}-{day}", {"alertname": "GenAIDailyCostHigh", "limit": "budget"}
    dear = TOO_DEAR["alertname"]
    post(running_alertmanager, hour, alertname=dear, service=service, deployment_environment_name="live")
    post(running_alertmanager, day, alertname=budget["alertname"], limit=budget["limit"], service=service)
    assert is_silenced(running_alertmanager, budget | {"service": service, "severity": day}) is silenced


@pytest.fixture(scope="module")
def running_alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = _repository(tmp_path_factory.mktemp("inhibition"), SHIPPED)
    hurried(settings)
    with alerting(settings):
        yield settings


def test_every_alternative_in_an_inhibition_is_the_name_of_an_alert() -> None:
    root = Settings.load().root
    files = [yaml.safe_load(file.read_text()) for file in (root / "prometheus" / "rules").glob("*.yaml")]
    rules = [rule for file in files for group in file["groups"] for rule in group["rules"]]
    names = {rule["alert"] for rule in rules if "alert" in rule}
    inhibitions = yaml.safe_load((root / "alertmanager" / "alertmanager.yml").read_text())["inhibit_rules"]
    matchers = [each for rule in inhibitions for each in (*rule["source_matchers"], *rule["target_matchers"])]
    asked = [found.groups() for each in matchers if (found := re.fullmatch(r'alertname(=~?)"(.*)"', each))]
    assert len(asked) > 10
    for operator, pattern in asked:
        head, _, rest = pattern.partition("(")
        choices = [f"{head}{one}" for one in rest.rstrip(")").split("|")] if rest else pattern.split("|")
        for choice in choices if operator == "=~" else [pattern]:
            assert any(re.fullmatch(choice, name) for name in names), choice
