"""The versions of the client that are supported: each in an environment of its own, with the same program."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from genai_observability import signals
from genai_observability._capture.clients import OWN_SCOPE
from openai._base_client import BaseClient

from instrumentation.tests.aimock_process import aimock
from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.recording import QUESTION, Recording
from tests.environments import environment

CLIENTS: Final = "instrumentation/tests/clients"
OLDER: Final = ("openai-1.26", "openai-1.109", "openai-2.54")
OLDER_WRAPPER: Final = "openai-v2"
ITS_NEWER_NAMES: Final = "openai-v2, newer names"
NEWEST: Final = "the newest"
OTHER_APIS: Final = ("image", "moderation", "speech", "transcription", "batch")
WRAPPER_SCOPE: Final = "opentelemetry.instrumentation.openai_v2"


@dataclass(frozen=True)
class Run:
    """What one run of the program said and recorded."""

    answer: str
    complaints: str
    calls: dict[str, dict[str, Any]]
    """The fields of each call's record, by its feature."""
    spans: dict[str, list[dict[str, Any]]]
    """The attributes of the spans, by the scope of the instrumentation that made them."""


def python_of(name: str) -> str:
    if name == NEWEST:
        return sys.executable
    if name == ITS_NEWER_NAMES:
        name = OLDER_WRAPPER
    extra = "openai-v2" if name == OLDER_WRAPPER else "openai"
    folder = environment(name, ["-r", f"{CLIENTS}/{name}.txt", f"./instrumentation[{extra}]"])
    return str(folder / "python")


def run(name: str, *providers: str) -> Run:
    with Capture() as capture:
        ended = subprocess.run(
            [python_of(name), Path(CLIENTS) / "program.py", *(f"{url}/v1" for url in providers)],
            env=os.environ
            | {"OTEL_EXPORTER_OTLP_ENDPOINT": capture.url, "GENAI_OBSERVABILITY_STREAM_USAGE": "always"}
            | ({signals.OPT_IN_VARIABLE: "gen_ai_latest_experimental"} if name == ITS_NEWER_NAMES else {}),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        records = [values(record.attributes) for record in capture.records]
        calls = [record for record in records if record.get(signals.EVENT_NAME.name) == signals.CALL_EVENT]
        return Run(
            answer=ended.stdout,
            complaints=ended.stderr,
            calls={
                call[signals.FEATURE.name] + (" result" if signals.BATCH.name in call else ""): call for call in calls
            },
            spans={scope: [values(span.attributes) for span in spans] for scope, spans in capture.scopes.items()},
        )


@pytest.fixture(scope="module")
def runs(provider: str) -> Iterator[dict[str, Run]]:
    """One run in each environment, side by side."""
    names = (NEWEST, *OLDER, OLDER_WRAPPER, ITS_NEWER_NAMES)
    with aimock() as second, ThreadPoolExecutor() as threads:
        yield dict(zip(names, threads.map(lambda name: run(name, provider, second), names), strict=True))


@pytest.mark.parametrize("version", OLDER)
def test_an_older_client_is_recorded_as_the_newest_is(version: str, runs: dict[str, Run]) -> None:
    newest, older = runs[NEWEST], runs[version]
    assert older.complaints == ""
    assert {feature: set(call) for feature, call in older.calls.items()} == {
        feature: set(call) for feature, call in newest.calls.items()
    }
    for run_ in (older, newest):
        assert {scope: len(spans) for scope, spans in run_.spans.items()} == {OWN_SCOPE: len(run_.calls) - 1}  # one of
        # each call but the result of the batch, which has none


@pytest.mark.parametrize("version", [NEWEST, *OLDER, OLDER_WRAPPER, ITS_NEWER_NAMES])
def test_what_happened_to_each_call_is_known_with_every_client(version: str, runs: dict[str, Run]) -> None:
    calls = dict(runs[version].calls)
    others = {feature: calls.pop(feature)[signals.OUTCOME.name] for feature in OTHER_APIS}
    assert set(others.values()) == {"success"}
    assert calls.pop("batch result")[signals.COST.name] == pytest.approx((0.15 + 0.60) / 2 / 1e6)
    assert {feature: call[signals.OUTCOME.name] for feature, call in calls.items()} == {
        "plain": "success",
        "raw": "success",
        "embeddings": "success",
        "stream": "success",
        "abandoned stream": "cancelled",
        "retried": "error",
        "refused": "error",
        "async plain": "success",
        "async embeddings": "success",
        "async stream": "success",
        "async retried": "error",
    }
    assert {feature for feature, call in calls.items() if call.get(signals.RETRIES.name) == 1} == {
        "retried",
        "async retried",
    }
    for feature, call in calls.items():
        assert call[signals.PROVIDER_REQUEST_ID.name].startswith("req_")
        assert call[signals.PHASE_SECONDS["provider"].name] > 0
        assert (signals.COST.name in call) == (call[signals.OUTCOME.name] == "success")
        assert (signals.TIME_TO_FIRST_TOKEN.name in call) == ("stream" in feature)


@pytest.mark.parametrize("version", [NEWEST, *OLDER, OLDER_WRAPPER, ITS_NEWER_NAMES])
def test_the_application_never_sees_the_usage_that_was_asked_for_here(version: str, runs: dict[str, Run]) -> None:
    chunks = json.loads(runs[version].answer)
    assert len(chunks) > 2
    assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)
    assert runs[version].calls["stream"][signals.INPUT_TOKENS.name] > 0


def test_the_older_wrapper_begins_the_calls_of_its_methods_and_what_it_lacks_is_added(runs: dict[str, Run]) -> None:
    newest, older = runs[NEWEST], runs[OLDER_WRAPPER]
    assert older.complaints == ""
    wrapped = set(older.calls) - {*OTHER_APIS, "batch result"}
    assert {feature: set(call) - set(older.calls[feature]) for feature, call in newest.calls.items()} == {
        feature: {signals.SERVER_ADDRESS.name} if feature in wrapped else set() for feature in newest.calls
    }
    assert {scope: len(spans) for scope, spans in older.spans.items()} == {
        OWN_SCOPE: len(OTHER_APIS),
        WRAPPER_SCOPE: len(wrapped),
    }
    assert all("gen_ai.system" in span for span in older.spans[WRAPPER_SCOPE])
    assert {call[signals.PROVIDER.name] for call in older.calls.values()} == {"openai"}


def test_its_newer_names_change_nothing_of_what_is_counted(runs: dict[str, Run]) -> None:
    older, newer = runs[OLDER_WRAPPER], runs[ITS_NEWER_NAMES]
    assert newer.complaints == ""
    assert set(newer.calls) == set(older.calls)
    for feature, call in newer.calls.items():
        assert (signals.SERVER_ADDRESS.name in call) == (signals.SERVER_ADDRESS.name in older.calls[feature])
    assert {scope: len(spans) for scope, spans in newer.spans.items()} == {
        scope: len(spans) for scope, spans in older.spans.items()
    }
    assert not any(signals.DUPLICATE_OF.name in span for spans in newer.spans.values() for span in spans)


def test_all_calls_within_a_span_of_another_user_of_the_same_handler_are_counted(
    provider: str,
) -> None:
    recording = Recording()
    try:
        handler = recording.tracer_provider.get_tracer("opentelemetry.util.genai.handler")
        with (
            openai.OpenAI(base_url=f"{provider}/v1", api_key="test") as client,
            handler.start_as_current_span("chat", attributes={signals.OPERATION.name: "chat"}),
        ):
            for _ in range(2):
                client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
        counted = [record for record in recording.records if signals.COST.name in record]
        assert len({record[signals.RESPONSE_ID.name] for record in counted}) == len(counted) == 2
    finally:
        recording.close()


def test_a_name_that_a_later_client_lacks_costs_what_it_tells(
    provider: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(BaseClient, "_should_retry")
    recording = Recording()
    try:
        with openai.OpenAI(base_url=f"{provider}/v1", api_key="test") as client:
            client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
        assert recording.record[signals.PROVIDER_REQUEST_ID.name]
    finally:
        recording.close()
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "With this version of openai some is not recorded: which attempts were refused."
    ]


def test_where_no_client_is_installed_other_instrumentations_calls_are_recorded_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    recording = Recording()
    try:
        attributes = {signals.OPERATION.name: "chat", signals.PROVIDER.name: "anthropic"}
        recording.tracer_provider.get_tracer("theirs").start_span("chat", attributes=attributes).end()
        assert recording.record[signals.PROVIDER.name] == "anthropic"
    finally:
        recording.close()
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "openai is not installed: only model calls of which another instrumentation makes spans are recorded."
    ]
