"""What stays in memory after many calls, and with the Collector away: ``python -m instrumentation.benchmarks.memory``.

The same traffic without instrumentation, with OpenTelemetry's own, and with this package, each in a process of its
own: plain, streamed and asynchronous calls, each of another user and session, answered in memory, each with an id of
its own. Once with a Collector that takes everything, and once with none: as many calls as 100 a second make in an hour.
It takes about half an hour; ``--calls`` and ``--outage`` make it shorter.
"""

import argparse
import asyncio
import contextlib
import ctypes
import gc
import itertools
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import openai

from instrumentation.benchmarks.environments import ROOT
from instrumentation.benchmarks.load import instrument, providing, python_for

_VARIANTS: Final = ("none", "upstream", "ours")
_CALLS: Final = 100_000
_OUTAGE: Final = 360_000
_CHUNKS: Final = 8
_QUIET: Final = 6.0  # seconds: every export begins at most 5 after what it exports


@dataclass(frozen=True, slots=True)
class Size:
    """A process after so many calls; sizes are in MB.

    ``heap`` is what Python's objects take, ``resident`` what the process does: code, and room that is free again, too.
    ``drops`` is what the metric ``genai_observability.dropped`` says, by kind; only this package has one.
    """

    calls: int
    resident: float
    heap: float
    drops: dict[str, int]


def main() -> None:
    """Measure and print; in a worker, do one measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=_CALLS, help="with a Collector (default: %(default)s)")
    parser.add_argument("--outage", type=int, default=_OUTAGE, help="with none (default: %(default)s)")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        variant, calls = arguments.worker
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # they complain of a Collector that is away
        for size in sizes(variant, int(calls)):
            print(json.dumps(asdict(size)), flush=True)
        return
    from stack.native.ports import free_ports  # not above: workers lack what it needs

    port, nobody = free_ports(2)
    with providing(port):
        _show("with a Collector that takes everything", _VARIANTS, arguments.calls, port)
        _show("with no Collector", _VARIANTS[1:], arguments.outage, nobody)


def _show(described: str, variants: Iterable[str], calls: int, port: int) -> None:
    print(f"\n{described:40}{'calls':>9}{'resident, MB':>14}{'heap, MB':>10}  dropped")
    for variant in variants:
        for size in _run(variant, calls, f"http://127.0.0.1:{port}"):
            dropped = ", ".join(f"{count:,} {kind}s" for kind, count in size.drops.items())
            print(f"{variant:40}{size.calls:>9,}{size.resident:>14.1f}{size.heap:>10.1f}  {dropped}", flush=True)


def _run(variant: str, calls: int, collector: str) -> Iterator[Size]:
    worker = [python_for(variant), "-m", "instrumentation.benchmarks.memory", "--worker", variant, str(calls)]
    environment = os.environ | {"GENAI_OBSERVABILITY_USER_KEY": "benchmark", "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    with subprocess.Popen(worker, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield from (Size(**json.loads(line)) for line in process.stdout)
    if process.returncode:
        raise SystemExit(f"The measurement of {variant} failed with exit code {process.returncode}.")


def sizes(variant: str, calls: int) -> Iterator[Size]:
    """Make calls; the sizes after a tenth, a half and all of them."""
    instrument(variant)
    done = 0
    with traffic(attributed=variant == "ours") as call:
        for until in (calls // 10, calls // 2, calls):
            for number in range(done, until):
                call(number)
            done = until
            _rest()
            gc.collect()
            drops = _drops() if variant == "ours" else {}
            yield Size(done, _resident() / 1e6, heap() / 1e6, drops)


def _resident() -> int:
    """Bytes of memory that the process takes, by Linux: psutil is not in the environments."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _rest() -> None:
    """Wait until the threads in the background have nothing left to do."""
    busy = True
    while busy:
        before = os.times().user
        time.sleep(_QUIET)
        busy = os.times().user - before > _QUIET / 20


def _drops() -> dict[str, int]:
    """What was lost so far, as the next export of metrics will say."""
    import genai_observability

    recorder = genai_observability.instrument()._recorder  # noqa: SLF001 - what a Collector would be told
    return dict(recorder._losses) if recorder else {}  # type: ignore[arg-type]  # noqa: SLF001


@contextlib.contextmanager
def traffic(*, attributed: bool) -> Iterator[Callable[[int], None]]:
    """A function that makes one call: of ten, six plain ones, two streamed, one asynchronous and one that is both."""
    transport = httpx2.MockTransport(_Provider())
    client = openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=transport), max_retries=0)
    later = openai.AsyncOpenAI(api_key="none", http_client=httpx2.AsyncClient(transport=transport), max_retries=0)

    def call(number: int) -> None:
        kind = number % 10
        with _attribution(number) if attributed else contextlib.nullcontext():
            if kind < 6:
                client.chat.completions.create(**_QUESTION)
            elif kind < 8:
                for _ in client.chat.completions.create(**_QUESTION, stream=True):
                    pass
            else:
                runner.run(_later(later, stream=kind == 9))

    with asyncio.Runner() as runner, client:
        yield call
        runner.run(later.close())


_QUESTION: Final[dict[str, Any]] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "?"}]}


async def _later(client: openai.AsyncOpenAI, *, stream: bool) -> None:
    answer: Any = await client.chat.completions.create(**_QUESTION, stream=stream)
    if stream:
        async for _ in answer:
            pass


def _attribution(number: int) -> AbstractContextManager[None]:
    import genai_observability

    return genai_observability.attributed_to(
        feature=f"feature-{number % 10}",
        team=f"team-{number % 10 % 3}",
        tenant=f"tenant-{number % 20}",
        user=f"user-{number}@example.com",
        session=f"session-{number}",
        conversation=f"conversation-{number}",
        request=f"request-{number}",
        prompt_name="answer",
        prompt_version="3",
    )


class _Provider:
    """Answers every request at once, each with another id."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        streamed = b'"stream":true' in request.content
        number = b"%024d" % next(self._numbers)
        return httpx2.Response(
            200,
            content=(_STREAM if streamed else _ANSWER).replace(_ID, number),
            headers={
                "content-type": "text/event-stream" if streamed else "application/json",
                "x-request-id": f"req_{number.decode()}",
                "openai-processing-ms": "12",
                "x-ratelimit-limit-requests": "10000",
                "x-ratelimit-remaining-requests": "9999",
                "x-ratelimit-reset-requests": "6ms",
            },
        )


_ID: Final = b"0" * 24
_USAGE: Final = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
_MODEL: Final = {"id": f"chatcmpl-{_ID.decode()}", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
_CHOICE: Final = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 20}}
_ANSWER: Final = json.dumps({**_MODEL, "object": "chat.completion", "choices": [_CHOICE], "usage": _USAGE}).encode()
_CHUNK: Final = {**_MODEL, "object": "chat.completion.chunk"}
_WORD: Final = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
_EVENTS: Final = [{**_CHUNK, "choices": [_WORD]}] * _CHUNKS + [{**_CHUNK, "choices": [], "usage": _USAGE}]
_STREAM: Final = "".join(f"data: {event}\n\n" for event in [*map(json.dumps, _EVENTS), "[DONE]"]).encode()


def heap() -> int:
    """Bytes that Python's objects and buffers take, by its own allocator and by the C library's (glibc on Linux)."""
    with tempfile.TemporaryFile() as report:
        kept = os.dup(2)
        os.dup2(report.fileno(), 2)
        try:
            sys._debugmallocstats()  # noqa: SLF001 - there is no other way to its bytes
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        report.seek(0)
        found = re.search(rb"([\d,]+) *$", next(line for line in report if b"bytes in allocated blocks" in line))
    assert found
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _MallInfo
    large = library.mallinfo2()
    return int(found[1].replace(b",", b"")) + int(large.uordblks) + int(large.hblkhd)


_MALLOC_FIELDS: Final = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip


class _MallInfo(ctypes.Structure):
    """``struct mallinfo2``, see mallinfo(3)."""

    _fields_ = [(name, ctypes.c_size_t) for name in _MALLOC_FIELDS]


if __name__ == "__main__":
    main()
