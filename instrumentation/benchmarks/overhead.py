"""What instrumentation adds to a model call: ``python overhead.py``, or ``make bench`` for all benchmarks.

Each variant runs in a process of its own and they take turns, round by round, so that a machine that gets slower or
faster meanwhile does so for all of them. The provider is an in-memory transport that answers at once; exporters drop
what they get. Latency is what the caller waits for, CPU time is that of the whole process, background threads included.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

VARIANTS: Final = {
    "none": "no instrumentation",
    "upstream": "opentelemetry-instrumentation-genai-openai",
    "ours": "genai-observability, attribution set",
}
CALLS: Final = {"plain": "a plain call", "streamed": "a streamed call of 200 chunks"}
_CHUNKS: Final = 200


def main() -> int:
    """Measure and print a table; in a worker, run rounds on demand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=12, help="turns each variant takes (default: 12)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one turn in seconds (default: 0.5)")
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.seconds <= 0:
        parser.error("--rounds must be at least 1 and --seconds above 0")
    if arguments.worker:
        _work(arguments.worker)
    else:
        _compare(arguments.rounds, arguments.seconds)
    return 0


def _compare(rounds: int, seconds: float) -> None:
    workers = {variant: _Worker(variant) for variant in VARIANTS}
    try:
        for call, described in CALLS.items():
            turns: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
            for _ in range(rounds):
                for variant, worker in workers.items():
                    turns[variant].append(worker.run(call, seconds))
            _print(described, turns)
    finally:
        for worker in workers.values():
            worker.end()


def _print(described: str, turns: dict[str, list[dict[str, float]]]) -> None:
    """A row a variant; what it adds is the median over the rounds of the difference within one round."""
    print(f"\n{described}; microseconds, medians of {len(turns['none'])} interleaved rounds")
    print(f"  {'':<44}{'latency':>9}{'added':>9}{'p99':>9}{'CPU':>9}{'added':>9}")
    for variant, name in VARIANTS.items():
        mine, base = turns[variant], turns["none"]
        columns = [
            statistics.median(turn["latency"] for turn in mine),
            statistics.median(turn["latency"] - other["latency"] for turn, other in zip(mine, base, strict=True)),
            statistics.median(turn["p99"] for turn in mine),
            statistics.median(turn["cpu"] for turn in mine),
            statistics.median(turn["cpu"] - other["cpu"] for turn, other in zip(mine, base, strict=True)),
        ]
        print(f"  {name:<44}" + "".join(f"{value:>9.0f}" for value in columns))


class _Worker:
    """The process of one variant."""

    def __init__(self, variant: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", variant],
            env=os.environ | {"GENAI_OBSERVABILITY_USER_KEY": "benchmark"},  # none is to be made and kept for this
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, call: str, seconds: float) -> dict[str, float]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"call": call, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("A benchmark process ended early; its error is above.")
        measured: dict[str, float] = json.loads(answer)
        return measured

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


def _work(variant: str) -> None:
    client = _client()
    attributed = _instrument(variant)
    calls = {"plain": lambda: _plain(client), "streamed": lambda: _streamed(client)}
    for call in calls.values():
        _measure(attributed(call), 0.3)  # warm
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_measure(attributed(calls[order["call"]]), order["seconds"])), flush=True)


def _measure(call: Callable[[], None], seconds: float) -> dict[str, float]:
    """Latency (median and 99th percentile) and CPU time of a call, in microseconds."""
    latencies: list[float] = []
    cpu, end = time.process_time(), time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        call()
        latencies.append(time.perf_counter() - started)
    time.sleep(0.3)  # the background work of the last calls belongs to them
    cpu = (time.process_time() - cpu) / len(latencies)
    latencies.sort()
    return {
        "latency": statistics.median(latencies) * 1e6,
        "p99": latencies[int(len(latencies) * 0.99)] * 1e6,
        "cpu": cpu * 1e6,
    }


def _instrument(variant: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Set a variant up; returns what wraps its calls."""
    if variant == "upstream":
        _instrument_upstream()
    if variant == "ours":
        import genai_observability
        from genai_observability import _exporters

        _exporters.span_exporter = _drop_spans()
        _exporters.metric_exporter = _drop_metrics()
        _exporters.log_exporter = _drop_logs()
        if not genai_observability.instrument(service_name="benchmark").recording:
            raise SystemExit("Nothing is recorded: there is nothing to measure.")
        return genai_observability.attributed_to(feature="search", team="growth", user="alice", session="s-1")
    return lambda call: call


def _instrument_upstream() -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(_drop_spans()()))
    reader = PeriodicExportingMetricReader(_drop_metrics()(), export_interval_millis=5000)
    OpenAIInstrumentor().instrument(tracer_provider=tracer_provider, meter_provider=MeterProvider([reader]))


def _drop_spans() -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Drop(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002
            return SpanExportResult.SUCCESS

    return Drop


def _drop_metrics() -> Any:
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

    class Drop(MetricExporter):
        def export(self, metrics_data: Any, timeout_millis: float = 0, **kwargs: Any) -> MetricExportResult:  # noqa: ARG002
            return MetricExportResult.SUCCESS

        def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002
            return True

        def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None: ...

    return Drop


def _drop_logs() -> Any:
    from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

    class Drop(LogRecordExporter):
        def export(self, batch: Any) -> LogRecordExportResult:  # noqa: ARG002
            return LogRecordExportResult.SUCCESS

        def force_flush(self, timeout_millis: int = 0) -> bool:  # noqa: ARG002
            return True

        def shutdown(self) -> None: ...

    return Drop


def _client() -> Any:
    import httpx2 as httpx
    import openai

    def answer(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("stream"):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=_STREAM)
        return httpx.Response(200, headers={"content-type": "application/json"}, content=_ANSWER)

    transport = httpx.MockTransport(answer)
    return openai.OpenAI(api_key="benchmark", http_client=httpx.Client(transport=transport), max_retries=0)


def _plain(client: Any) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "?"}])


def _streamed(client: Any) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "?"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for _chunk in stream:
        pass


_USAGE: Final = {
    "prompt_tokens": 1000,
    "completion_tokens": _CHUNKS,
    "total_tokens": 1000 + _CHUNKS,
    "prompt_tokens_details": {"cached_tokens": 512},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_MODEL: Final = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
_ANSWER: Final = json.dumps(
    _MODEL
    | {
        "object": "chat.completion",
        "usage": _USAGE,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 200}}],
    }
).encode()


def _events() -> Iterator[str]:
    chunk = _MODEL | {"object": "chat.completion.chunk"}
    for number in range(_CHUNKS):
        reason = "stop" if number == _CHUNKS - 1 else None
        yield json.dumps(chunk | {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": reason}]})
    yield json.dumps(chunk | {"choices": [], "usage": _USAGE})
    yield "[DONE]"


_STREAM: Final = "".join(f"data: {event}\n\n" for event in _events()).encode()

if __name__ == "__main__":
    sys.exit(main())
