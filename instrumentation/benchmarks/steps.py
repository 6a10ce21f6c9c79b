"""CPU time that attribution and steps take from the caller's thread.

.venv/bin/python -m instrumentation.benchmarks.steps
"""

import os
import threading
import time
import timeit
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import genai_observability

_NUMBER: Final = 1_000
_FOUND: Final = [(str(number), 1 / (number + 1)) for number in range(10)]


def attributed() -> None:
    """Four values, one of them a user."""
    with genai_observability.attributed_to(feature="search", team="growth", user="alice", session="s-1"):
        pass


def step() -> None:
    """One step."""
    with genai_observability.tool("lookup"):
        pass


def attributed_step() -> None:
    """One step with its attribution."""
    with genai_observability.attributed_to(feature="search", team="growth", user="alice", session="s-1"):
        step()


def retrieval() -> None:
    """One step with ten documents."""
    with genai_observability.retrieval("handbook") as found:
        found.documents(_FOUND)


def counted() -> None:
    """A hit of a cache, with all that is known of it."""
    genai_observability.cache("semantic").hit(similarity=0.97, age=30, saved_usd=0.002, saved_seconds=1.5)


def thread() -> None:
    """A thread, for a request."""
    worker = threading.Thread(target=int)
    worker.start()
    worker.join()


def _print(name: str, function: Callable[[], object], *, setup: Callable[[], object] = int) -> None:
    runs = timeit.repeat(function, setup, timer=time.thread_time, number=_NUMBER, repeat=15)
    print(f"{name:32} {min(runs) / _NUMBER * 1e6:6.1f} µs")  # the run that others disturbed least


def main() -> None:
    """Measure and print."""
    os.environ |= dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")
    os.environ["GENAI_OBSERVABILITY_USER_KEY"] = "benchmark"  # none is to be made and kept for this
    with ThreadPoolExecutor(1) as pool:
        submit = lambda: pool.submit(int).result()  # noqa: E731
        _print("step, without instrument()", step)
        _print("thread, without instrument()", thread)
        _print("pool, without instrument()", submit)
        handle = genai_observability.instrument(service_name="benchmark")
        _print("attributed_to", attributed)
        for name, function in {
            "step": step,
            "attributed_to and step": attributed_step,
            "retrieval of ten documents": retrieval,
            "cache hit": counted,
        }.items():
            _print(name, function, setup=handle.force_flush)
        with genai_observability.attributed_to(feature="search"):
            _print("thread", thread)
            _print("pool", submit)
        handle.shutdown()


if __name__ == "__main__":
    main()
