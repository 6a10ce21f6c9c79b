"""Responses in the background: submitted, fetched until they are finished, and counted once."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import genai_observability
import openai
import pytest
from genai_observability import signals
from genai_observability._instrument import recorder
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from instrumentation.tests import scripts
from instrumentation.tests.conversations import MODEL, now, run, seen
from instrumentation.tests.recording import Recording
from instrumentation.tests.wire import Answer, scripted

COST = (600 * 0.15 + 400 * 0.075 + 200 * 0.60) / 1_000_000


def background(unique: str, **more: Any) -> Answer:
    return scripts.as_json(scripts.response(id=unique, background=True, **more))


async def submit_and_poll(client: Any, answers: dict[str, Answer], unique: str) -> list[Any]:
    """Submit a response, and fetch it while it is worked on, when it is finished, and once more."""
    answers["/v1/responses"] = background(unique, status="queued", usage=None, output=[])
    with genai_observability.attributed_to(feature="guide"):
        found = [await now(client.responses.create(model=MODEL, input="?", background=True))]
    for status, usage in (("in_progress", {"usage": None}), ("completed", {}), ("completed", {})):
        answers[f"/v1/responses/{unique}"] = background(unique, status=status, **usage)
        found.append(await now(client.responses.retrieve(unique)))
    return found


def converse(answers: dict[str, Answer], unique: str, *, asynchronous: bool) -> Any:
    async def asynchronously(url: str) -> Any:
        async with openai.AsyncOpenAI(base_url=url, api_key="test", max_retries=0) as client:
            return await submit_and_poll(client, answers, unique)

    with scripted(answers) as provider:
        if asynchronous:
            return seen(asyncio.run(asynchronously(f"{provider}/v1")))
        with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            return seen(run(submit_and_poll(client, answers, unique)))


def test_a_background_response_counts_for_the_step_that_finds_it_finished() -> None:
    recording = Recording()
    try:
        with genai_observability.workflow("guide"):
            converse({}, "resp_step", asynchronous=False)
        (spent,) = recording.points(signals.STEP_COSTS.name)
        assert spent.value == pytest.approx(COST)
        found = recorder()
        assert found
        assert found.open_steps._by_span == {}
    finally:
        recording.close()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
def test_a_background_response_is_priced_once_when_it_is_found_finished(*, asynchronous: bool) -> None:
    unique = f"resp_{asynchronous}"
    alone = converse({}, unique, asynchronous=asynchronous)
    recording = Recording()
    try:
        assert converse({}, unique, asynchronous=asynchronous) == alone
        submission, finished = recording.records
        assert len(recording.spans) == 4
        assert sum(point.value for point in recording.points(signals.CALL_COST.name)) == pytest.approx(COST)
        assert recording.points(signals.CALLS_UNPRICED.name) == []
    finally:
        recording.close()
    assert submission[signals.BACKGROUND.name] is True
    assert signals.COST.name not in submission
    assert finished[signals.OPERATION.name] == "fetch_response"
    assert finished[signals.COST.name] == pytest.approx(COST)
    assert finished[signals.CACHED_TOKENS.name] == 400
    assert finished[signals.REASONING_TOKENS.name] == 150
    assert finished[signals.FEATURE.name] == "guide"  # which the fetches were not made for


def test_pollers_in_several_threads_count_a_response_once(recording: Recording) -> None:
    uniques = [f"resp_threads_{number}" for number in range(20)]
    answers = {f"/v1/responses/{unique}": background(unique) for unique in uniques}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with scripted(answers) as provider, ThreadPoolExecutor(4) as threads:
            client = openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0)
            with client:
                for unique in uniques:
                    list(threads.map(client.responses.retrieve, [unique] * 4))
    finally:
        sys.setswitchinterval(interval)
    assert sorted(record[signals.RESPONSE_ID.name] for record in recording.records) == sorted(uniques)


def test_a_response_that_another_process_submitted_is_priced_too(recording: Recording) -> None:
    with scripted({"/v1/responses/resp_other": background("resp_other")}) as provider:
        client = openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0)
        with client, genai_observability.attributed_to(feature="worker"):
            client.responses.retrieve("resp_other")
    assert recording.record[signals.COST.name] == pytest.approx(COST)
    assert recording.record[signals.FEATURE.name] == "worker"


def test_a_fetched_response_that_was_answered_at_once_is_no_call(recording: Recording) -> None:
    with scripted({"/v1/responses/resp_1": scripts.as_json(scripts.response())}) as provider:
        client = openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0)
        with client:
            client.responses.retrieve("resp_1")
    assert recording.records == []
    assert len(recording.spans) == 1


def test_a_background_response_that_is_streamed_is_priced_by_its_stream_alone(recording: Recording) -> None:
    events = scripts.as_events(
        {"type": "response.completed", "response": scripts.response(id="resp_s", background=True), "sequence_number": 1}
    )
    with scripted({"/v1/responses": events, "/v1/responses/resp_s": background("resp_s")}) as provider:
        client = openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0)
        with client:
            list(client.responses.create(model=MODEL, input="?", background=True, stream=True))
            client.responses.retrieve("resp_s")
    assert recording.record[signals.COST.name] == pytest.approx(COST)


def test_a_background_response_is_priced_also_where_its_trace_is_not_kept() -> None:
    recording = Recording(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    try:
        converse({}, "resp_unsampled", asynchronous=False)
        assert [record.get(signals.COST.name) for record in recording.records] == [None, pytest.approx(COST)]
        assert recording.spans == ()
    finally:
        recording.close()
