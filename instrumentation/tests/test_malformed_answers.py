"""Whatever a provider answers, the application sees what it would without us, and one call is recorded."""

import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from genai_observability import signals
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from instrumentation.tests import conversations as ask
from instrumentation.tests import scripts
from instrumentation.tests.conversations import Talk, attempt, converse, now
from instrumentation.tests.recording import QUESTION, Recording
from instrumentation.tests.wire import Answer, scripted

CHAT, RESPONSES, IMAGES = "/v1/chat/completions", "/v1/responses", "/v1/images/generations"
HUGE = 10**30


def usage(**more: Any) -> dict[str, Any]:
    return {"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200, **more}


CHATS: dict[str, Any] = {
    "no usage": scripts.chat(usage=None),
    "no choices": scripts.chat(choices=None),
    "a null choice": scripts.chat(choices=[None]),
    "a choice without message": scripts.chat(choices=[{"index": 0, "finish_reason": "stop", "message": None}]),
    "choices of a wrong type": scripts.chat(choices="many"),
    "a finish reason of a wrong type": scripts.chat(choices=[{"index": 0, "finish_reason": {"why": 1}}]),
    "usage of a wrong type": scripts.chat(usage="much"),
    "usage as a list": scripts.chat(usage=[1, 2]),
    "counts of wrong types": scripts.chat(usage=usage(prompt_tokens="many", completion_tokens=[3])),
    "negative counts": scripts.chat(usage=usage(prompt_tokens=-5, completion_tokens=-1)),
    "giant counts": scripts.chat(usage=usage(prompt_tokens=HUGE, completion_tokens=HUGE)),
    "details of a wrong type": scripts.chat(usage=usage(prompt_tokens_details=7, completion_tokens_details="x")),
    "a model of a wrong type": scripts.chat(model=5, id=7, service_tier=["flex"]),
    "a cost of a wrong type": scripts.chat(usage=usage(cost={"total": "much"}, is_byok=True)),
    "a giant cost": scripts.chat(usage=usage(cost=1e300)),
    "a list": [1, 2, 3],
    "a string": "hello",
    "nothing": None,
    "an empty object": {},
}
CHUNKS: dict[str, list[Any]] = {
    "no choices": [scripts.chunk(choices=None), scripts.chunk()],
    "a null choice": [scripts.chunk(choices=[None]), scripts.chunk()],
    "no delta": [scripts.chunk(choices=[{"index": 0, "finish_reason": "stop", "delta": None}])],
    "a giant index": [scripts.chunk(choices=[{"index": HUGE, "finish_reason": "stop", "delta": {"content": "Yes."}}])],
    "a negative index": [scripts.chunk(choices=[{"index": -3, "finish_reason": "stop", "delta": {"content": "Yes."}}])],
    "an index of a wrong type": [scripts.chunk(choices=[{"index": "a", "delta": {"content": "Yes."}}])],
    "a tool call with a giant index": [
        scripts.chunk(choices=[{"index": 0, "delta": {"tool_calls": [{"index": HUGE, "function": None}]}}])
    ],
    "usage of a wrong type": [scripts.chunk(), scripts.chunk(choices=[], usage="much")],
    "giant usage": [scripts.chunk(), scripts.chunk(choices=[], usage=usage(prompt_tokens=HUGE))],
    "a list": [[1, 2]],
    "a number": [5],
    "no chunk at all": [],
    "an error": [scripts.chunk(), {"error": {"message": "overloaded", "type": "server_error"}}],
}
ANSWERS: dict[str, Any] = {
    "no usage": scripts.response(usage=None),
    "no output": scripts.response(output=None),
    "null items": scripts.response(output=[None]),
    "items of wrong types": scripts.response(output=["a", 5, {"type": "web_search_call", "action": "x"}, {}]),
    "usage of a wrong type": scripts.response(usage="much"),
    "giant counts": scripts.response(usage={"input_tokens": HUGE, "output_tokens": HUGE, "total_tokens": HUGE}),
    "an error of a wrong type": scripts.response(error="broken", status="failed"),
    "a status of a wrong type": scripts.response(status=["done"]),
    "a list": [1],
    "an empty object": {},
}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing of ours, or of OpenTelemetry, complains in the application's log."""
    with caplog.at_level(logging.ERROR):
        yield
    assert [record.getMessage() for record in caplog.records] == []


def assert_same_with_and_without(talk: Talk, path: str, answer: Answer, *, asynchronous: bool) -> dict[str, Any]:
    """The application sees the same; the record of the one call."""
    with scripted({path: answer}) as provider:
        alone = converse(attempt(talk), provider, asynchronous=asynchronous)
        recording = Recording()
        try:
            assert converse(attempt(talk), provider, asynchronous=asynchronous) == alone
            encode_spans(recording.spans)  # what cannot be encoded takes all that is exported with it along
            for metric in (signals.CALL_TOKENS, signals.CALL_DURATION):
                assert all(point.value < 2**63 for point in recording.points(metric.name))
            record = recording.record
            assert all(value < 2**63 for name, value in record.items() if type(value) is int and name != "trace_id")
            return record
        finally:
            recording.close()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("body", CHATS.values(), ids=CHATS.keys())
def test_a_malformed_chat_answer_is_the_applications_to_see(body: Any, *, asynchronous: bool) -> None:
    record = assert_same_with_and_without(ask.chat, CHAT, scripts.as_json(body), asynchronous=asynchronous)
    assert signals.DURATION.name in record


@pytest.mark.parametrize("body", CHATS.values(), ids=CHATS.keys())
def test_so_is_a_malformed_raw_answer(body: Any) -> None:
    async def talk(client: Any) -> Any:
        raw = await now(client.chat.completions.with_raw_response.create(model=ask.MODEL, messages=QUESTION))
        return raw.text

    assert_same_with_and_without(talk, CHAT, scripts.as_json(body), asynchronous=False)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS.keys())
@pytest.mark.parametrize("usage", ["never", "always"])
def test_malformed_chunks_are_the_applications_to_see(
    chunks: list[Any], usage: str, monkeypatch: pytest.MonkeyPatch, *, asynchronous: bool
) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_STREAM_USAGE", usage)
    talk = ask.chat_streamed if usage == "never" else ask.chat_streamed_without_usage
    if usage == "always":  # what is hidden from the application it would not have been sent
        chunks = [chunk for chunk in chunks if not (isinstance(chunk, dict) and chunk.get("usage"))]
    assert_same_with_and_without(talk, CHAT, scripts.as_events(*chunks), asynchronous=asynchronous)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_malformed_response_is_the_applications_to_see(body: Any, *, asynchronous: bool) -> None:
    async def talk(client: Any) -> Any:
        return await now(client.responses.create(model=ask.MODEL, input="?"))

    assert_same_with_and_without(talk, RESPONSES, scripts.as_json(body), asynchronous=asynchronous)


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_malformed_last_event_of_a_response_is_the_applications_to_see(body: Any) -> None:
    events = scripts.as_events({"type": "response.completed", "response": body, "sequence_number": 1})
    assert_same_with_and_without(ask.responses_streamed, RESPONSES, events, asynchronous=False)


IMAGE_ANSWERS: tuple[Any, ...] = (
    [1],
    {},
    {"data": None, "usage": 5},
    {"data": [None], "usage": {"output_tokens": HUGE}},
)


@pytest.mark.parametrize("body", IMAGE_ANSWERS)
def test_malformed_images_are_the_applications_to_see(body: Any) -> None:
    assert_same_with_and_without(ask.images, IMAGES, scripts.as_json(body), asynchronous=False)


TRANSPORT = {
    "malformed JSON": Answer(b'{"id": "chatcmpl-1", "choi'),
    "no body": Answer(b""),
    "another type of content": Answer(b"<html>Bad gateway</html>", "text/html"),
    "an answer that breaks off": Answer(b'{"id": "chatcmpl-1"', breaks=True),
    "headers of nonsense": scripts.as_json(
        scripts.chat(),
        headers={
            "openai-processing-ms": "soon",
            "x-ratelimit-limit-tokens": "-1",
            "x-ratelimit-remaining-tokens": "nan",
            "x-litellm-response-cost": "1e999999",
            "x-request-id": "x" * 5_000,
        },
    ),
    "a refusal with nonsense": Answer(b"[[[", status=429, headers={"retry-after": "whenever"}),
    "a refusal without a body": Answer(b"", status=500),
}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("answer", TRANSPORT.values(), ids=TRANSPORT.keys())
def test_a_broken_answer_is_the_applications_to_see(answer: Answer, *, asynchronous: bool) -> None:
    assert_same_with_and_without(ask.chat, CHAT, answer, asynchronous=asynchronous)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
def test_a_stream_whose_connection_breaks_is_broken(*, asynchronous: bool) -> None:
    whole = scripts.as_events(scripts.chunk(), scripts.chunk())
    answer = Answer(whole.body[:-30], whole.kind, breaks=True)
    record = assert_same_with_and_without(ask.chat_streamed, CHAT, answer, asynchronous=asynchronous)
    assert (record[signals.STREAM_END.name], record[signals.OUTCOME.name]) == ("broken", "error")
    assert record[signals.ESTIMATED_OUTPUT.name] >= 1


def test_usage_is_read_even_where_the_choices_cannot_be() -> None:
    record = assert_same_with_and_without(ask.chat, CHAT, scripts.as_json(CHATS["a null choice"]), asynchronous=False)
    assert record[signals.INPUT_TOKENS.name] == 1_000
    assert record[signals.RESPONSE_ID.name] == "chatcmpl-1"


ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"messages": None},
    {"model": None},
    {"model": ["gpt"]},
    {"temperature": "hot", "n": "x", "max_tokens": -1, "stop": 5},
    {"extra_body": "text"},
    {"extra_headers": {"x": None}},
    {"stream": "yes"},
    {"response_format": 5, "tools": 7},
    {"unknown": 1},
    {"service_tier": 5},
)


METHODS: tuple[Callable[[Any], Callable[..., Any]], ...] = (
    lambda client: client.chat.completions.create,
    lambda client: client.responses.create,
    lambda client: client.images.generate,
    lambda client: client.completions.create,
    lambda client: client.embeddings.create,
)


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_odd_arguments_are_the_clients_to_refuse(arguments: dict[str, Any]) -> None:
    def calling(method: Callable[[Any], Callable[..., Any]]) -> Talk:
        async def talk(client: Any) -> Any:
            return method(client)(**{"model": ask.MODEL, **arguments})

        return attempt(talk)

    answers = {path: scripts.as_json({}) for path in (CHAT, RESPONSES, IMAGES, "/v1/completions", "/v1/embeddings")}
    with scripted(answers) as provider:
        alone = [converse(calling(method), provider, asynchronous=False) for method in METHODS]
        recording = Recording()
        try:
            assert [converse(calling(method), provider, asynchronous=False) for method in METHODS] == alone
            gc.collect()  # of streams that nobody reads
            made = [seen for seen in alone if "TypeError" not in repr(seen)]  # what the client refuses is no call
            assert len(made) <= len(recording.records) <= len(METHODS)
            assert not trace.get_current_span().get_span_context().is_valid
        finally:
            recording.close()


@pytest.mark.parametrize(
    ("chaos", "outcomes"),
    [
        ("drop", {"error"}),
        ("malformed", {"error", "success"}),  # of a sound the client cannot tell
        ("disconnect", {"error"}),
        ("ratelimit", {"rate_limited"}),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("talk", [ask.chat, ask.responses, ask.speech], ids=["chat", "responses", "speech"])
def test_faults_of_another_provider_are_the_applications_to_see(
    talk: Talk, chaos: str, outcomes: set[str], other_provider: str, *, asynchronous: bool
) -> None:
    async def faulty(client: Any) -> Any:
        return await talk(client.with_options(default_headers={f"x-aimock-chaos-{chaos}": "1"}))

    alone = converse(attempt(faulty), other_provider, asynchronous=asynchronous)
    recording = Recording()
    try:
        assert converse(attempt(faulty), other_provider, asynchronous=asynchronous) == alone
        assert recording.record[signals.OUTCOME.name] in outcomes
    finally:
        recording.close()
