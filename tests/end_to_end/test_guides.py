"""The questions that the guides put to the stores, put to the real ones after a call was made."""

import json
import re
import shlex
import subprocess
import sys
from typing import Any

import httpx
import pytest
from genai_observability import signals

from stack.native.servers import metrics_addresses
from stack.settings import Settings
from tests.end_to_end.live import ROOT, eventually, without_otel
from tests.end_to_end.test_user_application import FIRST, programs

TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
PAGES = [FIRST.read_text(encoding="utf-8"), TROUBLESHOOTING]
COMMANDS = [command for page in PAGES for command in re.findall(r"^    (curl .*)$", page, re.MULTILINE)]
SERVICE = "questioned"


@pytest.fixture(scope="module")
def trace(stack: Settings, provider: str) -> str:
    """The trace id of a call that the first guide's program has made."""
    subprocess.run(
        [sys.executable, "-c", programs(FIRST)[0]],
        env=without_otel(
            OTEL_SERVICE_NAME=SERVICE,
            OTEL_EXPORTER_OTLP_ENDPOINT=stack.otlp_http_url,
            OPENAI_BASE_URL=f"{provider}/v1",
            OPENAI_API_KEY="test",
            GENAI_OBSERVABILITY_USER_KEY="key",
        ),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (log,) = (command for command in COMMANDS if "logsql" in command)
    (line,) = eventually(lambda: ask(stack, log))
    return str(line["trace_id"])


def ask(stack: Settings, command: str) -> Any:
    """The answer to a `curl` of the guides, from this stack, about this service."""
    usual = Settings.load({}, root=ROOT / "nowhere").variables()
    for name, port in stack.variables().items():
        if name.endswith("_PORT"):
            command = command.replace(f"localhost:{usual[name]} ", f"127.0.0.1:{port} ")
            command = command.replace(f"localhost:{usual[name]}/", f"127.0.0.1:{port}/")
    program, _, address, *rest = shlex.split(command.replace('"shop"', f'"{SERVICE}"'))
    assert program == "curl"
    parameters = dict(text.split("=", 1) for text in rest if not text.startswith("-"))
    answer = httpx.get(f"http://{address}", params=parameters or None, trust_env=False)
    assert answer.status_code == 200, f"{command}: {answer.text}"
    if "stream+json" in answer.headers["content-type"]:
        return [json.loads(line) for line in answer.text.splitlines()]
    return answer.json()


def results(answer: Any) -> Any:
    """What was found, in the answer of any store."""
    if isinstance(answer, list):
        return answer
    if "result" in answer:
        return answer["result"]["resourceSpans"]
    return answer["data"]["result"] if "result" in answer["data"] else answer["data"]["alerts"]


def test_the_first_guides_questions_find_the_call_in_every_store(stack: Settings, trace: str) -> None:
    commands = [
        command.replace("TRACE_ID", trace) for command in re.findall(r"^    (curl .*)$", PAGES[0], re.MULTILINE)
    ]
    assert len(commands) == 3
    for command in commands:
        assert eventually(lambda: results(ask(stack, command))), command  # noqa: B023 - it is asked at once


def test_the_questions_about_an_empty_dashboard_are_answered_as_the_page_says(stack: Settings, trace: str) -> None:
    section = TROUBLESHOOTING.partition("\n## The dashboard is empty\n")[2].partition("\n## ")[0]
    received, queued, stored = re.findall(r"^    (curl .*)$", section, re.MULTILINE)
    assert eventually(lambda: [item for item in results(ask(stack, received)) if float(item["value"][1]) > 0])
    waiting = results(ask(stack, queued))
    assert {item["metric"]["data_type"] for item in waiting} == {"traces", "metrics", "logs"}
    assert {item["metric"]["exporter"].split("/")[1] for item in waiting} == {"traces", "metrics", "logs", "usage"}
    services = {item["metric"]["job"]: item["value"][1] for item in results(ask(stack, stored))}
    assert services[SERVICE] == "1"


@pytest.mark.parametrize("command", [command for command in COMMANDS if "TRACE_ID" not in command])
def test_every_other_question_is_one_that_the_store_understands(stack: Settings, trace: str, command: str) -> None:
    assert isinstance(results(ask(stack, command)), list)


def test_every_metric_that_troubleshooting_names_is_in_the_catalogue_or_served(stack: Settings) -> None:
    catalogue = {metric.prometheus for metric in signals.METRICS} | {each.label for each in signals.attributes()}
    families = r"\b(?:otelcol|prometheus_tsdb|vl|alertmanager|inbox|genai_observability|gen_ai)_[a-z_]+\b"
    named = {re.sub(r"_(count|sum|bucket)$", "", name) for name in re.findall(families, TROUBLESHOOTING)}
    assert len(named) > 5
    served = "".join(
        httpx.get(f"http://{address}/metrics", trust_env=False).text for address in metrics_addresses(stack).values()
    )
    assert [name for name in named if name not in catalogue and f"\n{name}" not in served] == []
