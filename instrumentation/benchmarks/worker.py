"""The process of one variant: imports, starts and warms it up, then measures calls on demand.

Speaks JSON lines: first how long it took to start, then an answer for each order on standard input.
"""

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NoReturn

_TICKS = 1e6  # microseconds
_WARM_UP = 30  # calls of each kind


def main() -> None:
    """Run as ``python -m instrumentation.benchmarks.worker SETUP [MODULE]``; MODULE is what an application imports."""
    setup, module, *_ = [*sys.argv[1:], ""]
    attempts = _refuse_network()
    times = [time.process_time()]
    import openai

    if module:
        importlib.import_module(module)
    times.append(time.process_time())
    from instrumentation.benchmarks import provider

    started, dropped = importlib.import_module(f"instrumentation.benchmarks.setups.{setup}").start(provider.MARKER)
    times.append(time.process_time())
    _say({"openai": openai.__version__, "import": _since(times[0], times[1]), "start": _since(times[0], times[2])})

    client = provider.client()
    calls = {"plain": partial(started.plain, client), "streamed": partial(started.streamed, client)}
    for line in sys.stdin:
        order = json.loads(line)
        if order["call"] == "check":
            _say(_check(calls.values(), started, dropped) | {"network": attempts})
        elif order["call"] == "repeat":
            _say(_repeat(calls[order["kind"]], started, dropped, order["number"]))
        else:
            _say(_measure(calls[order["call"]], started, dropped, order["seconds"]))


def _check(calls: Iterable[Callable[[], None]], started: Any, dropped: Any) -> dict[str, Any]:
    """Make some calls of each kind, which also warms up, and tell what was recorded of them."""
    number = 0
    for call in calls:
        for _ in range(_WARM_UP):
            call()
            number += 1
    started.flush()
    if dropped is None:
        return {"calls": number}
    dropped.examining = False
    return {
        "calls": number,
        "spans": dropped.spans,
        "logs": dropped.logs,
        "metrics": len(dropped.metrics),
        "content": dropped.content,
    }


def _repeat(call: Callable[[], None], started: Any, dropped: Any, number: int) -> dict[str, float]:
    """Make so many calls, and wait for what they leave to other threads; a call's recorded spans."""
    # Its work would be counted for a thread that comes by chance.
    gc.collect()
    gc.disable()
    spans = dropped.spans if dropped else 0
    for _ in range(number):
        call()
    started.flush()
    return {"spans": (dropped.spans - spans) / number if dropped else 0}


def _measure(call: Callable[[], None], started: Any, dropped: Any, seconds: float) -> dict[str, float]:
    """Latency (median and 99th percentile) and CPU times of a call, in microseconds, and its recorded spans."""
    latencies: list[float] = []
    spans = dropped.spans if dropped else 0
    thread, cpu, end = time.thread_time(), time.process_time(), time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        call()
        latencies.append(time.perf_counter() - began)
    thread = time.thread_time() - thread
    started.flush()  # the work that is left to other threads belongs to the calls
    cpu = time.process_time() - cpu
    latencies.sort()
    return {
        "latency": latencies[len(latencies) // 2] * _TICKS,
        "p99": latencies[int(len(latencies) * 0.99)] * _TICKS,
        "thread": thread / len(latencies) * _TICKS,
        "cpu": cpu / len(latencies) * _TICKS,
        "spans": (dropped.spans - spans) / len(latencies) if dropped else 0,
    }


def _since(began: float, ended: float) -> float:
    return (ended - began) * _TICKS


def _say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


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
