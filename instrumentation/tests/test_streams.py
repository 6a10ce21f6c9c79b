"""Streams: usage that nobody asked for, the first token, how a stream ended, and chunks exactly as without us."""

import asyncio
import gc
from typing import Any

import openai
import pytest
from genai_observability import signals

from instrumentation.tests import conversations, scripts
from instrumentation.tests.recording import QUESTION, Recording
from instrumentation.tests.wire import scripted

VARIABLE = "GENAI_OBSERVABILITY_STREAM_USAGE"


@pytest.fixture
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "always")


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True, **more)


def seen(chunk: Any) -> dict[str, Any]:
    """All that an application can see of a chunk, but what is new in each answer."""
    return {**chunk.to_dict(), "id": "", "created": 0, "fields": sorted(chunk.model_fields_set)}


@pytest.mark.usefixtures("_always")
def test_a_stream_reports_usage_that_the_application_did_not_ask_for_and_does_not_see(
    provider: str, recording: Recording
) -> None:
    with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
        watched = [seen(chunk) for chunk in ask(client, seed=7)]
        record = recording.record
        recording.handle.shutdown()
        alone = [seen(chunk) for chunk in ask(client, seed=7)]
    assert all("usage" not in chunk["fields"] for chunk in alone)
    assert [chunk["fields"] for chunk in watched] == [alone[0]["fields"]] * len(watched)
    assert all(chunk["choices"] for chunk in watched)
    assert record[signals.INPUT_TOKENS.name] > 0
    assert record[signals.OUTPUT_TOKENS.name] > 0
    assert record[signals.COST.name] > 0
    assert signals.UNPRICED.name not in record


@pytest.mark.usefixtures("_always")
def test_an_async_stream_reports_it_too(provider: str, recording: Recording) -> None:
    async def read() -> list[dict[str, Any]]:
        async with openai.AsyncOpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            stream = await client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True)
            return [seen(chunk) async for chunk in stream]

    chunks = asyncio.run(read())
    assert all(chunk["choices"] and "usage" not in chunk["fields"] for chunk in chunks)
    assert recording.record[signals.COST.name] > 0


@pytest.mark.usefixtures("_always")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
def test_streamed_sound_costs_what_the_same_answer_does_that_is_not_streamed(*, asynchronous: bool) -> None:
    usage = {
        "prompt_tokens": 1000,
        "prompt_tokens_details": {"audio_tokens": 800, "cached_tokens": 0},
        "completion_tokens": 500,
        "completion_tokens_details": {"audio_tokens": 400, "reasoning_tokens": 0},
        "total_tokens": 1500,
    }
    model = {"model": "gpt-audio"}
    streamed = scripts.as_events(scripts.chunk(**model), scripts.chunk(**model, choices=[], usage=usage))
    answers = (scripts.as_json(scripts.chat(**model, usage=usage)), streamed)
    talks = (conversations.chat, conversations.chat_streamed_without_usage)
    recording = Recording()
    try:
        for talk, answer in zip(talks, answers, strict=True):
            with scripted({"/v1/chat/completions": answer}) as provider:
                conversations.converse(talk, provider, asynchronous=asynchronous)
        at_once, in_pieces = recording.records
    finally:
        recording.close()
    assert at_once[signals.COST.name] == in_pieces[signals.COST.name]
    # gpt-audio: text at $2.50 and $10 a million tokens, sound at $32 and $64
    assert at_once[signals.COST.name] == pytest.approx((200 * 2.5 + 800 * 32 + 100 * 10 + 400 * 64) / 1e6)
    assert in_pieces[signals.AUDIO_INPUT_TOKENS.name] == 800
    assert in_pieces[signals.AUDIO_OUTPUT_TOKENS.name] == 400


@pytest.mark.usefixtures("_always")
def test_usage_that_was_asked_for_here_is_kept_from_an_application_that_reads_on_after_shutdown(
    client: openai.OpenAI, recording: Recording
) -> None:
    begun, unread = ask(client), ask(client)
    chunks = [next(begun)]
    recording.handle.shutdown()
    chunks += [*begun, *unread]
    assert all(chunk.choices and "usage" not in chunk.model_fields_set for chunk in chunks)


def test_an_application_that_asks_for_usage_sees_it(client: openai.OpenAI, recording: Recording) -> None:
    *_, last = ask(client, stream_options={"include_usage": True})
    assert last.choices == []
    assert recording.record[signals.OUTPUT_TOKENS.name] == last.usage.completion_tokens


@pytest.mark.usefixtures("_always")
def test_an_application_that_declines_usage_is_not_asked_again(client: openai.OpenAI, recording: Recording) -> None:
    for _ in ask(client, stream_options={"include_usage": False}):
        pass
    assert signals.OUTPUT_TOKENS.name not in recording.record


@pytest.mark.usefixtures("_always")
def test_an_application_that_reads_the_bytes_of_an_answer_gets_those_that_it_asked_for(
    client: openai.OpenAI, recording: Recording
) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="gpt-4o-mini", messages=QUESTION, stream=True
    ) as answer:
        text = answer.read().decode()
    assert '"usage"' not in text
    assert recording.record[signals.OUTCOME.name] == "success"


def test_a_server_that_is_not_known_is_not_asked_for_what_it_may_not_know(
    client: openai.OpenAI, recording: Recording
) -> None:
    for _ in ask(client):
        pass
    record = recording.record
    assert record[signals.UNPRICED.name] == "no_usage"
    assert signals.COST.name not in record


def test_a_stream_without_usage_has_an_estimate_that_is_in_no_other_figure(
    client: openai.OpenAI, recording: Recording
) -> None:
    written = sum(1 for chunk in ask(client) if chunk.choices and chunk.choices[0].delta.content)
    record = recording.record
    assert written <= record[signals.ESTIMATED_OUTPUT.name] <= written + 1
    assert 0 < record[signals.ESTIMATED_INPUT.name] < 100
    assert record[signals.ESTIMATED_COST.name] > 0
    assert recording.points(signals.CALL_COST.name) == []
    assert recording.points(signals.CALL_TOKENS.name) == []
    (estimated,) = recording.points(signals.CALL_ESTIMATED_COST.name)
    assert estimated.value == pytest.approx(record[signals.ESTIMATED_COST.name])


def test_the_first_token_is_not_the_first_chunk_which_only_names_the_role(
    client: openai.OpenAI, recording: Recording
) -> None:
    chunks = list(ask(client))
    assert not chunks[0].choices[0].delta.content
    record = recording.record
    (span,) = recording.spans
    assert span.attributes
    first_chunk = span.attributes[signals.TIME_TO_FIRST_CHUNK.name]
    assert isinstance(first_chunk, float)
    assert first_chunk < record[signals.TIME_TO_FIRST_TOKEN.name] < record[signals.DURATION.name]


def test_the_first_token_of_a_streamed_response_is_its_first_delta(client: openai.OpenAI, recording: Recording) -> None:
    kinds = [event.type for event in client.responses.create(model="gpt-4o-mini", input="?", stream=True)]
    assert kinds[0] == "response.created"
    record = recording.record
    assert 0 < record[signals.TIME_TO_FIRST_TOKEN.name] < record[signals.DURATION.name]
    assert record[signals.TIME_PER_TOKEN.name] > 0


def test_a_stream_that_is_read_to_its_end_is_complete(client: openai.OpenAI, recording: Recording) -> None:
    for _ in ask(client):
        pass
    assert recording.record[signals.STREAM_END.name] == "complete"


@pytest.mark.parametrize(("read", "end"), [(0, "unread"), (1, "abandoned"), (3, "abandoned")])
@pytest.mark.parametrize("closed", [True, False])
def test_a_stream_that_is_left_says_whether_any_of_it_was_read(
    client: openai.OpenAI, recording: Recording, *, read: int, end: str, closed: bool
) -> None:
    stream = ask(client)
    for _ in range(read):
        next(stream)
    if closed:
        stream.close()
    else:
        stream.response.close()
    del stream
    gc.collect()
    record = recording.record
    assert (record[signals.STREAM_END.name], record[signals.OUTCOME.name]) == (end, "cancelled")
    assert record[signals.ESTIMATED_OUTPUT.name] == max(read - 1, 0)


@pytest.mark.parametrize("kind", ["response.created", "response.output_text.delta"])
def test_a_streamed_response_that_is_left_is_abandoned(client: openai.OpenAI, recording: Recording, kind: str) -> None:
    stream = client.responses.create(model="gpt-4o-mini", input="?", stream=True)
    for event in stream:
        if event.type == kind:
            break
    stream.close()
    record = recording.record
    assert (record[signals.STREAM_END.name], record[signals.OUTCOME.name]) == ("abandoned", "cancelled")
    assert record[signals.ESTIMATED_OUTPUT.name] == kind.endswith(".delta")


def test_a_stream_that_breaks_midway_is_broken_and_an_error(client: openai.OpenAI, recording: Recording) -> None:
    stream = ask(client)
    next(stream)
    stream.response.stream.close()  # the connection is gone under the reader
    with pytest.raises(Exception, match=r".+"):
        for _ in stream:
            pass
    record = recording.record
    assert (record[signals.STREAM_END.name], record[signals.OUTCOME.name]) == ("broken", "error")


def test_a_stream_whose_task_is_cancelled_is_cancelled(provider: str, recording: Recording) -> None:
    async def read(reading: asyncio.Event) -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            stream = await client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True)
            async for _ in stream:
                reading.set()
                await asyncio.sleep(0)

    async def cancel() -> None:
        reading = asyncio.Event()
        task = asyncio.create_task(read(reading))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    gc.collect()
    assert recording.record[signals.STREAM_END.name] in ("cancelled", "abandoned")


def test_after_shutdown_the_client_is_as_it_was(provider: str) -> None:
    from openai import AsyncStream, Stream
    from openai._base_client import AsyncAPIClient, BaseClient, SyncAPIClient

    def methods() -> list[Any]:
        return [
            BaseClient.__dict__["_build_request"],
            BaseClient.__dict__["_should_retry"],
            SyncAPIClient.__dict__["_process_response"],
            AsyncAPIClient.__dict__["_process_response"],
            Stream.__dict__["__stream__"],
            AsyncStream.__dict__["__stream__"],
        ]

    before = methods()
    recording = Recording()
    assert all(now is not then for now, then in zip(methods(), before, strict=True))
    recording.close()
    assert methods() == before
