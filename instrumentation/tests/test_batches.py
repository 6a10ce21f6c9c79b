"""Batches: their submission, and the price of each result when it is fetched."""

import asyncio
import json
import re
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import genai_observability
import openai
import pytest
from genai_observability import Budget, signals
from genai_observability._call import Call, Price
from genai_observability._capture.deferred import Batch, Results, calls
from genai_observability._pricing import Prices
from genai_observability._record.pipeline import Batches
from genai_observability._record.scores import Answer
from genai_observability._worker import Worker

from instrumentation.tests import conversations, scripts
from instrumentation.tests.aimock_process import aimock
from instrumentation.tests.conversations import Talk
from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.programs import Run
from instrumentation.tests.recording import Recording
from instrumentation.tests.wire import Answer as Said
from instrumentation.tests.wire import scripted

CREATED: Final = 1_793_491_200.0  # 2026-11-01T00:00:00Z
BATCH: Final = Batch(
    id="batch_1", endpoint="/v1/chat/completions", created=CREATED, server_address="api.openai.com"
)  # fmt: skip


@pytest.fixture(scope="module")
def foreign_provider() -> Iterator[str]:
    with aimock() as url:
        yield url


@pytest.fixture
def client(foreign_provider: str, recording: Recording) -> Iterator[openai.OpenAI]:
    del recording  # begins first
    with openai.OpenAI(base_url=f"{foreign_provider}/v1", api_key="test", max_retries=0) as client:
        yield client


def requests(count: int, *, model: str = "gpt-4o-mini") -> BytesIO:
    body = {"model": model, "messages": [{"role": "user", "content": "What is a trace?"}]}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    return BytesIO(b"\n".join(json.dumps({"custom_id": str(number), **line}).encode() for number in range(count)))


def submitted(client: openai.OpenAI, count: int, *, outcome: str = "completed") -> openai.types.Batch:
    """A batch that has ended."""
    file = client.files.create(file=("requests.jsonl", requests(count)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_headers={"x-aimock-batch-outcome": outcome},
    )
    client.batches.retrieve(batch.id)
    return client.batches.retrieve(batch.id)


def results_of(recording: Recording) -> list[dict[str, Any]]:
    return [record for record in recording.records if signals.BATCH.name in record]


def test_a_submission_is_recorded_and_costs_nothing(client: openai.OpenAI, recording: Recording) -> None:
    with genai_observability.attributed_to(feature="nightly"):
        batch = submitted(client, 1)
    record = recording.record
    assert record[signals.OPERATION.name] == "batch"
    assert record[signals.RESPONSE_ID.name] == batch.id
    assert record[signals.FEATURE.name] == "nightly"
    assert not {signals.COST.name, signals.UNPRICED.name, signals.INPUT_TOKENS.name} & set(record)
    assert recording.points(signals.CALLS_UNPRICED.name) == []


def test_each_result_is_a_call_at_the_price_of_batches_for_whom_the_batch_was_submitted(
    client: openai.OpenAI, recording: Recording
) -> None:
    with genai_observability.attributed_to(feature="nightly", team="growth"):
        batch = submitted(client, 3)
    with genai_observability.attributed_to(feature="collector of results"):
        content = client.files.content(batch.output_file_id or "")
    assert len(content.text.splitlines()) == 3
    found = results_of(recording)
    (submission,) = [record for record in recording.records if record[signals.OPERATION.name] == "batch"]
    assert len(found) == 3
    for record in found:
        assert record[signals.BATCH.name] == batch.id
        assert record[signals.OPERATION.name] == "chat"
        assert record[signals.OUTCOME.name] == "success"
        assert (record[signals.FEATURE.name], record[signals.TEAM.name]) == ("nightly", "growth")
        # gpt-4o-mini: $0.15 and $0.60 a million tokens, half of that in a batch; one token each way
        assert record[signals.COST.name] == pytest.approx((0.15 + 0.60) / 2 / 1e6)
        assert record["trace_id"] == submission["trace_id"]
        assert signals.DURATION.name not in record
    (cost,) = recording.points(signals.CALL_COST.name)
    assert cost.value == pytest.approx(3 * (0.15 + 0.60) / 2 / 1e6)
    assert cost.labels[signals.FEATURE.name] == "nightly"
    tokens = recording.points(signals.CALL_TOKENS.name)
    assert {point.labels[signals.TOKEN_TYPE.name]: point.value for point in tokens} == {"input": 3, "output": 3}


def test_results_are_counted_but_the_hours_that_they_took_are_no_latency(
    client: openai.OpenAI, recording: Recording
) -> None:
    batch = submitted(client, 3)
    client.files.content(batch.output_file_id or "")
    (count,) = recording.points(signals.BATCH_CALLS.name)
    assert (count.value, count.labels[signals.OUTCOME.name]) == (3, "success")
    (duration,) = recording.points(signals.CALL_DURATION.name)
    assert (duration.count, duration.labels[signals.OPERATION.name]) == (1, "batch")
    assert signals.CALL_OUTPUT_RATE.name not in recording.metric_names()


def test_results_that_are_fetched_again_are_counted_once(client: openai.OpenAI, recording: Recording) -> None:
    batch = submitted(client, 2)
    for _ in range(3):
        client.files.content(batch.output_file_id or "")
        client.batches.retrieve(batch.id)
    assert len(results_of(recording)) == 2


def test_results_of_another_process_belong_to_whoever_fetches_them(foreign_provider: str, recording: Recording) -> None:
    recording.handle.shutdown()
    with openai.OpenAI(base_url=f"{foreign_provider}/v1", api_key="test") as client:
        batch = submitted(client, 2)
    later = Recording()
    try:
        with openai.OpenAI(base_url=f"{foreign_provider}/v1", api_key="test") as client:
            client.batches.retrieve(batch.id)
            with genai_observability.attributed_to(feature="collector of results"):
                client.files.with_raw_response.content(batch.output_file_id or "")
        assert {record[signals.FEATURE.name] for record in later.records} == {"collector of results"}
        assert len(later.records) == 2
    finally:
        later.close()


def test_errors_of_a_batch_are_failed_calls_without_a_price(client: openai.OpenAI, recording: Recording) -> None:
    batch = submitted(client, 2, outcome="failed")
    client.files.content(batch.error_file_id or "")
    found = results_of(recording)
    assert [(record[signals.OUTCOME.name], record[signals.ERROR_TYPE.name]) for record in found] == [
        ("error", "mock_failure")
    ] * 2
    assert all(record["severity"] == "ERROR" and signals.UNPRICED.name not in record for record in found)


def test_the_asynchronous_client_s_results_are_recorded_alike(foreign_provider: str, recording: Recording) -> None:
    async def batch() -> None:
        async with openai.AsyncOpenAI(base_url=f"{foreign_provider}/v1", api_key="test") as client:
            file = await client.files.create(file=("requests.jsonl", requests(2)), purpose="batch")
            with genai_observability.attributed_to(feature="nightly"):
                batch = await client.batches.create(
                    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
                )
            await client.batches.retrieve(batch.id)
            batch = await client.batches.with_raw_response.retrieve(batch.id)  # type: ignore[assignment]
            await client.files.content(batch.parse().output_file_id)  # type: ignore[attr-defined]

    asyncio.run(batch())
    assert [record[signals.FEATURE.name] for record in results_of(recording)] == ["nightly"] * 2


def test_a_file_that_is_no_result_of_a_batch_is_not_looked_into(client: openai.OpenAI, recording: Recording) -> None:
    file = client.files.create(file=("requests.jsonl", requests(2)), purpose="batch")
    assert len(client.files.content(file.id).text.splitlines()) == 2
    assert recording.records == []


def line(body: dict[str, Any], *, status: int = 200, **more: Any) -> bytes:
    response = {"status_code": status, "request_id": "req_1", "body": body}
    return json.dumps({"id": "batch_req_1", "custom_id": "1", "response": response, "error": None, **more}).encode()


def test_what_a_result_used_is_read_as_of_a_call() -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 50, "audio_tokens": 20},
    }
    body = {"id": "chatcmpl-1", "model": "gpt-4o", "choices": [{"finish_reason": "stop"}], "usage": usage}
    (call,) = calls(BATCH, line(body), now=CREATED + 3600)
    assert (call.tokens.input, call.tokens.output, call.tokens.cached, call.tokens.reasoning) == (1000, 200, 400, 50)
    assert call.usage == {signals.AUDIO_INPUT_TOKENS.name: 100, signals.AUDIO_OUTPUT_TOKENS.name: 20}
    assert (call.response_id, call.finish_reasons, call.exchange.request_id) == ("chatcmpl-1", ("stop",), "req_1")
    assert (call.started.timestamp(), call.duration, call.output_tokens_per_second) == (CREATED, 3600, None)


COMPLETION_USAGE: Final = {
    "prompt_tokens": 1000,
    "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 100},
    "completion_tokens": 200,
    "completion_tokens_details": {"reasoning_tokens": 50, "audio_tokens": 20},
}
SEARCHED: Final = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "?"}},
    {"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "open_page", "url": "u"}},
    {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["?"]},
]
BODIES: Final[dict[str, tuple[str, Talk, dict[str, Any]]]] = {
    "chat": ("/v1/chat/completions", conversations.chat, scripts.chat(model="gpt-4o", usage=COMPLETION_USAGE)),
    "responses": (
        "/v1/responses",
        conversations.responses,
        scripts.response(output=[*SEARCHED, *scripts.response()["output"]]),
    ),
    "embeddings": ("/v1/embeddings", conversations.embeddings, json.loads(scripts.EMBEDDINGS.body)),
    "images": ("/v1/images/generations", conversations.images, json.loads(scripts.IMAGES.body)),
}


@pytest.mark.parametrize(("path", "talk", "body"), BODIES.values(), ids=BODIES)
def test_a_result_uses_and_costs_what_the_same_answer_does_that_came_at_once(
    path: str, talk: Talk, body: dict[str, Any], recording: Recording
) -> None:
    created = int(CREATED)
    batch = {"id": "batch_1", "object": "batch", "endpoint": path, "created_at": created, "status": "completed",
             "input_file_id": "f", "completion_window": "24h", "output_file_id": "file-1"}  # fmt: skip
    answers = {
        path: scripts.as_json(body),
        "/v1/batches/batch_1": scripts.as_json(batch),
        "/v1/files/file-1/content": Said(line(body), "application/octet-stream"),
    }
    with scripted(answers) as provider:
        conversations.converse(talk, provider, asynchronous=False)
        with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            client.files.content(str(client.batches.retrieve("batch_1").output_file_id))
    at_once, result = recording.records
    assert result[signals.BATCH.name] == "batch_1"
    names = [each.name for each in USED]
    assert {name: result.get(name) for name in names} == {name: at_once.get(name) for name in names}
    (call,) = calls(Batch(id="batch_1", endpoint=path, created=CREATED, server_address=""), line(body), now=CREATED)
    price, half = Prices().price(call), result.get(signals.COST.name)
    assert half == (None if price.amount is None else float(price.amount))
    if path == "/v1/responses":
        assert result[signals.WEB_SEARCHES.name] == 1  # opening a page is free


USED: Final = (
    signals.INPUT_TOKENS, signals.OUTPUT_TOKENS, signals.CACHED_TOKENS, signals.REASONING_TOKENS,
    signals.AUDIO_INPUT_TOKENS, signals.AUDIO_OUTPUT_TOKENS, signals.IMAGE_INPUT_TOKENS, signals.IMAGE_OUTPUT_TOKENS,
    signals.IMAGES, signals.WEB_SEARCHES, signals.FILE_SEARCHES, signals.FINISH_REASONS, signals.RESPONSE_ID,
)  # fmt: skip


def test_results_of_a_batch_give_back_no_reservation_of_a_call_that_is_under_way(foreign_provider: str) -> None:
    recording = Recording(budgets=[Budget(by="feature", per="month", usd=1.0, on_exceeded="raise")])
    try:
        (enforcement,) = [recording.handle._recorder._enforcement]  # type: ignore[union-attr]
        with (
            openai.OpenAI(base_url=f"{foreign_provider}/v1", api_key="test", max_retries=0) as client,
            genai_observability.attributed_to(feature="nightly"),
        ):
            batch = submitted(client, 3)
            recording.settle()
            under_way = client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "greet me"}], stream=True
            )
            assert enforcement
            (account,) = enforcement._rules[0].accounts.values()
            assert len(account._in_flight) == 1
            client.files.content(str(batch.output_file_id))
            recording.settle()
            assert len(results_of(recording)) == 3
            assert len(account._in_flight) == 1
            list(under_way)
            recording.settle()
            assert len(account._in_flight) == 0
    finally:
        recording.close()


def priced(*, created: float) -> Price:
    usage = {"input_tokens": 1_000_000, "output_tokens": 100_000, "input_tokens_details": {"cached_tokens": 0}}
    body = {"id": "resp_1", "model": "gpt-4o-mini", "usage": usage, "output": [{"type": "message"}]}
    batch = Batch(id="batch_2", endpoint="/v1/responses", created=created, server_address="api.openai.com")
    (call,) = calls(batch, line(body), now=CREATED + 86_400)
    return Prices().price(call)


def test_the_price_is_that_of_batches_on_the_day_of_submission() -> None:
    # $0.15 a million tokens of input, $0.60 of output, half of that in a batch
    assert priced(created=CREATED).amount == (Decimal("0.15") + Decimal("0.60") / 10) / 2
    before_the_table_has_a_price_of_batches = datetime(2026, 10, 13, tzinfo=UTC).timestamp()
    assert priced(created=before_the_table_has_a_price_of_batches).unpriced == "no_price"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (line({"error": {"code": "rate_limit_exceeded"}}, status=429), ("rate_limited", "rate_limit_exceeded")),
        (line({}, status=500), ("error", "500")),
        (json.dumps({"response": None, "error": {"code": "batch_expired"}}).encode(), ("timeout", "batch_expired")),
        (
            json.dumps({"response": None, "error": {"code": "batch_cancelled"}}).encode(),
            ("cancelled", "batch_cancelled"),
        ),
    ],
)
def test_a_result_that_failed_says_how(content: bytes, expected: tuple[str, str]) -> None:
    (call,) = calls(BATCH, content, now=CREATED)
    assert (call.outcome, call.error_type) == expected
    assert Prices().price(call) == Price()


def test_malformed_lines_cost_only_themselves() -> None:
    good = line({"id": "chatcmpl-1", "model": "gpt-4o-mini", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    bad = [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"{}", b"[" * 100_000]
    odd = [
        line({"usage": "many", "choices": 5, "model": 7, "id": None}),
        line({"usage": {"prompt_tokens": -1, "completion_tokens": True, "prompt_tokens_details": []}}),
    ]
    found = list(calls(BATCH, b"\n".join([*bad, *odd, good]), now=CREATED))
    assert [call.tokens.input for call in found] == [None, None, 1]
    assert list(calls(BATCH, b"", now=CREATED)) == []


def large_file() -> bytes:
    """100 MB of results."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    body = {"id": "x", "model": "gpt-4o-mini", "usage": usage, "choices": [{"text": "x" * 5_000}]}
    return (line(body) + b"\n") * 20_000


def test_a_large_file_is_not_copied() -> None:
    content = large_file()
    tracemalloc.start()
    try:
        assert sum(1 for _ in calls(BATCH, content, now=CREATED)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_large_file_is_not_in_the_way_of_the_application() -> None:
    content = large_file()
    found: list[Call] = []
    batches = Batches(
        worker=Worker(capacity=10, warm_up=lambda: None),
        submission=lambda batch: Answer(response_id=batch, span=None, attributes={}),
        record=lambda call, context: found.append(call),
        send=lambda: None,
        on_dropped=lambda: None,
    )
    results = Results(batch="batch_1", size=len(content), calls=lambda: calls(BATCH, content, now=CREATED))
    worked = time.thread_time()
    batches.fetched(results)
    assert time.thread_time() - worked < 0.01
    turns: list[float] = []
    while len(found) < 20_000 and len(turns) < 20_000:
        begun = time.perf_counter()
        time.sleep(0.001)
        turns.append(time.perf_counter() - begun)
    assert len(found) == 20_000
    assert statistics.median(turns) < 0.02


def test_results_that_wait_to_be_read_take_bounded_memory(caplog: pytest.LogCaptureFixture) -> None:
    going, dropped = threading.Event(), []

    def waiting() -> Iterator[Call]:
        going.wait(10)
        return iter(())

    worker = Worker(capacity=10, warm_up=lambda: None)
    batches = Batches(
        worker=worker,
        submission=lambda batch: Answer(response_id=batch, span=None, attributes={}),
        record=lambda call, context: None,
        send=lambda: None,
        on_dropped=lambda: dropped.append(1),
    )
    for number in range(3):
        batches.fetched(Results(batch=f"batch_{number}", size=200 * 2**20, calls=waiting))
    assert len(dropped) == 2
    assert caplog.messages[0] == "The results of batch batch_1 are not recorded: others that wait fill the room."
    going.set()
    batches.wait()
    batches.fetched(Results(batch="batch_4", size=200 * 2**20, calls=lambda: iter(())))
    assert len(dropped) == 2


PROGRAM: Final = """
import io, json, os
import genai_observability, openai

genai_observability.instrument(service_name="nightly")
client = openai.OpenAI()
body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is a trace?"}]}
line = json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\\n"
file = client.files.create(file=("requests.jsonl", io.BytesIO(line.encode() * 6_000)), purpose="batch")
batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
while batch.status != "completed":
    batch = client.batches.retrieve(batch.id)
client.files.content(batch.output_file_id)
"""


def test_a_process_that_ends_right_after_fetching_thousands_of_results_loses_none(
    run: Run, foreign_provider: str
) -> None:
    with Capture(delay=0.2) as collector:
        done = run(
            sys.executable,
            "app.py",
            program=PROGRAM,
            OPENAI_API_KEY="test",
            OPENAI_BASE_URL=f"{foreign_provider}/v1",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        )
        assert (done.returncode, done.stderr) == (0, "")
        records = [values(record.attributes) for record in collector.records]
        assert sum(signals.BATCH.name in record for record in records) == 6_000
        (instance,) = collector.metrics_by_instance(signals.BATCH_CALLS.name).values()
        (point,) = instance[0].sum.data_points
        assert point.as_int == 6_000


def test_the_guides_program_costs_half_for_whom_it_was_submitted(
    run: Run, capture: Capture, foreign_provider: str
) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "batches.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    done = run(
        sys.executable, "app.py", program=program, OPENAI_API_KEY="test", OPENAI_BASE_URL=f"{foreign_provider}/v1"
    )
    assert (done.returncode, done.stderr) == (0, "")
    submission, answer = (values(record.attributes) for record in capture.records)
    assert submission[signals.OPERATION.name] == "batch"
    assert answer[signals.BATCH.name] == submission[signals.RESPONSE_ID.name]
    assert (answer[signals.FEATURE.name], answer[signals.TEAM.name]) == ("descriptions", "shop")
    assert answer[signals.COST.name] == pytest.approx((0.15 + 0.60) / 2 / 1e6)
