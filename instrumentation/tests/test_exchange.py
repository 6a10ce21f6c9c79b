"""What a call's requests tell: where its time went, retries, the request's id, quotas and calls in flight."""

import asyncio
import threading
import time

import openai
import pytest
from genai_observability import signals
from genai_observability._call import Call, Exchange, Quota, utc
from genai_observability._capture.open_calls import OpenCall
from genai_observability._record.metrics import Quotas
from genai_observability._record.read import read_exchange
from opentelemetry.metrics import CallbackOptions
from opentelemetry.sdk.trace import ReadableSpan

from instrumentation.tests.recording import QUESTION, Recording

SECOND = 10**9


def noted(*, sent: tuple[int, ...], answered: int | None, headers: dict[str, str]) -> OpenCall:
    call = OpenCall(ReadableSpan("chat"), {}, "")
    call.sent, call.answered, call.headers = sent, answered, headers
    return call


def test_the_parts_of_a_call_add_up_to_its_duration() -> None:
    call = noted(sent=(11 * SECOND, 13 * SECOND), answered=18 * SECOND, headers={"openai-processing-ms": "4000"})
    exchange = read_exchange(call, started=10 * SECOND, ended=20 * SECOND)
    assert exchange.phases == {"preparing": 1, "retrying": 2, "network": 1, "provider": 4, "reading": 2}
    assert exchange.retries == 1


def test_without_the_providers_own_time_the_wait_is_not_split() -> None:
    call = noted(sent=(11 * SECOND,), answered=18 * SECOND, headers={})
    phases = read_exchange(call, started=10 * SECOND, ended=20 * SECOND).phases
    assert phases == {"preparing": 1, "waiting": 7, "reading": 2}


@pytest.mark.parametrize("nonsense", ["", "-5", "soon", "nan", "1e999", "9" * 30, "99999999999", "12; DROP"])
def test_headers_of_nonsense_are_left_out(nonsense: str) -> None:
    headers = {
        "openai-processing-ms": nonsense,
        "x-ratelimit-limit-requests": nonsense,
        "x-ratelimit-remaining-requests": nonsense,
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "40",
        "x-ratelimit-reset-tokens": nonsense,
    }
    exchange = read_exchange(noted(sent=(SECOND,), answered=2 * SECOND, headers=headers), started=0, ended=3 * SECOND)
    assert exchange.phases == {"preparing": 1, "waiting": 1, "reading": 1}
    assert [quota for quota in exchange.quotas if quota.kind == "tokens"] == [
        Quota(kind="tokens", limit=100, remaining=40, reset=0)
    ]


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("", 0), ("1m30", 0)]
)
def test_the_reset_of_a_quota_is_read_as_the_provider_writes_it(text: str, seconds: float) -> None:
    headers = {
        "x-ratelimit-limit-tokens": "9",
        "x-ratelimit-remaining-tokens": "1",
        "x-ratelimit-reset-tokens": text,
    }
    (quota,) = read_exchange(noted(sent=(), answered=None, headers=headers), started=0, ended=1).quotas
    assert quota.reset == pytest.approx(seconds)


def test_a_plain_call_says_where_its_time_went_and_which_request_it_was(
    client: openai.OpenAI, recording: Recording
) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=QUESTION)
    record = recording.record
    assert record[signals.PROVIDER_REQUEST_ID.name] == raw.headers["x-request-id"]
    seconds = {phase: record.get(attribute.name) for phase, attribute in signals.PHASE_SECONDS.items()}
    assert [phase for phase, value in seconds.items() if value is None] == ["retrying", "waiting"]
    assert sum(value or 0 for value in seconds.values()) == pytest.approx(record[signals.DURATION.name], abs=0.001)
    assert seconds["provider"] == pytest.approx(float(raw.headers["openai-processing-ms"]) / 1000)
    points = recording.points(signals.CALL_PHASES.name)
    assert {point.labels[signals.PHASE.name]: point.value for point in points} == {
        phase: value for phase, value in seconds.items() if value is not None
    }


@pytest.mark.parametrize("asynchronous", [False, True])
def test_retries_are_counted_and_the_time_lost_in_them_is_told_apart(
    provider: str, recording: Recording, *, asynchronous: bool
) -> None:
    again = {"x-demo-fault": "rate_limit_once"}
    if asynchronous:

        async def call() -> None:
            async with openai.AsyncOpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=2) as client:
                await client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, extra_headers=again)

        asyncio.run(call())
    else:
        with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=2) as client:
            client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, extra_headers=again)
    record = recording.record
    assert record["severity"] == "WARN"
    assert record[signals.RETRIES.name] == 1
    lost = record[signals.PHASE_SECONDS["retrying"].name]
    assert 0.3 < lost < record[signals.DURATION.name]  # the client waits half a second at least, less its jitter
    (retries,) = recording.points(signals.CALL_RETRIES.name)
    assert retries.value == 1


def test_a_call_that_is_refused_for_good_has_an_id_and_its_retries(provider: str, recording: Recording) -> None:
    client = openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=1)
    with client, pytest.raises(openai.InternalServerError) as error:
        client.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, extra_headers={"x-demo-fault": "server_error"}
        )
    record = recording.record
    assert record[signals.RETRIES.name] == 1
    assert record[signals.PROVIDER_REQUEST_ID.name] == error.value.response.headers["x-request-id"]


def test_what_is_left_of_the_quota_is_a_gauge_by_model(client: openai.OpenAI, recording: Recording) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=QUESTION)
    for kind in ("requests", "tokens"):
        limit, remaining = (float(raw.headers[f"x-ratelimit-{what}-{kind}"]) for what in ("limit", "remaining"))
        labels = {
            signals.PROVIDER.name: "openai",
            signals.REQUEST_MODEL.name: "gpt-4o-mini",
            signals.QUOTA_KIND.name: kind,
        }
        for metric, value in (
            (signals.QUOTA_LIMIT, limit),
            (signals.QUOTA_REMAINING, remaining),
            (signals.QUOTA_USED, 1 - remaining / limit),
        ):
            (found,) = [point for point in recording.points(metric.name) if point.labels == labels]
            assert found.value == pytest.approx(value)


def called(model: str, quota: Quota) -> Call:
    exchange = Exchange(quotas=(quota,))
    return Call(operation="chat", provider="openai", started=utc(0), duration=1, request_model=model, exchange=exchange)


def test_a_quota_is_whole_again_after_its_period_and_forgotten_after_ten_minutes() -> None:
    clock = iter([0.0, 5.0, 7.0, 601.0])
    quotas = Quotas(clock=lambda: next(clock))
    quotas.note(called("gpt-4o", Quota(kind="tokens", limit=100, remaining=25, reset=6)))
    used = [[float(each.value) for each in quotas.observe_used(CallbackOptions())] for _ in range(3)]
    assert used == [[0.75], [0.0], []]


def test_the_quotas_of_ever_new_models_take_bounded_room() -> None:
    quotas = Quotas()
    for number in range(1000):
        quotas.note(called(f"model-{number}", Quota(kind="tokens", limit=100, remaining=25, reset=6)))
    assert len(list(quotas.observe_limit(CallbackOptions()))) == 200


def test_calls_in_flight_are_a_gauge_that_falls_back_to_nothing(client: openai.OpenAI, recording: Recording) -> None:
    def hang() -> None:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=1).chat.completions.create(
                model="gpt-4o-mini", messages=QUESTION, extra_headers={"x-demo-fault": "hang"}
            )

    calls = [threading.Thread(target=hang) for _ in range(3)]
    for call in calls:
        call.start()
    deadline = time.monotonic() + 0.8
    while time.monotonic() < deadline and sum(p.value for p in recording.points(signals.CALLS_IN_FLIGHT.name)) < 3:
        time.sleep(0.02)
    (point,) = recording.points(signals.CALLS_IN_FLIGHT.name)
    assert (point.value, point.labels[signals.REQUEST_MODEL.name]) == (3, "gpt-4o-mini")
    for call in calls:
        call.join()
    assert recording.points(signals.CALLS_IN_FLIGHT.name) == []
