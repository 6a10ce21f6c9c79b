"""The process of one variant: imports, starts and warms it up, then measures calls on demand.

Speaks JSON lines: first what it found about itself, then an answer for each order on standard input.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

_TICKS = 1e6  # microseconds
_WARM_UP = 30  # calls of each kind


def main() -> None:
    """Run as ``python -m instrumentation.benchmarks.worker SETUP [MODULE]``; MODULE is what an application imports."""
    setup, module, *_ = [*sys.argv[1:], ""]
    attempts = _refuse_network()
    times = [time.perf_counter()]
    import openai

    times.append(time.perf_counter())
    if module:
        importlib.import_module(module)
    times.append(time.perf_counter())
    from instrumentation.benchmarks import provider

    started, dropped = importlib.import_module(f"instrumentation.benchmarks.setups.{setup}").start(provider.MARKER)
    times.append(time.perf_counter())

    client = provider.client()
    calls = {"plain": started.plain, "streamed": started.streamed}
    for call in calls.values():
        for _ in range(_WARM_UP):
            call(client)
    started.flush()
    found: dict[str, Any] = {
        "openai": openai.__version__,
        "import": (times[2] - times[0]) * _TICKS,
        "start": (times[3] - times[0]) * _TICKS,
        "calls": len(calls) * _WARM_UP,
        "network": attempts,
    }
    if dropped:
        dropped.examining = False
        found |= {"spans": dropped.spans, "metrics": sorted(dropped.metrics), "logs": dropped.logs}
        found["content"] = dropped.content
    print(json.dumps(found), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        measured = _measure(partial(calls[order["call"]], client), started.flush, order["seconds"])
        print(json.dumps(measured), flush=True)


def _measure(call: Callable[[], None], flush: Callable[[], object], seconds: float) -> dict[str, float]:
    """Latency (median and 99th percentile) and CPU time of a call, in microseconds."""
    latencies: list[float] = []
    cpu, end = time.process_time(), time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        call()
        latencies.append(time.perf_counter() - began)
    flush()
    cpu = (time.process_time() - cpu) / len(latencies)
    latencies.sort()
    return {
        "latency": latencies[len(latencies) // 2] * _TICKS,
        "p99": latencies[int(len(latencies) * 0.99)] * _TICKS,
        "cpu": cpu * _TICKS,
    }


def _refuse_network() -> list[str]:
    """Let no one connect anywhere; returns the list of those who try."""
    import socket

    attempts: list[str] = []

    def refuse(*arguments: object) -> NoReturn:
        attempts.append(str(arguments[-1] if isinstance(arguments[0], socket.socket) else arguments[0]))
        raise OSError("no network in a benchmark")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = refuse  # type: ignore[assignment]
    return attempts


if __name__ == "__main__":
    main()
