"""Streams read elsewhere than where they began: no span leaks, none is left current, nothing is complained of."""

import asyncio
import contextvars
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import genai_observability
import openai
import pytest
from genai_observability import signals
from opentelemetry import trace

from instrumentation.tests import scripts
from instrumentation.tests.conversations import MODEL, messages
from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.programs import CLIENT, INSTRUMENT, Run
from instrumentation.tests.recording import Recording
from instrumentation.tests.wire import scripted

STREAMS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda client: client.chat.completions.create(model=MODEL, messages=messages("greet me"), stream=True),
    "responses": lambda client: client.responses.create(model=MODEL, input="greet me", stream=True),
    "images": lambda client: client.images.generate(model="gpt-image-1", prompt="?", stream=True),
    "completions": lambda client: client.completions.create(model="gpt-3.5-turbo-instruct", prompt="?", stream=True),
}
ANSWERS = {
    "/v1/chat/completions": scripts.as_events(
        scripts.chunk(), scripts.chunk(), scripts.chunk(choices=[{"index": 0, "finish_reason": "stop", "delta": {}}])
    ),
    "/v1/responses": scripts.as_events(
        {"type": "response.created", "response": scripts.response(status="in_progress"), "sequence_number": 0},
        {"type": "response.output_text.delta", "delta": "Yes.", "sequence_number": 1},
        {"type": "response.completed", "response": scripts.response(), "sequence_number": 2},
    ),
    "/v1/images/generations": scripts.IMAGE_EVENTS,
    "/v1/completions": scripts.COMPLETION_EVENTS,
}

each_stream = pytest.mark.parametrize("begin", STREAMS.values(), ids=STREAMS.keys())


@pytest.fixture
def url() -> Iterator[str]:
    with scripted(ANSWERS) as url:
        yield f"{url}/v1"


@pytest.fixture
def client(url: str, recording: Recording) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="test", max_retries=0) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_is_left(caplog: pytest.LogCaptureFixture, recording: Recording) -> Iterator[None]:
    with caplog.at_level(logging.WARNING):
        yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == []
    assert not trace.get_current_span().get_span_context().is_valid
    recorder = recording.handle._recorder
    assert recorder is None or not recorder._open_calls.by_model()


def ending(recording: Recording) -> tuple[str, str]:
    record = recording.record
    return record[signals.OUTCOME.name], record[signals.STREAM_END.name]


def beginning(client: openai.OpenAI, begin: Callable[[Any], Any]) -> Any:
    with genai_observability.attributed_to(feature="guide"):
        return begin(client)


@each_stream
def test_a_stream_may_be_read_in_another_thread(
    client: openai.OpenAI, recording: Recording, begin: Callable[[Any], Any]
) -> None:
    stream = beginning(client, begin)
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    reader.join()
    assert ending(recording) == ("success", "complete")
    assert recording.record[signals.FEATURE.name] == "guide"


@each_stream
def test_a_stream_may_be_begun_and_read_in_copies_of_the_context(
    client: openai.OpenAI, recording: Recording, begin: Callable[[Any], Any]
) -> None:
    stream = contextvars.copy_context().run(beginning, client, begin)
    contextvars.copy_context().run(next, stream)
    contextvars.copy_context().run(list, stream)
    assert ending(recording) == ("success", "complete")
    assert recording.record[signals.FEATURE.name] == "guide"


@each_stream
def test_a_stream_that_a_generator_reads_may_be_left_with_it(
    client: openai.OpenAI, recording: Recording, begin: Callable[[Any], Any]
) -> None:
    def words() -> Generator[Any, None, None]:
        with beginning(client, begin) as stream:
            yield from stream

    generator = words()
    next(generator)
    assert not trace.get_current_span().get_span_context().is_valid  # between two chunks the application is at work
    generator.close()
    assert ending(recording)[0] == "cancelled"


@each_stream
def test_a_stream_that_nobody_reads_is_unread(
    client: openai.OpenAI, recording: Recording, begin: Callable[[Any], Any]
) -> None:
    stream = beginning(client, begin)
    stream.response.close()
    del stream
    gc.collect()
    assert ending(recording) == ("cancelled", "unread")


@each_stream
def test_a_span_of_the_application_stays_current_around_a_stream(
    client: openai.OpenAI, recording: Recording, begin: Callable[[Any], Any]
) -> None:
    tracer = recording.tracer_provider.get_tracer("shop")
    with tracer.start_as_current_span("request") as request:
        for _chunk in begin(client):
            assert trace.get_current_span() is request
    call, _ = recording.spans
    assert call.parent
    assert call.parent.span_id == request.get_span_context().span_id


@each_stream
def test_an_async_stream_may_be_read_by_another_task_and_left_in_an_async_generator(
    url: str, recording: Recording, begin: Callable[[Any], Any]
) -> None:
    async def read_all() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="test", max_retries=0) as client:

            async def words() -> AsyncIterator[Any]:
                stream = await begin(client)
                async with stream:
                    async for chunk in stream:
                        yield chunk

            async def drain(stream: Any) -> None:
                async for _ in stream:
                    pass

            await asyncio.create_task(drain(await begin(client)))
            left = words()
            await anext(left)
            await asyncio.create_task(left.aclose())  # type: ignore[attr-defined]  # in a context of its own

    asyncio.run(read_all())
    assert sorted(record[signals.OUTCOME.name] for record in recording.records) == ["cancelled", "success"]


@each_stream
def test_an_async_generator_that_the_event_loop_ends_leaves_nothing(
    url: str, recording: Recording, begin: Callable[[Any], Any]
) -> None:
    async def leave() -> None:
        client = openai.AsyncOpenAI(base_url=url, api_key="test", max_retries=0)

        async def words() -> AsyncIterator[Any]:
            async with client, await begin(client) as stream:
                async for chunk in stream:
                    yield chunk

        async for _ in words():
            break

    asyncio.run(leave())
    assert ending(recording)[0] == "cancelled"


def test_many_streams_at_once_are_told_apart(url: str, recording: Recording) -> None:
    async def read(client: openai.AsyncOpenAI, number: int) -> None:
        with genai_observability.attributed_to(feature=f"feature-{number}"):
            stream = await STREAMS["chat"](client)
        async for _ in stream:
            await asyncio.sleep(0)

    async def read_all() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="test", max_retries=0) as client:
            await asyncio.gather(*(read(client, number) for number in range(50)))

    asyncio.run(read_all())
    features = [record[signals.FEATURE.name] for record in recording.records]
    assert sorted(features) == sorted(f"feature-{number}" for number in range(50))


@pytest.mark.parametrize(
    ("kept", "end", "code"),
    [("in a variable", "", 0), ("by a generator", "sys.exit(3)", 3), ("in a cycle", "raise RuntimeError('boom')", 1)],
)
def test_a_program_that_ends_in_the_middle_of_a_stream_delivers_it(
    run: Run, capture: Capture, kept: str, end: str, code: int
) -> None:
    keep = {
        "in a variable": "next(stream); next(stream)",
        "by a generator": "words = (word for word in stream); next(words); next(words); del stream",
        "in a cycle": "next(stream); next(stream); cycle = [stream]; cycle.append(cycle); del cycle, stream",
    }[kept]
    done = run(
        sys.executable,
        "app.py",
        program=f"""{CLIENT}
{INSTRUMENT}
client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="test", max_retries=0)
question = [{{"role": "user", "content": "Why?"}}]
stream = client.chat.completions.create(model="gpt-4o-mini", messages=question, stream=True)
{keep}
{end}
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert done.returncode == code
    assert done.stderr.splitlines()[-1:] == (["RuntimeError: boom"] if code == 1 else [])
    (record,) = [values(record.attributes) for record in capture.records]
    assert (record[signals.OUTCOME.name], record[signals.STREAM_END.name]) == ("cancelled", "abandoned")
    assert len(capture.spans) == 1
