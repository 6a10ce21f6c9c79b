"""The simulated provider, held against the official client over real HTTP."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import genai_prices
import httpx
import openai
import pytest
import uvicorn
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionToolParam
from openai.types.responses import Response, ResponseOutputMessage
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from demo.provider.app import Provider
from demo.provider.faults import Fault, Faults
from demo.provider.ledger import Ledger
from demo.provider.prices import PRICES
from demo.provider.usage import PromptCache, Usage, tokens

QUESTION = "How long is the return period? I bought a kettle. It is blue."
SEARCH: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "search",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}, "most": {"type": "integer"}},
            "required": ["query", "most"],
        },
    },
}


class Served:
    """A provider that is listening, and ways to talk to it."""

    def __init__(self, provider: Provider, url: str) -> None:
        self.provider = provider
        self.url = url
        self.clients: list[openai.OpenAI] = []

    def client(self, *, retries: int = 0, timeout: float = 5.0) -> openai.OpenAI:
        client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="k", max_retries=retries, timeout=timeout)
        self.clients.append(client)
        return client

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, headers={"authorization": "Bearer k", **headers})


class Listening:
    """One server for all tests, since starting one takes a while; each test puts a new provider behind it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.application: Starlette | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.application is not None
        await self.application(scope, receive, send)


@pytest.fixture(scope="module")
def listening() -> Iterator[Listening]:
    listener = socket.create_server(("127.0.0.1", 0))
    listening = Listening(f"http://127.0.0.1:{listener.getsockname()[1]}")
    config = uvicorn.Config(listening, log_level="critical", timeout_graceful_shutdown=1, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listening
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def served(listening: Listening) -> Iterator[Served]:
    served = Served(Provider(seed=1, latency=0.0), listening.url)
    listening.application = served.provider.application()
    yield served
    for client in served.clients:
        client.close()


def chat(client: openai.OpenAI, model: str = "gpt-4o-mini", **options: object) -> ChatCompletion:
    messages = [{"role": "user", "content": QUESTION}]
    answer = client.chat.completions.create(model=model, messages=messages, **options)  # type: ignore[call-overload]
    assert isinstance(answer, ChatCompletion)
    return answer


# --- Wire formats --------------------------------------------------------------------------------------------------


def test_a_plain_chat_answer_is_a_valid_completion_of_the_dated_model(served: Served) -> None:
    raw = served.post(
        "/v1/chat/completions", {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION}]}
    )
    answer = ChatCompletion.model_validate_json(raw.text, strict=True)
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(tokens(QUESTION))
    assert answer.usage.completion_tokens == len(tokens(answer.choices[0].message.content))


def test_a_streamed_chat_answer_ends_with_its_usage_when_asked(served: Served) -> None:
    chunks = list(
        served.client().chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump(), strict=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(tokens(text))
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_streamed_chat_answer_has_no_usage_unless_asked(served: Served) -> None:
    chunks = list(
        served.client().chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
    )
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert served.provider.ledger.report()["answers"] == 1


def test_a_tool_is_called_with_arguments_of_its_schema_and_then_answered_in_words(served: Served) -> None:
    client = served.client()
    first = client.chat.completions.create(
        model="o4-mini", messages=[{"role": "user", "content": QUESTION}], tools=[SEARCH]
    )
    ChatCompletion.model_validate(first.model_dump(), strict=True)
    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.tool_calls is not None
    call = first.choices[0].message.tool_calls[0]
    assert call.type == "function"
    assert call.function.name == "search"
    assert json.loads(call.function.arguments) == {"query": QUESTION, "most": 3}
    second = client.chat.completions.create(
        model="o4-mini",
        messages=[
            {"role": "user", "content": QUESTION},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": "search", "arguments": call.function.arguments},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "Returns are free for thirty days."},
        ],
        tools=[SEARCH],
    )
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content


def test_a_streamed_tool_call_arrives_in_pieces(served: Served) -> None:
    stream = served.client().chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": QUESTION}], tools=[SEARCH], stream=True
    )
    deltas = [chunk.choices[0].delta.tool_calls for chunk in stream]
    calls = [call for delta in deltas for call in delta or ()]
    arguments = "".join(call.function.arguments or "" for call in calls if call.function)
    assert json.loads(arguments) == {"query": QUESTION, "most": 3}
    assert [call.id is not None for call in calls[:2]] == [True, False]


def test_a_reasoning_model_counts_its_reasoning_as_part_of_the_output(served: Served) -> None:
    answer = chat(served.client(), "o4-mini")
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    reasoning = answer.usage.completion_tokens_details.reasoning_tokens
    assert reasoning
    assert answer.usage.completion_tokens == reasoning + len(tokens(answer.choices[0].message.content or ""))


def test_a_limit_of_tokens_cuts_the_answer(served: Served) -> None:
    answer = chat(served.client(), max_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_a_long_prompt_is_read_from_the_cache_the_second_time(served: Served) -> None:
    messages = [{"role": "system", "content": "All rules of the shop. " * 260}, {"role": "user", "content": QUESTION}]

    def cached() -> int:
        raw = served.post("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": messages})
        return int(raw.json()["usage"]["prompt_tokens_details"]["cached_tokens"])

    assert cached() == 0
    assert cached() == 1536  # of 1,575 tokens, the full blocks of 128


def test_a_plain_response_is_valid_and_says_its_text(served: Served) -> None:
    raw = served.post("/v1/responses", {"model": "gpt-4.1-mini", "input": QUESTION, "instructions": "Be brief."})
    answer = Response.model_validate_json(raw.text, strict=True)
    assert answer.model == "gpt-4.1-mini-2025-04-14"
    assert answer.status == "completed"
    assert answer.output_text
    assert answer.usage is not None
    assert answer.usage.input_tokens == len(tokens("Be brief.")) + len(tokens(QUESTION))
    assert answer.usage.output_tokens == len(tokens(answer.output_text))


def test_a_streamed_response_sends_its_events_in_the_order_of_the_real_one(served: Served) -> None:
    stream = served.client().responses.create(model="o4-mini", input=QUESTION, stream=True)
    events = list(stream)
    kinds = [event.type for event in events if event.type != "response.output_text.delta"]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",  # reasoning
        "response.output_item.done",
        "response.output_item.added",  # message
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.usage is not None
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == last.response.output_text


def test_the_clients_response_stream_helper_puts_the_answer_together(served: Served) -> None:
    with served.client().responses.stream(model="gpt-4.1-mini", input=QUESTION) as stream:
        final = stream.get_final_response()
    assert isinstance(final.output[-1], ResponseOutputMessage)
    assert final.output_text


def test_a_response_calls_a_tool_and_then_uses_its_output(served: Served) -> None:
    client = served.client()
    first = client.responses.create(
        model="gpt-4.1-mini",
        input=[{"role": "user", "content": QUESTION}],
        tools=[{"type": "function", "name": "search", "strict": False, "parameters": {"required": ["query"]}}],
    )
    call = first.output[0]
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"query": QUESTION}
    second = client.responses.create(
        model="gpt-4.1-mini",
        input=[
            {"role": "user", "content": QUESTION},
            {"type": "function_call", "call_id": call.call_id, "name": "search", "arguments": call.arguments},
            {"type": "function_call_output", "call_id": call.call_id, "output": "Returns are free."},
        ],
    )
    assert second.output_text


def test_embeddings_put_texts_with_common_words_near_each_other(served: Served) -> None:
    answer = served.client().embeddings.create(
        model="text-embedding-3-small",
        input=["return a damaged kettle", "a damaged kettle may be returned", "opening hours at Christmas"],
    )
    CreateEmbeddingResponse.model_validate(answer.model_dump(), strict=True)
    first, near, far = (item.embedding for item in answer.data)
    assert len(first) == 1536
    assert sum(value * value for value in first) == pytest.approx(1.0, abs=1e-4)
    assert _dot(first, near) > 0.4 > _dot(first, far) + 0.3


def test_embeddings_are_the_same_as_floats_and_in_base64(served: Served) -> None:
    client = served.client()
    packed = client.embeddings.create(model="text-embedding-3-small", input="kettle", dimensions=8)
    plain = client.embeddings.create(
        model="text-embedding-3-small", input="kettle", dimensions=8, encoding_format="float"
    )
    assert packed.data[0].embedding == plain.data[0].embedding


def test_answers_carry_the_headers_of_the_real_provider(served: Served) -> None:
    raw = served.client().chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": QUESTION}]
    )
    assert raw.headers["x-request-id"].startswith("req_")
    assert int(raw.headers["openai-processing-ms"]) >= 0
    limit, remaining = (int(raw.headers[f"x-ratelimit-{name}-requests"]) for name in ("limit", "remaining"))
    assert remaining == limit - 1
    used = raw.parse().usage
    assert used is not None
    assert (
        int(raw.headers["x-ratelimit-limit-tokens"]) - int(raw.headers["x-ratelimit-remaining-tokens"])
        == used.total_tokens
    )


def test_models_are_listed(served: Served) -> None:
    assert "gpt-4o-mini" in {model.id for model in served.client().models.list()}


def test_the_same_seed_gives_the_same_answers() -> None:
    def run() -> list[tuple[object, ...]]:
        client = TestClient(Provider(seed=5, latency=0.0).application(), headers={"authorization": "Bearer k"})
        body = {"model": "o4-mini", "messages": [{"role": "user", "content": QUESTION}]}
        answers = [client.post("/v1/chat/completions", json=body).json() for _ in range(3)]
        return [(answer["choices"], answer["usage"]) for answer in answers]

    assert run() == run()


# --- Errors and faults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("rate_limit", openai.RateLimitError, "rate_limit_exceeded"),
        ("server_error", openai.InternalServerError, None),
        ("unavailable", openai.InternalServerError, "overloaded"),
        ("unauthorized", openai.AuthenticationError, "invalid_api_key"),
        ("bad_request", openai.BadRequestError, "invalid_value"),
        ("unknown_model", openai.NotFoundError, "model_not_found"),
    ],
)
def test_a_fault_reaches_the_client_as_its_own_error(
    served: Served, fault: str, error: type[openai.APIStatusError], code: str | None
) -> None:
    with pytest.raises(error) as raised:
        chat(served.client(), extra_headers={"x-demo-fault": fault})
    assert raised.value.code == code
    assert raised.value.request_id
    assert served.provider.ledger.report()["refused"] == {str(raised.value.status_code): 1}


def test_a_rate_limit_says_when_to_come_back(served: Served) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        chat(served.client(), extra_headers={"x-demo-fault": "rate_limit"})
    assert raised.value.response.headers["retry-after"] == "1"


def test_a_hanging_answer_ends_with_the_clients_timeout_and_is_not_billed(served: Served) -> None:
    with pytest.raises(openai.APITimeoutError):
        chat(served.client(timeout=0.2), extra_headers={"x-demo-fault": "hang"})
    assert _eventually(lambda: served.provider.ledger.unfinished == 1)
    assert served.provider.ledger.report()["answers"] == 0


def test_a_crawling_answer_is_right_and_ten_seconds_late() -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION}]}
    headers = {"authorization": "Bearer k", "x-demo-fault": "crawl"}
    with TestClient(Provider(latency=0.05).application()) as client:  # the ten seconds are half a one
        began = time.monotonic()
        assert client.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
        assert time.monotonic() - began > 0.5


def test_a_heavy_answer_has_a_thousand_times_the_tokens_and_is_billed_for_them(served: Served) -> None:
    usual = chat(served.client()).usage
    before = served.provider.ledger.report()["usage"]["input_tokens"]
    heavy = chat(served.client(), extra_headers={"x-demo-fault": "heavy"}).usage
    assert usual
    assert heavy
    assert heavy.prompt_tokens == usual.prompt_tokens * 1000
    assert served.provider.ledger.report()["usage"]["input_tokens"] == before + heavy.prompt_tokens


def test_an_answer_of_nonsense_says_nothing_of_the_prompt(served: Served) -> None:
    text = chat(served.client(), extra_headers={"x-demo-fault": "nonsense"}).choices[0].message.content
    assert text
    assert text.startswith("Lorem ipsum")
    assert "kettle" not in text


def test_an_uncached_answer_takes_nothing_from_the_cache(served: Served) -> None:
    messages = [{"role": "system", "content": "All rules of the shop. " * 260}, {"role": "user", "content": QUESTION}]
    body = {"model": "gpt-4o-mini", "messages": messages}
    served.post("/v1/chat/completions", body)
    usage = served.post("/v1/chat/completions", body, **{"x-demo-fault": "uncached"}).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0


def test_a_fault_can_be_asked_for_in_the_text_where_headers_cannot_be_set(served: Served) -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "A kettle? x-demo-fault: unavailable"}]}
    assert served.post("/v1/chat/completions", body).status_code == 503


def test_an_abandoned_stream_is_not_billed(served: Served) -> None:
    served.provider._latency = 1.0
    stream = served.client().chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    next(iter(stream))
    stream.close()
    assert _eventually(lambda: served.provider.ledger.unfinished == 1)
    assert served.provider.ledger.report()["answers"] == 0


def test_a_stream_whose_client_leaves_after_the_last_chunk_is_billed(served: Served) -> None:
    served.provider._latency = 4.0
    messages = [{"role": "user", "content": QUESTION}]
    body = {"model": "gpt-4o-mini", "messages": messages, "stream": True, "max_tokens": 2}
    headers = {"authorization": "Bearer k"}
    with httpx.stream("POST", f"{served.url}/v1/chat/completions", json=body, headers=headers, timeout=30) as answer:
        assert "data: [DONE]" in answer.iter_lines()
    assert _eventually(lambda: served.provider.ledger.report()["answers"] == 1)
    assert served.provider.ledger.unfinished == 0


def test_a_request_without_a_key_is_refused(served: Served) -> None:
    answer = httpx.post(f"{served.url}/v1/chat/completions", json={"model": "gpt-4o", "messages": []})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "gpt-4o"}, "messages"),
        ({"model": "gpt-4o", "messages": []}, "messages"),
        ({"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}, "max_tokens"),
        ({"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "n": 2}, "'n'"),
        ([], "JSON object"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_the_reason(served: Served, body: object, word: str) -> None:
    answer = served.post("/v1/chat/completions", body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]


def test_a_retry_is_an_attempt_of_the_same_call(served: Served) -> None:
    answer = chat(served.client(retries=2), extra_headers={"x-demo-fault": "rate_limit_once"})
    assert answer.choices
    ledger = served.provider.ledger
    assert (ledger.calls, ledger.attempts, ledger.report()["answers"]) == (1, 2, 1)


def test_faults_are_set_and_ended_over_http(served: Served) -> None:
    assert httpx.put(f"{served.url}/control/faults", json={"server_error": 1}).json() == {"server_error": 1.0}
    with pytest.raises(openai.InternalServerError):
        chat(served.client())
    httpx.put(f"{served.url}/control/faults", json={})
    assert chat(served.client()).choices


@pytest.mark.parametrize("shares", [{"earthquake": 0.1}, {"hang": 2}, {"hang": "often"}, {"hang": 0.6, "slow": 0.6}])
def test_faults_that_cannot_be_are_refused_and_change_nothing(served: Served, shares: dict[str, object]) -> None:
    served.provider.faults.set({"slow": 0.5})
    assert httpx.put(f"{served.url}/control/faults", json=shares).status_code == 400
    assert served.provider.faults.shares == {Fault.SLOW: 0.5}


def test_about_the_asked_share_of_calls_fails_and_each_keeps_failing_when_retried() -> None:
    faults = Faults(seed=3)
    faults.set({"server_error": 0.3})
    bodies = [str(number).encode() for number in range(1000)]
    first = [faults.draw(body, retry=False) for body in bodies]
    assert 260 < first.count(Fault.SERVER_ERROR) < 340
    assert [faults.draw(body, retry=True) for body in bodies] == first


# --- The ledger ----------------------------------------------------------------------------------------------------


def test_an_amount_is_the_sum_of_full_cached_and_output_tokens_at_their_prices() -> None:
    usage = Usage(input_tokens=2000, cached_tokens=1024, output_tokens=500, reasoning_tokens=128)
    # o4-mini: (976 × 1.10 + 1024 × 0.275 + 500 × 4.40) / 1,000,000
    assert PRICES["o4-mini-2025-04-16"].amount(usage) == Decimal("0.0035552")


def test_the_ledger_adds_amounts_without_losing_a_digit() -> None:
    ledger = Ledger()
    for _ in range(1000):
        ledger.answered("gpt-4o-mini-2024-07-18", Usage(input_tokens=1, output_tokens=1))
    assert Decimal(ledger.report()["amount_usd"]) == Decimal("0.00075")


def test_a_model_without_a_price_is_counted_apart_and_costs_nothing() -> None:
    ledger = Ledger()
    ledger.answered("acme-internal-7b", Usage(input_tokens=10, output_tokens=5))
    report = ledger.report()
    assert report["unpriced_answers"] == 1
    assert report["usage"]["input_tokens"] == 10
    assert report["models"]["acme-internal-7b"]["amount_usd"] is None
    assert Decimal(report["amount_usd"]) == 0


def test_the_ledger_stays_small_whatever_the_models_are_called() -> None:
    ledger = Ledger()
    for number in range(1000):
        ledger.answered(f"model-{number}", Usage(input_tokens=1))
    report = ledger.report()
    assert len(report["models"]) == 101
    assert report["answers"] == 1000


def test_the_prompt_cache_forgets_the_oldest() -> None:
    cache = PromptCache(size=1)
    long, other = ["a"] * 1024, ["b"] * 1024
    assert [cache.read("m", prompt) for prompt in (long, long, other, long)] == [0, 1024, 0, 0]


@pytest.mark.parametrize("model", sorted(PRICES))
def test_the_price_list_agrees_with_genai_prices(model: str) -> None:
    usage = Usage(input_tokens=3000, cached_tokens=0, output_tokens=0)
    if not model.startswith("text-embedding"):
        usage = Usage(input_tokens=3000, cached_tokens=1024, output_tokens=700, reasoning_tokens=64)
    other = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
        ),
        model,
        provider_id="openai",
    )
    assert PRICES[model].amount(usage) == other.total_price


def test_no_price_table_knows_the_internal_model() -> None:
    assert "acme-internal-7b" not in PRICES
    with pytest.raises(LookupError):
        genai_prices.calc_price(genai_prices.Usage(input_tokens=1), "acme-internal-7b", provider_id="openai")


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _eventually(condition: object, *, within: float = 3.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
