"""The simulated provider over HTTP, the real client, and what a recording made of the calls between them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import genai_observability
import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otlp_capture import Capture, free_port

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is a trace?"}]


@dataclass(frozen=True)
class Point:
    """One data point of a metric; ``value`` is a counter's value or a histogram's sum."""

    labels: Mapping[str, Any]
    value: float
    count: int
    exemplars: tuple[Any, ...]


class Recording:
    """A running recording with everything it exports kept in memory."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.handle = genai_observability.instrument(
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            logger_provider=self.logger_provider,
            logs=False,
        )

    def settle(self) -> None:
        """Wait until every finished call is recorded; without a flush, which would use up the exemplars."""
        assert self.handle._recorder
        assert self.handle._recorder._worker.run(lambda: None, timeout=10)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        self.settle()
        return self._spans.get_finished_spans()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The attributes of each log record, with its severity, body and trace id."""
        self.settle()
        return [
            {
                **(data.log_record.attributes or {}),
                "severity": data.log_record.severity_text,
                "body": data.log_record.body,
                "trace_id": data.log_record.trace_id,
            }
            for data in self._logs.get_finished_logs()
        ]

    @property
    def record(self) -> dict[str, Any]:
        (record,) = self.records
        return record

    def points(self, metric: str) -> list[Point]:
        self.settle()
        data = self._reader.get_metrics_data()
        return [
            Point(
                labels=dict(point.attributes or {}),
                value=float(getattr(point, "sum", getattr(point, "value", 0))),
                count=getattr(point, "count", 0),
                exemplars=tuple(point.exemplars),
            )
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]

    def metric_names(self) -> set[str]:
        self.settle()
        data = self._reader.get_metrics_data()
        return {
            found.name
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
        }

    def close(self) -> None:
        self.handle.shutdown()
        self.tracer_provider.shutdown()
        self.logger_provider.shutdown()
        self.meter_provider.shutdown()


@pytest.fixture(autouse=True)
def _user_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_USER_KEY", "the key of the tests")


@pytest.fixture
def recording() -> Iterator[Recording]:
    recording = Recording()
    yield recording
    recording.close()


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The address of a simulated provider that answers fifty times faster than a real one."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"PROVIDER_PORT": str(port), "PROVIDER_LATENCY": "0.02"}
    process = subprocess.Popen([sys.executable, "-m", "demo.provider"], env=environment)
    try:
        _wait_until_healthy(process, f"{url}/healthz")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_healthy(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"The simulated provider did not answer at {url}.")


@pytest.fixture
def client(provider: str, recording: Recording) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
        yield client


@pytest.fixture
def capture() -> Iterator[Capture]:
    """An OTLP endpoint that keeps what it is sent."""
    with Capture() as capture:
        yield capture


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(provider: str, tmp_path: Path) -> Run:
    """Runs a program with ``client`` and ``ask()`` ready, as an application of its own."""
    prelude = """
import logging, os, sys, time
import openai
client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="test", max_retries=0)
def ask(model="gpt-4o-mini", **more):
    question = [{"role": "user", "content": "What is a trace?"}]
    return client.chat.completions.create(model=model, messages=question, **more)
"""

    def run(program: str, *, python: str = sys.executable, **environment: str) -> "subprocess.CompletedProcess[str]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        return subprocess.run(
            [python, "-W", "error", "-c", prelude + program],
            env=clean | {"PROVIDER": provider, "XDG_CONFIG_HOME": str(tmp_path / "config")} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
