"""Whatever share of the traces is kept, all calls are counted, priced and logged."""

import os
import subprocess
import sys
from pathlib import Path

import openai
from genai_observability import signals
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from instrumentation.tests.otlp_capture import Capture
from instrumentation.tests.recording import QUESTION, Recording

PROGRAM = """
import genai_observability, openai
from opentelemetry import trace
genai_observability.instrument(service_name="sampled")
with trace.get_tracer("shop").start_as_current_span("request"):
    for _ in range(3):
        openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "?"}])
"""


def test_calls_of_traces_that_are_not_kept_are_counted_priced_and_logged_all_the_same(
    provider: str, capture: Capture, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=tmp_path,
        env=os.environ
        | {
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": capture.url,
            "OPENAI_BASE_URL": f"{provider}/v1",
            "OPENAI_API_KEY": "test",
        },
        check=True,
    )
    assert capture.spans == []
    assert [record.severity_text for record in capture.records] == ["INFO"] * 3
    metrics = {metric.name: metric for metric in capture.metrics}
    (duration,) = metrics[signals.CALL_DURATION.name].histogram.data_points
    assert duration.count == 3
    (cost,) = metrics[signals.CALL_COST.name].sum.data_points
    assert cost.as_double > 0


def test_where_the_applications_own_sampler_keeps_nothing_its_calls_are_still_seen_and_its_spans_still_dropped(
    provider: str,
) -> None:
    recording = Recording(tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    try:
        with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
        assert recording.record[signals.OUTCOME.name] == "success"
        assert recording.spans == ()
        assert not recording.tracer_provider.get_tracer("shop").start_span("request").is_recording()
    finally:
        recording.close()
