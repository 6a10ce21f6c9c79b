"""The metrics that leave a process: each for itself, and each from before its first event."""

import sys

import pytest
from genai_observability import signals

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.programs import INSTRUMENT, Run

METER = """
import opentelemetry.metrics
meter = opentelemetry.metrics.get_meter("the application")
"""
TWICE = """
for more in range(2):
    meter.create_counter(f"good{more}").add(1)
    genai_observability.circuit_breaker("openai", state="open")
    handle.force_flush(10)
"""
ODD = {
    "a mapping as a label": 'meter.create_counter("odd").add(1, {"order": {"number": 7}})',
    "a number beyond 64 bits": 'meter.create_counter("odd").add(2**70)',
    "a description that is no Unicode": 'meter.create_counter("odd", description="\\ud800").add(1)',
    "a scope that is no Unicode": 'opentelemetry.metrics.get_meter("\\ud800").create_counter("odd").add(1)',
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_no_metric_of_the_application_stops_the_others(run: Run, capture: Capture, odd: str) -> None:
    done = run(sys.executable, "app.py", program=INSTRUMENT + METER + odd + TWICE)
    assert done.returncode == 0, done.stderr
    assert {"good0", "good1", signals.BREAKERS.name} <= {metric.name for metric in capture.metrics}


def test_a_metric_that_cannot_be_encoded_is_named_once(run: Run) -> None:
    done = run(sys.executable, "app.py", program=INSTRUMENT + METER + ODD["a number beyond 64 bits"] + TWICE)
    assert done.stderr.count("The metric 'odd' of 'the application' is left out") == 1


def test_a_metric_with_a_mapping_as_a_label_is_exported_too(run: Run, capture: Capture) -> None:
    run(sys.executable, "app.py", program=INSTRUMENT + METER + ODD["a mapping as a label"] + TWICE)
    assert "odd" in {metric.name for metric in capture.metrics}


def test_a_series_starts_before_the_millisecond_of_its_first_sample_and_stays_there(run: Run, capture: Capture) -> None:
    many = """
for number in range(101):
    genai_observability.fallback(from_model=f"model-{number}", to_model="gpt-4o")
    handle.force_flush(10) if number in (0, 100) else None
genai_observability.fallback(from_model="model-1", to_model="gpt-4o")
"""
    assert run(sys.executable, "app.py", program=INSTRUMENT + many).returncode == 0
    points: dict[str, list[tuple[int, int]]] = {}
    for metric in capture.metrics:
        if metric.name in (signals.FALLBACKS.name, signals.DROPPED.name):
            for point in metric.sum.data_points:
                series = f"{metric.name} {sorted(values(point.attributes).items())}"
                points.setdefault(series, []).append((point.start_time_unix_nano, point.time_unix_nano))
    assert len(points) == 102
    for samples in points.values():
        starts = {start for start, _ in samples}
        assert len(starts) == 1, "it is one series"
        assert starts.pop() < samples[0][1] - 1_000_000, "else Prometheus makes no zero of it"
