"""Every request of the client goes through one place: calls are recorded whichever way they are made, others are not.

And whatever fails in that place, the application gets its answer.
"""

import dataclasses
import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import genai_observability
import openai
import pytest
from genai_observability import Budget, signals
from genai_observability._budgets.enforcement import Enforcement
from genai_observability._capture import answers, deferred, seam, streams
from genai_observability._capture.apis import Api, api_of
from genai_observability._capture.open_calls import OpenCall, OpenCalls
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from opentelemetry.sdk.trace import Span, Tracer

from instrumentation.tests import conversations as ask
from instrumentation.tests import scripts
from instrumentation.tests.conversations import MODEL, Talk, all_of, attempt, converse, messages, now
from instrumentation.tests.recording import Recording
from instrumentation.tests.wire import Answer, scripted

BODY: Final[dict[str, Any]] = {"model": MODEL, "messages": messages("greet me"), "temperature": 0.5}
USAGE: Final = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
ANSWER: Final = scripts.as_json(scripts.chat())
CHUNKS: Final = scripts.as_events(scripts.chunk(), scripts.chunk(), scripts.chunk(choices=[], usage=USAGE))


async def method(client: Any) -> Any:
    return await now(client.chat.completions.create(**BODY))


async def posted(client: Any) -> Any:
    return await now(client.post("/chat/completions", body=BODY, cast_to=ChatCompletion))


async def raw(client: Any) -> Any:
    answer = await now(client.chat.completions.with_raw_response.create(**BODY))
    return answer.parse()


async def method_streamed(client: Any) -> Any:
    return await all_of(await now(client.chat.completions.create(**BODY, stream=True)))


async def posted_streamed(client: Any) -> Any:
    kind: Any = AsyncStream if isinstance(client, openai.AsyncOpenAI) else Stream
    stream = await now(
        client.post(
            "/chat/completions",
            body={**BODY, "stream": True},
            cast_to=ChatCompletion,
            stream=True,
            stream_cls=kind[ChatCompletionChunk],
        )
    )
    return await all_of(stream)


async def raw_streamed(client: Any) -> Any:
    answer = await now(client.chat.completions.with_raw_response.create(**BODY, stream=True))
    return await all_of(answer.parse())


class Subclass(openai.OpenAI):
    """A client of the application's own."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        return super().request(*args, **kwargs)


class AsyncSubclass(openai.AsyncOpenAI):
    """Likewise."""

    async def request(self, *args: Any, **kwargs: Any) -> Any:
        return await super().request(*args, **kwargs)


def stable(values: Any) -> dict[str, Any]:
    """What a call's record or span says, without times and ids."""
    passing = {signals.COST.name, signals.TEMPERATURE.name}
    return {
        name: value
        for name, value in values.items()
        if name in passing or not (isinstance(value, float) or name in ("trace_id", "body", "log.record.uid"))
    }


def recorded(talk: Talk, url: str, *, asynchronous: bool) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """What the application sees; what is recorded of the one call, and of its span."""
    recording = Recording()
    try:
        saw = converse(talk, url, asynchronous=asynchronous)
        (span,) = recording.spans
        return saw, stable(recording.record), {"name": span.name, **stable(span.attributes)}
    finally:
        recording.close()


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[str]:
    """A provider that gives each path one answer."""
    with scripted({"/v1/chat/completions": request.param}) as provider:
        yield provider


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("answering", [ANSWER], indirect=True, ids=[""])
@pytest.mark.parametrize("talk", [posted, raw])
def test_a_call_is_recorded_the_same_whichever_way_it_is_made(
    talk: Talk, answering: str, *, asynchronous: bool
) -> None:
    found = recorded(talk, answering, asynchronous=asynchronous)
    assert found == recorded(method, answering, asynchronous=asynchronous)
    assert found[1][signals.COST.name] > 0


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("answering", [CHUNKS], indirect=True, ids=[""])
@pytest.mark.parametrize("talk", [posted_streamed, raw_streamed])
def test_so_is_one_whose_answer_is_streamed(talk: Talk, answering: str, *, asynchronous: bool) -> None:
    found = recorded(talk, answering, asynchronous=asynchronous)
    assert found == recorded(method_streamed, answering, asynchronous=asynchronous)
    assert found[1][signals.STREAM_END.name] == "complete"
    assert found[1][signals.COST.name] > 0


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize(
    ("answering", "talk"), [(ANSWER, method), (CHUNKS, method_streamed)], indirect=["answering"], ids=["", "streamed"]
)
def test_so_is_a_call_of_a_client_that_the_application_derives(
    talk: Talk, answering: str, monkeypatch: pytest.MonkeyPatch, *, asynchronous: bool
) -> None:
    found = recorded(talk, answering, asynchronous=asynchronous)
    monkeypatch.setattr(openai, "OpenAI", Subclass)
    monkeypatch.setattr(openai, "AsyncOpenAI", AsyncSubclass)
    assert recorded(talk, answering, asynchronous=asynchronous) == found


async def others(client: Any) -> Any:
    return [
        await all_of(await now(client.models.list())),
        await now(client.models.retrieve("m")),
        (await now(client.files.content("1"))).content,
        await now(client.files.create(file=b"x", purpose="batch")),
        await now(client.get("/models", cast_to=object)),
    ]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
def test_a_request_that_is_no_call_is_not_recorded(*, asynchronous: bool) -> None:
    said = scripts.as_json({"id": "m", "object": "x", "data": [], "usage": USAGE})
    paths = ("/v1/models", "/v1/models/m", "/v1/files/1/content", "/v1/files")
    with scripted(dict.fromkeys(paths, said)) as provider:
        alone = converse(others, provider, asynchronous=asynchronous)
        recording = Recording()
        try:
            assert converse(others, provider, asynchronous=asynchronous) == alone
            assert (recording.records, recording.spans) == ([], ())
        finally:
            recording.close()


# --- Faults ----------------------------------------------------------------------------------------------------------


def fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a fault of ours")


def _fails(api: Api | None) -> Api | None:
    return api and dataclasses.replace(api, read=fail, read_stream=fail, asked=fail)


def _of_methods(owner: type, *names: str) -> dict[str, tuple[Any, str, Any]]:
    return {f"{owner.__name__}.{name}": (owner, name, fail) for name in names}


def _of_module(module: Any, *names: str) -> dict[str, tuple[Any, str, Any]]:
    return {f"{module.__name__.rpartition('.')[2]}.{name}": (module, name, fail) for name in names}


FAULTS: Final[dict[str, tuple[Any, str, Callable[..., Any]]]] = {
    **_of_module(seam, "api_of", "request_attributes", "asking_for_usage"),
    "the functions of an API": (seam, "api_of", lambda *url: _fails(api_of(*url))),
    **_of_methods(seam._UnderWay, "_begin", "_attributes", "_answered", "_end_span"),
    **_of_module(answers, "plain"),
    **_of_module(deferred, "submitted", "fetched"),
    **_of_module(
        streams, "end_when_closed", "_note_in_full", "_tells_more", "carries_token", "_refuses", "_read", "_call_of"),
    **_of_methods(OpenCalls, "begin", "of", "begun_by_wrapper", "end"),
    **_of_methods(OpenCall, "end", "fail", "keep"),
    **_of_methods(Tracer, "start_span"),
    **_of_methods(Span, "set_attributes", "set_status", "end"),
    **_of_methods(Enforcement, "admit"),
}  # fmt: skip
TALKS: Final[dict[str, tuple[Talk, Answer]]] = {
    "plain": (method, ANSWER),
    "raw": (raw, ANSWER),
    "streamed": (method_streamed, CHUNKS),
    "raw, streamed": (raw_streamed, CHUNKS),
    "left": (ask.chat_streamed_in_pieces, CHUNKS),
    "lines": (ask.chat_lines, CHUNKS),
    "refused": (method, Answer(b'{"error": {"message": "no"}}', status=400)),
    "broken": (method_streamed, Answer(CHUNKS.body[:-40], CHUNKS.kind, breaks=True)),
}


def conversations() -> list[Any]:
    """What an application sees of all conversations, with the plain and the asynchronous client."""
    paths = {"/v1/chat/completions": ANSWER}
    with scripted(paths) as provider:
        found = []
        for talk, paths["/v1/chat/completions"] in TALKS.values():
            found += [converse(attempt(talk), provider, asynchronous=asynchronous) for asynchronous in (False, True)]
        return found


@pytest.fixture(scope="module")
def alone() -> list[Any]:
    return conversations()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_any_part_of_the_seam_leaves_calls_to_the_application_as_they_are(
    fault: str,
    alone: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    recording = Recording(budgets=[Budget(by="feature", per="day", requests=1000)])
    try:
        with monkeypatch.context() as patch, genai_observability.attributed_to(feature="search"):
            patch.setattr(*FAULTS[fault])
            assert conversations() == alone
            gc.collect()
            recording.settle()
    finally:
        recording.close()
    assert {each.message for each in caplog.records if each.levelno >= logging.WARNING} == set()
    assert capfd.readouterr().err == ""
