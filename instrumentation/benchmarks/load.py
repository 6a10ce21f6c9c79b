"""Many calls at a time: ``python -m instrumentation.benchmarks.load``.

Throughput of 16 and of 64 threads, and of 1,000 streams at a time in one event loop, against a provider that waits
50 ms: without instrumentation, with OpenTelemetry's own wrapper that records nothing, with its spans, with its spans
and metrics, and with this package. Each in a process of its own, in turns. 64 threads and 1,000 streams ask more of one
Python process than it can do at all: there the ratio is that of the processor time of a call with and without
instrumentation. It takes about twelve minutes; ``--rounds`` and ``--seconds`` make it shorter.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx2
import openai

from instrumentation.benchmarks.environments import ROOT, python_of
from stack.settings import Settings

VARIANTS: Final = ("none", "wrapper", "spans", "upstream", "ours")
"""``wrapper`` is OpenTelemetry's own without a provider to record with, ``spans`` the same with spans alone."""
_WAIT: Final = 0.05
_CHUNKS: Final = 200
_ROUNDS: Final = 3
_SECONDS: Final = 8.0
_REST: Final = 2  # seconds: an application has long been running, and what starts in the background has started
_QUESTION: Final[Any] = [{"role": "user", "content": "?"}]
_ANSWER: Final = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 50}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 50, "total_tokens": 59},
    }
).encode()  # fmt: skip


def main() -> None:
    """Measure and print; in a worker, do one measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=WORK, help="one of the three")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="turns of each variant (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="of the threads' work (default: %(default)s)")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        what, variant = arguments.worker
        instrument(variant)
        time.sleep(_REST)
        print(json.dumps(_measured(lambda: WORK[what](arguments.seconds))))
        return
    from stack.native.ports import free_ports  # not above: workers lack what it needs

    (port,) = free_ports(1)
    os.environ["BENCHMARK_PROVIDER"] = f"http://127.0.0.1:{port}"
    with providing(port):
        for what in [arguments.only] if arguments.only else WORK:
            _compare(what, arguments.rounds, arguments.seconds)


def python_for(variant: str) -> str:
    """The interpreter of the environment that a variant is in, beside the same version of the client."""
    return str(python_of("ours" if variant == "ours" else "upstream", Settings.load().state / "environments"))


@contextmanager
def providing(port: int) -> Iterator[None]:
    """Have a provider listen inside the block, in a process of its own; it also takes what is exported."""
    provider = multiprocessing.get_context("spawn").Process(target=provide, args=(port,), daemon=True)
    provider.start()
    try:
        _wait_for(port)
        yield
    finally:
        provider.terminate()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def _compare(what: str, rounds: int, seconds: float) -> None:
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant, turns in found.items():
            turns.append(_run(what, variant, seconds))
    print(f"\n{what}, medians of {rounds} turns")
    print("  calls a second, and of those without; CPU time of a call in ms, and what of it was in the background")
    base = statistics.median(turn["rate"] for turn in found["none"])
    for variant, turns in found.items():
        rate, cpu, others = (statistics.median(turn[name] for turn in turns) for name in ("rate", "cpu", "others"))
        print(f"  {variant:<10}{rate:>8.0f}{rate / base:>8.0%}{cpu:>10.3f}{others:>8.3f}", flush=True)


def _measured(work: Callable[[], float]) -> dict[str, float]:
    """Calls a second, and the CPU time of one in milliseconds: of the process, and of its threads in the background."""
    began, cpu, background = time.perf_counter(), time.process_time(), _background()
    rate = work()
    calls = rate * (time.perf_counter() - began)
    used, others = time.process_time() - cpu, _background() - background
    return {"rate": rate, "cpu": used / calls * 1e3, "others": others / calls * 1e3}


def _background() -> float:
    """CPU seconds of all threads but the main one, which are those in the background where no others run."""
    idents = [thread.ident for thread in threading.enumerate() if thread is not threading.main_thread()]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(ident)) for ident in idents if ident is not None)


def _run(what: str, variant: str, seconds: float) -> dict[str, float]:
    module = ["-m", "instrumentation.benchmarks.load", "--seconds", str(seconds)]
    worker = [python_for(variant), *module, "--worker", what, variant]
    collector = os.environ["BENCHMARK_PROVIDER"]  # it takes anything
    environment = os.environ | {"GENAI_OBSERVABILITY_USER_KEY": "benchmark", "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    done = subprocess.run(worker, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def instrument(variant: str) -> None:
    """Switch the instrumentation on, exporting to where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says."""
    if variant == "none":
        return
    if variant == "ours":
        import genai_observability

        genai_observability.instrument(service_name="benchmark")
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import NoOpTracerProvider

    provider: Any = NoOpTracerProvider()
    if variant != "wrapper":
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meter_provider = None if variant == "upstream" else NoOpMeterProvider()
    OpenAIInstrumentor().instrument(tracer_provider=provider, meter_provider=meter_provider)


def _threads(count: int, seconds: float) -> float:
    limits = httpx2.Limits(max_connections=count, max_keepalive_connections=count)
    client = openai.OpenAI(base_url=_base(), api_key="none", http_client=httpx2.Client(limits=limits), max_retries=0)
    done = [0] * count
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        while time.perf_counter() < end:
            client.chat.completions.create(model="gpt-4o-mini", messages=_QUESTION)
            done[number] += 1

    began = time.perf_counter()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done) / (time.perf_counter() - began)


def _streams(count: int) -> float:
    async def read(client: openai.AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=_QUESTION, stream=True)
        async for _ in stream:
            pass

    async def all_of_them() -> float:
        limits = httpx2.Limits(max_connections=count, max_keepalive_connections=count)
        transport = httpx2.AsyncClient(limits=limits, timeout=300)
        async with openai.AsyncOpenAI(base_url=_base(), api_key="none", http_client=transport, max_retries=0) as client:
            await read(client)
            began = time.perf_counter()
            await asyncio.gather(*(read(client) for _ in range(count)))
            return count / (time.perf_counter() - began)

    return asyncio.run(all_of_them())


WORK: Final[dict[str, Callable[[float], float]]] = {
    "16 threads": lambda seconds: _threads(16, seconds),
    "64 threads": lambda seconds: _threads(64, seconds),
    "1,000 streams at a time": lambda _: _streams(1_000),
}


def _base() -> str:
    return os.environ["BENCHMARK_PROVIDER"] + "/v1"


def provide(port: int) -> None:
    """A provider that costs next to nothing: it waits, and answers every request alike."""
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    events = [
        json.dumps(chunk | {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]})
        for _ in range(_CHUNKS)
    ]
    stream = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()

    def framed(body: bytes, kind: str) -> bytes:
        return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

    plain, streamed = framed(_ANSWER, "application/json"), framed(stream, "text/event-stream")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            body = await reader.readexactly(length)
            if b"/chat/completions" in head:
                await asyncio.sleep(_WAIT)
            writer.write(streamed if b'"stream":true' in body else plain)

    async def listen() -> None:
        async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(quietly, "127.0.0.1", port, backlog=2_000)
        await server.serve_forever()

    asyncio.run(listen())


if __name__ == "__main__":
    main()
