"""How each way a call can end is recorded, and that the application sees what it would have seen."""

import asyncio
import gc

import openai
import pytest
from genai_observability import signals

from instrumentation.tests.recording import QUESTION, Recording
from tests.serving import free_port


@pytest.mark.parametrize(
    ("fault", "error", "outcome"),
    [
        ("rate_limit", openai.RateLimitError, "rate_limited"),
        ("server_error", openai.InternalServerError, "error"),
        ("unauthorized", openai.AuthenticationError, "error"),
        ("bad_request", openai.BadRequestError, "error"),
    ],
)
def test_an_error_answer_is_raised_as_ever_and_recorded_with_its_outcome(
    client: openai.OpenAI, recording: Recording, fault: str, error: type[Exception], outcome: str
) -> None:
    with pytest.raises(error):
        client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, extra_headers={"x-demo-fault": fault})
    record = recording.record
    assert record[signals.OUTCOME.name] == outcome
    assert record[signals.ERROR_TYPE.name] == f"openai.{error.__name__}"
    assert record["severity"] == "ERROR"
    assert signals.COST.name not in record
    assert signals.UNPRICED.name not in record
    (duration,) = recording.points(signals.CALL_DURATION.name)
    assert duration.labels[signals.OUTCOME.name] == outcome


def test_a_call_that_the_provider_never_answers_is_a_timeout(client: openai.OpenAI, recording: Recording) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, extra_headers={"x-demo-fault": "hang"}
        )
    assert recording.record[signals.OUTCOME.name] == "timeout"
    assert 0.2 <= recording.record[signals.DURATION.name] < 2


def test_a_provider_that_is_not_there_is_an_error(recording: Recording) -> None:
    absent = openai.OpenAI(base_url=f"http://127.0.0.1:{free_port()}/v1", api_key="test", max_retries=0)
    with absent, pytest.raises(openai.APIConnectionError):
        absent.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert recording.record[signals.OUTCOME.name] == "error"


def test_a_retry_inside_the_client_is_still_one_call(provider: str, recording: Recording) -> None:
    with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=2) as client:
        client.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, extra_headers={"x-demo-fault": "rate_limit_once"}
        )
    assert recording.record[signals.OUTCOME.name] == "success"


def test_a_cancelled_task_is_cancelled_and_no_error(provider: str, recording: Recording) -> None:
    async def cancel() -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            call = asyncio.create_task(
                client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=QUESTION,
                    extra_headers={"x-demo-fault": "hang"},
                )
            )
            await asyncio.sleep(0.2)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(cancel())
    assert recording.record[signals.OUTCOME.name] == "cancelled"
    assert recording.record["severity"] == "INFO"


def test_a_stream_that_its_reader_closes_early_is_cancelled(client: openai.OpenAI, recording: Recording) -> None:
    with client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True) as stream:
        next(stream)
    assert recording.record[signals.OUTCOME.name] == "cancelled"


def test_a_stream_that_is_abandoned_is_cancelled(client: openai.OpenAI, recording: Recording) -> None:
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True)
    next(stream)
    stream.response.close()  # the connection, as an application that walks away would leave it to its end
    del stream
    gc.collect()
    assert recording.record[signals.OUTCOME.name] == "cancelled"


def test_an_answer_without_usage_has_no_price_and_says_so(client: openai.OpenAI, recording: Recording) -> None:
    for _chunk in client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True):
        pass
    assert recording.record[signals.OUTCOME.name] == "success"
    assert recording.record[signals.UNPRICED.name] == "no_usage"
