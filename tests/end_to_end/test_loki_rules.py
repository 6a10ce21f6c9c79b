"""The rules on single calls and users: the real ruler of the real Loki, with the real Alertmanager and inbox."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from genai_observability.signals import (
    CALL_EVENT,
    COST,
    EVENT_NAME,
    FEATURE,
    INPUT_TOKENS,
    OPERATION,
    OUTPUT_TOKENS,
    REQUEST_MODEL,
    USER_HASH,
    Attribute,
)

from stack.native import down, up
from stack.settings import Settings
from tests.end_to_end.live import ROOT, eventually
from tests.stores import settings_at

RULES = Path("loki", "rules", "fake", "requests.yaml")
ALERTS = {rule["alert"] for group in yaml.safe_load((ROOT / RULES).read_text())["groups"] for rule in group["rules"]}
_OTLP_TYPES = {str: "stringValue", float: "doubleValue", int: "intValue"}


@dataclass(frozen=True)
class Call:
    """A line of the request log, as the package writes it."""

    trace: int
    user: str = "u-quiet"
    feature: str = "search"
    cost: float = 0.001
    input_tokens: int = 100
    operation: str = "chat"

    def attributes(self) -> dict[Attribute, str | float | int]:
        return {
            EVENT_NAME: CALL_EVENT,
            OPERATION: self.operation,
            REQUEST_MODEL: "gpt-5",
            FEATURE: self.feature,
            USER_HASH: self.user,
            COST: self.cost,
            INPUT_TOKENS: self.input_tokens,
            OUTPUT_TOKENS: 10,
        }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Loki, Alertmanager and inbox. The rules are the shipped ones, but are all evaluated every few seconds."""
    folder = tmp_path_factory.mktemp("loki-rules")
    settings = replace(settings_at(folder / "state"), root=folder / "repository")
    for name in ("loki", "alertmanager"):
        shutil.copytree(ROOT / name, settings.root / name, ignore=shutil.ignore_patterns("distribution"))
    rules = settings.root / RULES
    rules.write_text(re.sub(r"interval: \w+", "interval: 3s", rules.read_text()))
    try:
        up(settings, only={"loki", "alertmanager", "inbox"})
        yield settings
    finally:
        down(settings)


def send(settings: Settings, service: str, *calls: Call) -> None:
    """Writes the calls to Loki as the Collector does, over OTLP."""
    now = time.time_ns()
    records = [
        {
            "timeUnixNano": str(now + number),
            "severityNumber": 9,
            "traceId": f"{call.trace:032x}",
            "spanId": f"{number + 1:016x}",
            "attributes": [
                {"key": attribute.name, "value": {_OTLP_TYPES[type(value)]: value}}
                for attribute, value in call.attributes().items()
            ],
        }
        for number, call in enumerate(calls)
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    body = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
    answer = httpx.post(
        f"{settings.loki_url}/otlp/v1/logs", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code < 300, answer.text


def received(settings: Settings) -> list[dict[str, Any]]:
    notifications = httpx.get(f"{settings.inbox_url}/api/notifications").json()
    return [alert for notification in notifications for alert in notification["alerts"]]


def evaluations(settings: Settings) -> list[dict[str, Any]]:
    answer = httpx.get(f"{settings.loki_url}/prometheus/api/v1/rules").json()
    return [rule for group in answer["data"]["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def alerts(stack: Settings) -> list[dict[str, Any]]:
    """What reached the inbox of two services that break every limit together, and of one that stays just below.

    A user with too many calls silences the alert on those that are the same, hence two.
    """
    quiet = [
        Call(1, cost=0.1),  # not dearer than the limit
        *(Call(1) for _ in range(15)),  # the same call, and all in one trace …
        *(Call(1, input_tokens=number) for number in range(1, 30)),
        *(Call(number, user=f"u-{number}", cost=0.09, input_tokens=1000) for number in range(2, 50)),
        *(Call(number, operation="embeddings") for number in range(100, 500)),  # … not a user's requests
    ]
    loud = [
        Call(0xD0, user="u-dear", feature="digest", cost=0.75),
        Call(0xDA, user="u-dear", feature="digest", cost=1.25),
        *(Call(0x100, user="", feature="agent") for _ in range(51)),
        *(Call(0x200 + number, user="u-double", feature="widget") for number in range(21)),
    ]
    greedy = [
        *(Call(0x300 + number, user="u-fast", input_tokens=number) for number in range(301)),
        *(Call(0x600 + number, user="u-long", input_tokens=26_000) for number in range(4)),
        *(Call(0x700 + number, user="u-rich", cost=0.09, input_tokens=number) for number in range(60)),
    ]
    send(stack, "quiet", *quiet)
    send(stack, "loud", *loud)
    send(stack, "greedy", *greedy)
    eventually(lambda: {alert["labels"]["alertname"] for alert in received(stack)} == ALERTS, within=60)
    eventually(lambda: len(_limits(received(stack))) == 3, within=30)
    return received(stack)


def _limits(alerts: list[dict[str, Any]]) -> set[tuple[str, str]]:
    labels = [alert["labels"] for alert in alerts if alert["labels"]["alertname"] == "GenAIUserLimitExceeded"]
    return {(each["limit"], each["user_hash"]) for each in labels}


def test_every_rule_fires_through_alertmanager_for_the_services_that_break_the_limits(
    alerts: list[dict[str, Any]],
) -> None:
    assert {alert["labels"]["alertname"] for alert in alerts} == ALERTS


def test_no_rule_fires_for_the_service_that_stays_below(alerts: list[dict[str, Any]]) -> None:
    assert {alert["labels"]["service"] for alert in alerts} == {"loud", "greedy"}


def test_the_dearest_request_is_named_with_user_and_trace_which_are_no_labels(alerts: list[dict[str, Any]]) -> None:
    [alert] = [alert for alert in alerts if alert["labels"]["alertname"] == "GenAIExpensiveRequest"]
    assert alert["annotations"]["summary"] == "One call of digest in loud cost $1.25"
    assert f"user u-dear, trace {0xDA:032x}" in alert["annotations"]["description"]
    assert alert["annotations"]["trace_url"] == f"http://localhost:8093/traces/{0xDA:032x}"
    assert set(alert["labels"]) == {"alertname", "app_feature", "service", "service_name", "severity", "team"}


def test_a_loop_is_named_with_its_trace(alerts: list[dict[str, Any]]) -> None:
    [alert] = [alert for alert in alerts if alert["labels"]["alertname"] == "GenAIRunawayLoop"]
    assert alert["annotations"]["summary"] == "51 model calls of agent in loud within one trace"
    assert f"{0x100:032x}" in alert["annotations"]["description"]
    assert alert["annotations"]["trace_url"] == f"http://localhost:8093/traces/{0x100:032x}"


def test_the_same_call_again_and_again_is_named_with_its_user(alerts: list[dict[str, Any]]) -> None:
    [alert] = [alert for alert in alerts if alert["labels"]["alertname"] == "GenAIDuplicateRequests"]
    assert alert["annotations"]["summary"] == "One user made the same call of widget in loud 21 times"
    assert "100 to gpt-5. User u-double." in alert["annotations"]["description"]


def test_a_user_is_named_with_the_limit_that_he_broke(alerts: list[dict[str, Any]]) -> None:
    assert _limits(alerts) == {("requests", "u-fast"), ("tokens", "u-long"), ("money", "u-rich")}


def test_every_rule_is_evaluated_without_an_error(stack: Settings, alerts: list[dict[str, Any]]) -> None:
    assert alerts
    assert {(rule["health"], rule.get("lastError", "")) for rule in evaluations(stack)} == {("ok", "")}
