"""CPU time of encoding a call's span and its record for the Collector, ours and the SDK's.

.venv/bin/python -m instrumentation.benchmarks.encoding
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import genai_observability
from genai_observability._export import exporters as _exporters
from genai_observability._export import otlp
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from instrumentation.benchmarks import provider

_CALLS: Final = 512  # as many as the SDK sends at a time


def main() -> None:
    """Make calls, and encode what was recorded of them, in each of the two ways."""
    spans = InMemorySpanExporter()
    records = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    _exporters.span_exporter, _exporters.log_exporter = lambda: spans, lambda: records
    _exporters.metric_exporter = lambda: None
    handle = genai_observability.instrument(service_name="benchmark")
    client = provider.client()
    with genai_observability.attributed_to(feature="search", team="growth", user="alice", session="s-1"):
        for _ in range(_CALLS):
            client.chat.completions.create(**provider.PLAIN)
    handle.force_flush(30)
    _compare("span", spans.get_finished_spans(), otlp.spans, encode_spans)
    _compare("record", records.get_finished_logs(), otlp.log_records, encode_logs)


def _compare(what: str, batch: Sequence[Any], ours: Callable[..., bytes], sdk: Callable[..., Any]) -> None:
    here = _microseconds(lambda: ours(batch), len(batch))
    there = _microseconds(lambda: sdk(batch).SerializeToString(), len(batch))
    print(f"{what:8}{here:6.1f} µs   the SDK's {there:6.1f} µs")


def _microseconds(encode: Callable[[], object], count: int) -> float:
    times = []
    for _ in range(20):
        began = time.thread_time()
        encode()
        times.append(time.thread_time() - began)
    return min(times) / count * 1e6  # the run that others disturbed least


if __name__ == "__main__":
    main()
