"""Calls leave nothing behind in memory, whether there is a Collector or not."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from genai_observability import signals
from genai_observability._call import Call, Tokens, utc
from genai_observability._capture.open_calls import OpenCall
from genai_observability._record.duplicates import Duplicates
from genai_observability._record.scores import RecentCalls
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from instrumentation.benchmarks.memory import heap
from instrumentation.tests.otlp_capture import Capture, values
from tests.serving import free_port

ROOT = Path(__file__).parents[2]
FIRST, MORE = 1_000, 2_500  # calls; what is being sent at a look may come to 800 objects
SMALL_QUEUES = {
    f"OTEL_{kind}_{what}_SIZE": "10" for kind in ("BSP", "BLRP") for what in ("MAX_QUEUE", "MAX_EXPORT_BATCH")
}

PROGRAM = f"""
import gc, sys, time
import genai_observability
from genai_observability._record import duplicates as _duplicates
from genai_observability._context import identity as _identity
from instrumentation.benchmarks.memory import traffic

handle = genai_observability.instrument(service_name="shop", logs=False)
recorder = handle._recorder

# Tables that are full before the first look, as those of a process are that has run for long.
_duplicates._MOST_PLACES = recorder._recent.capacity = 200
for number in range(_identity.user_hash.cache_info().maxsize):
    _identity.user_hash(str(number))

def look():
    time.sleep(0.1)
    gc.collect()
    return len(gc.get_objects()), sys.getallocatedblocks()

def show():
    assert recorder._worker.run(recorder._providers.force_flush if sys.argv[1] == "flush" else gc.collect, timeout=30)
    print(*map(min, zip(*(look() for _ in range(5)))), flush=True)  # exports in the background come and go

with traffic(attributed=True) as call:
    for number in range({FIRST + MORE}):
        if number == {FIRST}:
            show()
        call(number)
    show()
sys.stdin.readline()
handle.force_flush(30)
"""


def _grown(output: list[str]) -> tuple[int, int]:
    """By how many objects and blocks of memory the process has grown between its two looks."""
    (objects, blocks), (objects_later, blocks_later) = (map(int, line.split()) for line in output)
    return objects_later - objects, blocks_later - blocks


def _start(endpoint: str, *arguments: str, **more: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))}
    environment = clean | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "PYTHONPATH": str(ROOT)} | more
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_calls_whose_data_was_delivered_leave_nothing_behind(capture: Capture) -> None:
    with _start(capture.url, "flush") as program:
        output, _ = program.communicate("\n", timeout=60)
    assert program.returncode == 0
    objects, blocks = _grown(output.splitlines())
    assert len(capture.spans) == len(capture.records) == FIRST + MORE
    assert objects < MORE / 2
    assert blocks < MORE / 2


def test_calls_without_a_collector_leave_no_more_than_what_waits_for_it_and_the_rest_is_told_of() -> None:
    port = free_port()
    with _start(f"http://127.0.0.1:{port}", "wait", OTEL_EXPORTER_OTLP_TIMEOUT="1", **SMALL_QUEUES) as program:
        assert program.stdin
        assert program.stdout
        objects, blocks = _grown([program.stdout.readline(), program.stdout.readline()])
        with Capture(port) as capture:
            program.stdin.write("\n")
            program.stdin.close()
            assert program.wait(60) == 0
    assert objects < MORE / 2
    assert blocks < MORE * 2
    lost = [metric for metric in capture.metrics if metric.name == signals.DROPPED.name][-1]
    kind = signals.DROPPED.labels[0].name
    counts = {values(point.attributes)[kind]: point.as_int for point in lost.sum.data_points}
    for delivered, name in ((capture.spans, "span"), (capture.records, "log")):
        assert counts[name] + len(delivered) == pytest.approx(FIRST + MORE, rel=0.01)


def test_the_benchmark_sees_objects_of_every_size() -> None:
    before = heap()
    small, large = [bytes(100) for _ in range(10_000)], [bytes(100_000) for _ in range(10)]
    held = sum(map(sys.getsizeof, (*small, *large, small, large)))
    assert heap() - before == pytest.approx(held, rel=0.1)
    assert held > 2e6


def test_what_is_remembered_of_a_call_is_small() -> None:
    remembered, calls = (RecentCalls(), Duplicates()), 500
    recent, duplicates = remembered
    tracemalloc.start()
    try:
        for number in range(calls):
            call, span = _call(number)
            recent.remember(span, OpenCall(span, call.attribution, ""))
            duplicates.counted_by(call, span, None)
        del call, span
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / calls < 1_600  # bytes


def _call(number: int) -> tuple[Call, ReadableSpan]:
    context = SpanContext(trace_id=2**127 + number, span_id=2**63 + number, is_remote=False)
    attribution = {name: f"{name}-{number}" for name in (signals.USER_HASH.name, signals.SESSION.name)}
    response_id = f"chatcmpl-{number:024}"
    call = Call(
        operation="chat",
        provider="openai",
        started=utc(number),
        duration=1.0,
        response_id=response_id,
        tokens=Tokens(input=number, output=number),
        attribution=attribution,
    )
    return call, ReadableSpan("chat", context, attributes={signals.RESPONSE_ID.name: response_id})
