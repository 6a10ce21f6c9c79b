"""Single calls, traces and users above a limit: real calls by way of everything to the alert that names them."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from genai_observability.signals import USER_HASH

from stack.clients import Prometheus, Warehouse
from stack.native import down, up
from stack.settings import Settings
from stack.warehouse import READER, address
from tests.end_to_end.live import ROOT, eventually, without_otel
from tests.stores import settings_at

RULES = yaml.safe_load((ROOT / "prometheus" / "rules" / "requests.yaml").read_text())
ALERTS = {rule["alert"] for group in RULES["groups"] for rule in group["rules"]}
LOUD = """
import openai, genai_observability
from concurrent.futures import ThreadPoolExecutor
from opentelemetry import trace
handle = genai_observability.instrument()
client = openai.OpenAI(max_retries=0)
def ask(user, feature, words, model="gpt-4o-mini", **headers):
    with genai_observability.attributed_to(feature=feature, team="growth", user=user):
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": words}], extra_headers=headers)
def agent():
    with trace.get_tracer("agent").start_as_current_span("run"):
        for number in range(51):
            ask(None, "agent", "step " * number)
with ThreadPoolExecutor(8) as pool:
    runs = [pool.submit(agent)]
    runs += [pool.submit(ask, "double@example.com", "widget", "the same") for _ in range(21)]
    runs += [pool.submit(ask, "fast@example.com", "search", "word " * number) for number in range(301)]
    runs += [pool.submit(ask, "rich@example.com", "digest", "a question", "gpt-4o", **{"x-demo-fault": "heavy"})
             for _ in range(60)]
    for run in runs:
        run.result()
handle.shutdown()
"""
QUIET = """
import openai, genai_observability
handle = genai_observability.instrument()
client = openai.OpenAI()
with genai_observability.attributed_to(feature="search", team="growth", user="ann@example.com"):
    for number in range(20):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "the same"}])
handle.shutdown()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack of its own: alerts are told of nothing else."""
    settings = settings_at(tmp_path_factory.mktemp("offenders"))
    try:
        up(settings)
        yield settings
    finally:
        down(settings, volumes=True)


def run(program: str, service: str, stack: Settings, provider: str) -> None:
    environment = without_otel(
        OTEL_SERVICE_NAME=service,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=prod",
        OTEL_EXPORTER_OTLP_ENDPOINT=stack.otlp_http_url,
        OPENAI_BASE_URL=f"{provider}/v1",
        OPENAI_API_KEY="test",
        GENAI_OBSERVABILITY_USER_KEY="key",
    )
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


@pytest.fixture(scope="module")
def told(stack: Settings, provider: str) -> list[dict[str, Any]]:
    """The alerts that reached the inbox. A user with too many calls silences the one on those that are the same."""
    run(QUIET, "quiet", stack, provider)
    run(LOUD.replace("range(301)", "range(0)"), "loud", stack, provider)
    run(LOUD.replace("range(51)", "range(0)").replace("range(21)", "range(0)"), "greedy", stack, provider)
    expected = {*((name, "loud") for name in ALERTS), ("GenAIUserLimitExceeded", "greedy")}

    def found() -> list[dict[str, Any]]:
        notifications = httpx.get(f"{stack.inbox_url}/api/notifications", trust_env=False).json()
        alerts = [alert for notification in notifications for alert in notification["alerts"]]
        return [alert for alert in alerts if alert["labels"]["alertname"] in ALERTS]

    eventually(
        lambda: expected <= {(each["labels"]["alertname"], each["labels"]["service"]) for each in found()}, within=150
    )
    eventually(lambda: len(limits(found())) == 5, within=180)
    return found()


def limits(alerts: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Service, limit and user of those on users."""
    labels = [alert["labels"] for alert in alerts if alert["labels"]["alertname"] == "GenAIUserLimitExceeded"]
    return {(each["service"], each["limit"], each[USER_HASH.label]) for each in labels}


def the(alerts: list[dict[str, Any]], name: str, service: str = "loud") -> dict[str, Any]:
    labels = {"alertname": name, "service": service}
    found = [alert for alert in alerts if labels.items() <= alert["labels"].items()]
    assert found
    return found[-1]


def rows(stack: Settings, sql: str) -> list[dict[str, Any]]:
    return Warehouse(address(stack, READER)).rows(sql)


def test_each_user_is_named_by_the_hash_that_the_warehouse_has_and_each_limit_is_an_alert(
    stack: Settings, told: list[dict[str, Any]]
) -> None:
    (fast,) = rows(stack, "SELECT DISTINCT user_hash FROM calls WHERE service = 'greedy' AND feature = 'search'")
    (rich,) = rows(stack, "SELECT DISTINCT user_hash FROM calls WHERE service = 'loud' AND feature = 'digest'")
    assert limits(told) == {
        ("greedy", "requests", fast["user_hash"]),
        *((service, limit, rich["user_hash"]) for service in ("loud", "greedy") for limit in ("tokens", "money")),
    }


def test_the_money_of_a_user_is_what_the_warehouse_has(stack: Settings, told: list[dict[str, Any]]) -> None:
    (spent,) = rows(stack, "SELECT sum(cost)::float8 AS usd FROM calls WHERE service = 'loud' AND feature = 'digest'")
    assert spent["usd"] > 5
    summaries = [alert["annotations"]["summary"] for alert in told if alert["labels"].get("limit") == "money"]
    assert f"One user of loud used ${spent['usd']:.2f} of model calls within 24 hours" in summaries


def test_the_dearest_call_is_named_with_user_and_trace_which_are_no_labels(
    stack: Settings, told: list[dict[str, Any]]
) -> None:
    dearest, *_ = rows(stack, "SELECT * FROM calls WHERE service = 'loud' ORDER BY cost DESC NULLS LAST LIMIT 1")
    alert = the(told, "GenAIExpensiveRequest")
    assert alert["annotations"]["summary"] == f"One call of digest in loud cost ${float(dearest['cost']):.2f}"
    named = f"The dearest: model gpt-4o, user {dearest['user_hash']}, trace {dearest['trace_id']}."
    assert named in alert["annotations"]["description"]
    assert alert["annotations"]["trace_url"] == f"http://localhost:8093/traces/{dearest['trace_id']}"
    assert set(alert["labels"]) == {
        "alertname", "app_feature", "deployment_environment_name", "job", "service", "severity", "team"
    }  # fmt: skip


def test_a_loop_is_named_with_its_trace(stack: Settings, told: list[dict[str, Any]]) -> None:
    (run,) = rows(stack, "SELECT DISTINCT trace_id FROM calls WHERE service = 'loud' AND feature = 'agent'")
    alert = the(told, "GenAIRunawayLoop")
    assert alert["annotations"]["summary"] == "51 model calls of agent in loud within one trace"
    assert run["trace_id"] in alert["annotations"]["description"]
    assert alert["annotations"]["trace_url"] == f"http://localhost:8093/traces/{run['trace_id']}"


def test_the_same_call_again_and_again_is_named_with_its_user(stack: Settings, told: list[dict[str, Any]]) -> None:
    (user,) = rows(stack, "SELECT DISTINCT user_hash FROM calls WHERE service = 'loud' AND feature = 'widget'")
    alert = the(told, "GenAIDuplicateRequests")
    assert alert["annotations"]["summary"] == "One user made the same call of widget in loud 21 times"
    assert f"gpt-4o-mini. User {user['user_hash']}." in alert["annotations"]["description"]


def test_no_alert_is_of_the_service_that_stays_below(told: list[dict[str, Any]]) -> None:
    assert {alert["labels"]["service"] for alert in told} == {"loud", "greedy"}


def test_only_the_gauges_and_the_alerts_on_users_have_a_user_or_a_trace_as_a_label(
    stack: Settings, told: list[dict[str, Any]]
) -> None:
    assert told
    prometheus = Prometheus(stack.prometheus_url)
    found = {sample.labels["__name__"] for sample in prometheus.query('{user_hash!=""} or {trace_id!=""}')}
    others = {name for name in found if not name.startswith("genai_offender_")}
    assert others == {"ALERTS", "ALERTS_FOR_STATE"}
    named = prometheus.query('ALERTS{user_hash!=""} or ALERTS{trace_id!=""}')
    assert {sample.labels["alertname"] for sample in named} == {"GenAIUserLimitExceeded"}


def test_every_rule_is_evaluated_without_an_error(stack: Settings, told: list[dict[str, Any]]) -> None:
    assert told
    answer = httpx.get(f"{stack.prometheus_url}/api/v1/rules", trust_env=False).json()
    rules = [rule for group in answer["data"]["groups"] if group["name"] == "genai_requests" for rule in group["rules"]]
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}
