"""This package with everything on, each call attributed."""

import os

import genai_observability
from genai_observability import _worker as worker
from genai_observability._export import exporters as _exporters

from instrumentation.benchmarks.dropping import DropLogs, DropMetrics, Dropped, DropSpans
from instrumentation.benchmarks.setups import Started, call_plain, call_streamed


def slow_down() -> None:
    """Have the worker look less often for what there is to do, where calls are slower than elsewhere."""
    worker._PAUSE = float(os.environ.get("BENCHMARK_PAUSE", worker._PAUSE))  # type: ignore[misc]  # noqa: SLF001


def start(marker: str) -> tuple[Started, Dropped]:
    """Instrument with its own providers, whose exporters are replaced."""
    slow_down()
    dropped = Dropped(marker)
    _exporters.span_exporter = lambda: DropSpans(dropped)
    _exporters.metric_exporter = lambda: DropMetrics(dropped)
    _exporters.log_exporter = lambda: DropLogs(dropped)
    handle = genai_observability.instrument(service_name="benchmark")
    attributed = genai_observability.attributed_to(feature="search", team="growth", user="alice", session="s-1")
    started = Started(
        flush=lambda: handle.force_flush(30), plain=attributed(call_plain), streamed=attributed(call_streamed)
    )
    return started, dropped
