"""With the Collector away: memory stays bounded, and what was lost is counted and told once it is back."""

import os
import subprocess
import sys
from pathlib import Path

from genai_observability import signals

from instrumentation.tests.otlp_capture import Capture, values
from tests.serving import free_port

PROGRAM = """
import sys
import genai_observability, openai

handle = genai_observability.instrument(service_name="shop", logs=False)
client = openai.OpenAI()
for _ in range(60):
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "?"}])
handle.force_flush(30)
print("calls made", flush=True)
sys.stdin.readline()  # until the Collector is back
handle.force_flush(30)
"""


def test_what_was_lost_while_the_collector_was_away_is_counted_once_it_is_back(provider: str, tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_MAX_QUEUE_SIZE": "20",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "20",
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "20",
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",
        "OPENAI_BASE_URL": f"{provider}/v1",
        "OPENAI_API_KEY": "test",
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdin
        assert program.stdout
        assert program.stdout.readline() == "calls made\n"
        with Capture(port) as capture:
            program.stdin.write("\n")
            program.stdin.close()
            assert program.wait(60) == 0
    lost = [metric for metric in capture.metrics if metric.name == signals.DROPPED.name][-1]
    kind = signals.DROPPED.labels[0].name
    counts = {values(point.attributes)[kind]: point.as_int for point in lost.sum.data_points}
    # Not exactly: the SDK may count an overflow although its own thread has just made room.
    assert 60 <= counts["span"] + len(capture.spans) <= 63
    assert 60 <= counts["log"] + len(capture.records) <= 63
    calls = [metric for metric in capture.metrics if metric.name == signals.CALL_DURATION.name][-1]
    assert sum(point.count for point in calls.histogram.data_points) == 60
