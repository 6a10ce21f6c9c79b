"""The examples of the guides to logs, to streams and to OpenAI's own dashboard do what is written beside them."""

import functools
import json
import re
import sys
from pathlib import Path

import httpx2
import openai
import pytest
from genai_observability import signals
from genai_observability._capture.requests import _TOLD

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.programs import Run
from instrumentation.tests.recording import Recording

DOCS = Path(__file__).parents[2] / "docs"
LOGS, STREAMS, ATTRIBUTION = ((DOCS / f"{name}.md").read_text() for name in ("logs", "streams", "attribution"))
DASHBOARD = ATTRIBUTION.partition("## To OpenAI's own dashboard")[2]


def example(guide: str) -> str:
    (program,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    return str(program)


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"OPENAI_BASE_URL": f"{environment['PROVIDER']}/v1", "OPENAI_API_KEY": "test"}


def test_the_applications_lines_and_those_of_its_calls_are_in_one_trace_with_levels(run: Run, capture: Capture) -> None:
    done = run(sys.executable, "-W", "error", "app.py", program=example(LOGS))
    assert done.returncode == 0, done.stderr
    records = sorted(capture.records, key=lambda record: record.time_unix_nano)
    ours = [record for record in records if not record.body.string_value.startswith("HTTP Request")]
    assert [(record.severity_text, signals.OUTCOME.name in values(record.attributes)) for record in ours] == [
        ("INFO", False),
        ("INFO", True),
        ("ERROR", True),
        ("WARN", False),
    ]
    assert len({record.trace_id for record in ours}) == 1
    failed = values(ours[2].attributes)
    assert failed["error.message"].count("'…'") == 1
    assert "messages'" not in failed["error.message"]
    assert "INFO:shop:a customer asks" in done.stderr


def test_the_guide_names_every_event_of_the_log() -> None:
    for event in (signals.CALL_EVENT, signals.EVALUATION_EVENT, signals.SECURITY_EVENT, signals.FLAG_EVENT):
        assert f"| `{event}` |" in LOGS


def test_with_the_guides_sampler_all_calls_are_logged_and_few_traces_stored(run: Run, capture: Capture) -> None:
    (line,) = re.findall(r"^ {4}(OTEL_TRACES_SAMPLER=.*) python app\.py$", LOGS, re.MULTILINE)
    sampler = dict(setting.split("=") for setting in line.split())
    program = example(LOGS).partition("with ")[0] + (
        "for _ in range(60):\n    client.embeddings.create(model='text-embedding-3-small', input='?')\n"
    )
    done = run(sys.executable, "-W", "error", "app.py", program=program, **sampler)
    assert done.returncode == 0, done.stderr
    calls = [record for record in capture.records if signals.OUTCOME.name in values(record.attributes)]
    assert len(calls) == 60
    assert len(capture.spans) < 25  # 6 are to be expected, and 25 in one of a billion runs


def test_the_example_of_streams_ends_as_the_guide_says(run: Run, capture: Capture) -> None:
    done = run(sys.executable, "-W", "error", "app.py", program=example(STREAMS))
    assert (done.returncode, done.stderr) == (0, "")
    read, left = (values(record.attributes) for record in capture.records)
    assert (read[signals.STREAM_END.name], left[signals.STREAM_END.name]) == ("complete", "abandoned")
    assert read[signals.TIME_TO_FIRST_TOKEN.name] > 0
    assert left[signals.ESTIMATED_OUTPUT.name] > 0


def test_openai_is_told_what_the_guide_says(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[httpx2.Request] = []

    def to_provider(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.post(f"{provider}{request.url.path}", content=request.content, headers=request.headers)

    recording = Recording(attribution_to_provider=True)
    transport = httpx2.Client(transport=httpx2.MockTransport(to_provider))
    monkeypatch.setattr(openai, "OpenAI", functools.partial(openai.OpenAI, api_key="test", http_client=transport))
    try:
        exec(example(DASHBOARD), {})
        (request,) = sent
        body = json.loads(request.content)
        assert request.url.host == "api.openai.com"
        assert body["metadata"] == {"feature": "search", "team": "growth"}
        assert body["safety_identifier"] == recording.record[signals.USER_HASH.name]
    finally:
        recording.close()
        transport.close()
    for name in (*_TOLD, "environment", "safety_identifier"):
        assert f"`{name}`" in DASHBOARD
