"""Budgets around the real client: every kind of call is checked once, before anything is sent or recorded."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import genai_observability
import openai
import pytest
from genai_observability import Budget, BudgetExceeded, signals
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.embeddings import AsyncEmbeddings, Embeddings
from openai.resources.responses.responses import AsyncResponses, Responses

from instrumentation.tests.recording import QUESTION, Recording
from instrumentation.tests.spending import until_refused

MODEL = "gpt-4o-mini"
ASK: dict[str, Any] = {"model": MODEL, "messages": QUESTION}
RESPOND: dict[str, Any] = {"model": MODEL, "input": "What is a trace?"}
EMBED: dict[str, Any] = {"model": "text-embedding-3-small", "input": "a"}


def _read(manager: Any) -> None:
    with manager as stream:
        for _ in stream if hasattr(stream, "__iter__") else stream.iter_bytes():
            pass


async def _read_async(manager: Any) -> None:
    async with manager as stream:
        async for _ in stream:
            pass


CALLS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda client: client.chat.completions.create(**ASK),
    "chat, streamed": lambda client: list(client.chat.completions.create(**ASK, stream=True)),
    "chat, stream helper": lambda client: _read(client.chat.completions.stream(**ASK)),
    "chat, parsed": lambda client: client.chat.completions.parse(**ASK),
    "chat, raw": lambda client: client.chat.completions.with_raw_response.create(**ASK),
    "chat, raw stream": lambda client: _read(client.chat.completions.with_streaming_response.create(**ASK)),
    "response": lambda client: client.responses.create(**RESPOND),
    "response, streamed": lambda client: list(client.responses.create(**RESPOND, stream=True)),
    "response, stream helper": lambda client: _read(client.responses.stream(**RESPOND)),
    "response, parsed": lambda client: client.responses.parse(**RESPOND),
    "response, raw": lambda client: client.responses.with_raw_response.create(**RESPOND),
    "embeddings": lambda client: client.embeddings.create(**EMBED),
    "embeddings, raw": lambda client: client.embeddings.with_raw_response.create(**EMBED),
}


async def _drain(stream: Awaitable[Any]) -> None:
    async for _ in await stream:
        pass


ASYNC_CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "chat": lambda client: client.chat.completions.create(**ASK),
    "chat, streamed": lambda client: _drain(client.chat.completions.create(**ASK, stream=True)),
    "chat, stream helper": lambda client: _read_async(client.chat.completions.stream(**ASK)),
    "chat, parsed": lambda client: client.chat.completions.parse(**ASK),
    "chat, raw": lambda client: client.chat.completions.with_raw_response.create(**ASK),
    "response": lambda client: client.responses.create(**RESPOND),
    "response, streamed": lambda client: _drain(client.responses.create(**RESPOND, stream=True)),
    "response, stream helper": lambda client: _read_async(client.responses.stream(**RESPOND)),
    "response, parsed": lambda client: client.responses.parse(**RESPOND),
    "embeddings": lambda client: client.embeddings.create(**EMBED),
}


@pytest.fixture
def budgeted() -> Iterator[Callable[..., Recording]]:
    """Starts a recording with budgets."""
    started: list[Recording] = []

    def start(*budgets: Budget, **options: Any) -> Recording:
        started.append(Recording(budgets=budgets, **options))
        return started[-1]

    yield start
    for recording in started:
        recording.close()


@pytest.fixture
def openai_client(provider: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("kind", CALLS)
def test_a_call_counts_once_and_is_refused_before_anything_is_recorded(
    kind: str, openai_client: openai.OpenAI, budgeted: Callable[..., Recording]
) -> None:
    recording = budgeted(Budget(by="feature", per="month", requests=2, on_exceeded="raise"))
    with genai_observability.attributed_to(feature="search"):
        assert until_refused(lambda: CALLS[kind](openai_client)) == 2
    assert [record[signals.OUTCOME.name] for record in recording.records] == ["success"] * 2
    assert len(recording.spans) == 2


@pytest.mark.parametrize("kind", ASYNC_CALLS)
def test_an_async_call_counts_once_and_is_refused_where_it_is_awaited(
    kind: str, provider: str, budgeted: Callable[..., Recording]
) -> None:
    recording = budgeted(Budget(by="feature", per="month", requests=2, on_exceeded="raise"))

    async def call() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            with genai_observability.attributed_to(feature="search"):
                return [await asyncio.gather(_awaited(kind, client), return_exceptions=True) for _ in range(3)]

    *made, (refused,) = asyncio.run(call())
    assert not any(isinstance(result, BaseException) for (result,) in made)
    assert isinstance(refused, BudgetExceeded)
    assert [record[signals.OUTCOME.name] for record in recording.records] == ["success"] * 2


async def _awaited(kind: str, client: openai.AsyncOpenAI) -> Any:
    return await ASYNC_CALLS[kind](client)


def test_the_coroutine_of_an_async_call_raises_and_not_the_call_that_makes_it(
    provider: str, budgeted: Callable[..., Recording]
) -> None:
    budgeted(Budget(by="feature", per="month", requests=1, on_exceeded="raise"))

    async def call() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            with genai_observability.attributed_to(feature="search"):
                calls = [client.chat.completions.create(**ASK) for _ in range(3)]
                return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(call())
    assert sum(isinstance(result, BudgetExceeded) for result in results) == 2


def test_money_is_counted_at_the_price_of_the_calls(
    openai_client: openai.OpenAI, budgeted: Callable[..., Recording]
) -> None:
    recording = budgeted(Budget(by="user", per="day", usd=0.0001, on_exceeded="raise"))

    def call() -> None:
        openai_client.chat.completions.create(**ASK)
        recording.settle()

    with genai_observability.attributed_to(user="alice"):
        until_refused(call)
        with pytest.raises(BudgetExceeded) as refused:
            call()
    costs = [record[signals.COST.name] for record in recording.records]
    assert sum(costs[:-1]) < 0.0001 <= sum(costs)
    assert refused.value.spent == pytest.approx(sum(costs))
    with genai_observability.attributed_to(user="bob"):
        call()
    call()


def test_64_threads_of_the_client_make_exactly_as_many_calls_as_they_may(
    openai_client: openai.OpenAI, budgeted: Callable[..., Recording]
) -> None:
    recording = budgeted(Budget(by="feature", per="month", requests=100, on_exceeded="raise"))

    @genai_observability.attributed_to(feature="search")
    def work(_number: int) -> int:
        return until_refused(lambda: openai_client.embeddings.create(**EMBED))

    with ThreadPoolExecutor(64) as pool:
        assert sum(pool.map(work, range(64))) == 100
    assert len(recording.records) == 100


def _methods() -> list[tuple[type, str]]:
    chat, responses, embeddings = (
        (Completions, AsyncCompletions),
        (Responses, AsyncResponses),
        (Embeddings, AsyncEmbeddings),
    )
    return [
        *((owner, name) for owner in chat for name in ("create", "parse")),
        *((owner, name) for owner in responses for name in ("create", "parse", "stream")),
        *((owner, "create") for owner in embeddings),
    ]


def test_the_methods_of_the_client_are_its_own_and_after_shutdown_nothing_is_refused(
    openai_client: openai.OpenAI, budgeted: Callable[..., Recording]
) -> None:
    before = [vars(owner)[name] for owner, name in _methods()]
    recording = budgeted(Budget(by="feature", per="month", requests=1, on_exceeded="raise"))
    raw = openai_client.chat.completions.with_raw_response  # the client keeps this
    assert [vars(owner)[name] for owner, name in _methods()] == before
    recording.handle.shutdown()
    with genai_observability.attributed_to(feature="search"):
        for _ in range(3):
            raw.create(**ASK)


def test_budgets_that_come_too_late_are_not_passed_over_in_silence(
    budgeted: Callable[..., Recording], caplog: pytest.LogCaptureFixture
) -> None:
    first = Budget(by="feature", per="month", requests=1)
    budgeted(first)
    genai_observability.instrument(budgets=[first])
    assert caplog.messages == []
    genai_observability.instrument(budgets=[Budget(by="feature", per="month", requests=2)])
    assert caplog.messages == ["Budgets are not enforced: an earlier instrument() began the recording without these."]


def test_without_recording_it_is_said_that_budgets_are_not_enforced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    genai_observability.instrument(budgets=[Budget(by="feature", per="month", requests=1)])
    assert "Budgets are not enforced: OTEL_SDK_DISABLED is set, and nothing is recorded." in caplog.messages


def test_everything_that_budgets_emit_is_in_the_catalogue(
    openai_client: openai.OpenAI, budgeted: Callable[..., Recording]
) -> None:
    recording = budgeted(Budget(by="feature", per="month", requests=1), Budget(by="user", per="day", usd=1e-9))
    with genai_observability.attributed_to(feature="search", user="alice"):
        for _ in range(3):
            openai_client.embeddings.create(**EMBED)
            recording.settle()
    names = {signals.BUDGET_EXCEEDED.name, signals.BUDGET_USED.name}
    assert names <= recording.metric_names()
    catalogue = {metric.name: metric for metric in signals.METRICS}
    for name in names:
        labels = {label.name for label in catalogue[name].labels}
        for point in recording.points(name):
            assert set(point.labels) <= labels, name


FORK = """
import os, sys, warnings
import genai_observability, openai
from genai_observability import Budget, BudgetExceeded
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later dislike any fork beside threads
handle = genai_observability.instrument(budgets=[Budget(by="team", per="month", requests=10, on_exceeded="raise")])
def calls():
    made = 0
    with openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="test") as client:
        with genai_observability.attributed_to(team="growth"):
            while True:
                try: client.embeddings.create(model="text-embedding-3-small", input="a")
                except BudgetExceeded: return made
                made += 1
                if made == 4 and "first" in globals(): return made
first = True
before = calls()
del first
if (child := os.fork()) == 0:
    os._exit(calls())
in_child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(before, in_child, calls())
"""


def test_a_forked_child_goes_on_from_what_its_parent_had_spent(provider: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, provider], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "4 6 6\n", done.stderr


def test_a_warned_call_is_made_and_its_warning_is_a_record_of_the_log(
    openai_client: openai.OpenAI, budgeted: Callable[..., Recording], caplog: pytest.LogCaptureFixture
) -> None:
    recording = budgeted(Budget(by="feature", per="month", requests=1))
    with caplog.at_level(logging.WARNING), genai_observability.attributed_to(feature="search"):
        for _ in range(3):
            openai_client.embeddings.create(**EMBED)
    assert len(recording.records) == 3
    assert [message[:46] for message in caplog.messages] == ["Model calls go on beyond a limit: The budget o"]
