"""Recordings that begin, fail and end: the process is then as it was."""

import gc
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import openai
import pytest
from genai_observability import Budget, attributed_to, signals
from openai import AsyncStream, Stream
from openai._base_client import AsyncAPIClient, BaseClient, SyncAPIClient
from opentelemetry import propagate
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from instrumentation.tests.programs import Run
from instrumentation.tests.recording import QUESTION, Recording

METHODS: Final = (
    (SyncAPIClient, "request"),
    (AsyncAPIClient, "request"),
    (BaseClient, "_build_request"),
    (BaseClient, "_should_retry"),
    (SyncAPIClient, "_process_response"),
    (AsyncAPIClient, "_process_response"),
    (Stream, "__stream__"),
    (AsyncStream, "__stream__"),
    (Stream, "close"),
    (AsyncStream, "close"),
    (threading.Thread, "start"),
)


def process() -> list[Any]:
    """What a recording changes in its process."""
    ours = [thread for thread in threading.enumerate() if thread.name == "genai-observability"]
    for thread in ours:
        thread.join(2)  # one that is to end does so soon
    methods = [vars(owner)[name] for owner, name in METHODS]
    living = [thread for thread in ours if thread.is_alive()]
    return [*methods, propagate.get_global_textmap(), *logging.getLogger().handlers, *living]


@pytest.fixture
def before() -> Iterator[list[Any]]:
    before = process()
    yield before
    assert process() == before


STEPS: Final = ("providers", "Metrics", "RequestLog", "ContentWatch", "AllCallsProvider", "watch_clients",
                "deliver_at_end")  # fmt: skip


@pytest.mark.parametrize("step", [None, *STEPS])
def test_a_beginning_that_fails_leaves_nothing_behind_and_the_next_records_each_call_once(
    step: str | None,
    before: list[Any],
    provider: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise TypeError("as a fault would")

    wrong: Any = {"propagate": 5} if step is None else {}
    with monkeypatch.context() as patch:
        if step is not None:
            patch.setattr(f"genai_observability._recorder.{step}", fail)
        failed = Recording(**wrong)
    assert not failed.handle.recording
    assert [record.message.partition(":")[0] for record in caplog.records] == ["Model calls are not recorded"]
    assert process() == before
    recording = Recording(failed.tracer_provider)
    try:
        with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
        assert len(recording.records) == 1
        assert len(recording.spans) == 1
    finally:
        recording.close()


PROGRAM = """
import gc, logging, os, sys, threading, time
import openai, genai_observability
from genai_observability import Budget
from genai_observability._budgets.enforcement import Enforcement
from genai_observability._record.metrics import Metrics
from genai_observability._recorder import Recorder
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

options, reader = {}, InMemoryMetricReader()
meter_provider = MeterProvider([reader])
if sys.argv[1] == "application":
    options = dict(
        tracer_provider=TracerProvider(), logger_provider=LoggerProvider(), meter_provider=meter_provider)
client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="test")

def left():
    for thread in threading.enumerate():
        if thread.name == "genai-observability":
            thread.join(5)
    gc.collect()
    kinds = [type(each) for each in gc.get_objects()]
    ours = [kinds.count(kind) for kind in (Recorder, Metrics, Enforcement)]
    filters = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").filters
    names = logging.basicConfig.__qualname__
    return threading.active_count(), len(os.listdir("/proc/self/fd")), ours, names, len(filters)

def record():
    handle = genai_observability.instrument(
        budgets=[Budget(by="feature", per="day", usd=1)], propagate=["feature"], content="preview",
        detect_threats=True, logs=True, **options)
    with genai_observability.attributed_to(feature="search"), genai_observability.workflow("search"):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "?"}])
        stream = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "?"}], stream=True)
        list(stream)
    reader.collect()
    assert handle.shutdown()

logging.disable(logging.WARNING)
for number in range(20):
    record()
    if number == 0:
        first = left()
print(first, left(), sep="\\n")
"""


def test_a_later_recording_is_read_by_the_applications_meter_and_the_ended_one_no_more(provider: str) -> None:
    reader = InMemoryMetricReader()
    meter_provider = MeterProvider([reader], shutdown_on_exit=False)

    def shares() -> list[float]:
        data: Any = reader.get_metrics_data()
        scopes = [scope for resource in (data.resource_metrics if data else ()) for scope in resource.scope_metrics]
        found = [metric for scope in scopes for metric in scope.metrics if metric.name == signals.BUDGET_USED.name]
        return [point.value for metric in found for point in metric.data.data_points]

    with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
        for limit in (2, 4):
            budget = Budget(by="feature", per="day", requests=limit)
            recording = Recording(meter_provider=meter_provider, budgets=[budget])
            with attributed_to(feature="search"):
                client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
            assert shares() == [1 / limit]
            recording.handle.shutdown()
    gc.collect()
    assert shares() == []


@pytest.mark.parametrize("providers", ["own", "application"])
def test_twenty_recordings_leave_no_more_behind_than_the_first(providers: str, run: Run) -> None:
    done = run(sys.executable, "-W", "error", "app.py", providers, program=PROGRAM)
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert last == first
    assert "[0, 0, 0]" in last
