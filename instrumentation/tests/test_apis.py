"""Every API of the client: the application sees and sends what it would without us, and one exact call is recorded."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import genai_observability
import httpx
import openai
import pytest
from genai_observability import signals
from genai_observability._capture.apis import _FETCHED, _POSTED

from instrumentation.tests import conversations as ask
from instrumentation.tests import scripts
from instrumentation.tests.conversations import Talk, attempt, converse
from instrumentation.tests.recording import Recording
from instrumentation.tests.wire import Answer, Wire, relay, scripted

GUIDE = Path(__file__).parents[2] / "docs/apis.md"
MILLION = 1_000_000
# Dollars a token by genai-prices; those of gpt-4o-mini, and of its answers here.
GREETING = (1_000 * 0.15 + 200 * 0.60) / MILLION
WEATHER = (300 * 0.15 + 40 * 0.60) / MILLION
TOOL = (500 * 0.15 + 60 * 0.60) / MILLION
SEARCHES = (4_000 * 0.15 + 500 * 0.60) / MILLION + 2 * 10 / 1_000
IMAGES = (20 * 5 + 40 * 10 + 4_160 * 40) / MILLION
TRANSCRIPT = (100 * 2.50 + 800 * 6 + 50 * 10) / MILLION
COMPLETION = (3_000 * 1.50 + 400 * 2) / MILLION


@dataclass(frozen=True, kw_only=True)
class Case:
    """A conversation, and what is to be recorded of it; without ``answers``, aimock answers."""

    talk: Talk
    operation: str = "chat"
    model: str = ask.MODEL
    cost: float | None = None
    unpriced: str | None = None
    outcome: str = "success"
    end: str | None = None
    recorded: Mapping[signals.Attribute, Any] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)


def tokens(given: int, written: int) -> dict[signals.Attribute, Any]:
    return {signals.INPUT_TOKENS: given, signals.OUTPUT_TOKENS: written}


STOPPED = {signals.FINISH_REASONS: ("stop",), signals.RESPONSE_ID: "chatcmpl-1"}
IMAGE_TOKENS = {**tokens(60, 4_160), signals.IMAGE_INPUT_TOKENS: 40, signals.IMAGE_OUTPUT_TOKENS: 4_160}
IMAGE: dict[str, Any] = {"operation": "image_generation", "model": "gpt-image-1"}
SPOKEN: dict[str, Any] = {"operation": "speech", "model": "tts-1"}
HEARD: dict[str, Any] = {"operation": "transcription", "model": "whisper-1"}
COMPLETED: dict[str, Any] = {
    "operation": "text_completion",
    "model": "gpt-3.5-turbo-instruct",
    "cost": COMPLETION,
    "recorded": {**tokens(3_000, 400), signals.FINISH_REASONS: ("stop",), signals.RESPONSE_ID: "cmpl-1"},
}

CASES: dict[str, Case] = {
    "chat": Case(talk=ask.chat, cost=GREETING, recorded={**STOPPED, **tokens(1_000, 200), signals.TEMPERATURE: 0.5}),
    "chat streamed": Case(
        talk=ask.chat_streamed, cost=GREETING, end="complete", recorded={**STOPPED, **tokens(1_000, 200)}
    ),
    "chat streamed without usage": Case(
        talk=ask.chat_streamed_without_usage, unpriced="no_usage", end="complete", recorded=STOPPED
    ),
    "chat streamed, read in pieces": Case(
        talk=ask.chat_streamed_in_pieces, unpriced="no_usage", end="complete", recorded=STOPPED
    ),
    "chat parsed": Case(talk=ask.chat_parsed, cost=WEATHER, recorded=tokens(300, 40)),
    "chat with tools": Case(
        talk=ask.chat_with_tools,
        cost=TOOL,
        recorded={**tokens(500, 60), signals.FINISH_REASONS: ("tool_calls",)},
    ),
    "chat with tools, streamed": Case(
        talk=ask.chat_with_tools_streamed,
        cost=TOOL,
        end="complete",
        recorded={**tokens(500, 60), signals.FINISH_REASONS: ("tool_calls",)},
    ),
    "chat, raw": Case(talk=ask.chat_raw, cost=GREETING, recorded={**STOPPED, **tokens(1_000, 200)}),
    "chat, raw, streamed": Case(
        talk=ask.chat_raw_streamed, cost=GREETING, end="complete", recorded={**STOPPED, **tokens(1_000, 200)}
    ),
    "chat, streaming response": Case(
        talk=ask.chat_streaming_response, unpriced="no_usage", recorded={signals.REQUEST_MODEL: ask.MODEL}
    ),
    "chat, lines of the answer": Case(talk=ask.chat_lines, unpriced="no_usage", end="complete"),
    "chat, helper for streams": Case(
        talk=ask.chat_stream_helper, cost=GREETING, end="complete", recorded={**STOPPED, **tokens(1_000, 200)}
    ),
    "chat, filtered": Case(
        talk=ask.chat_filtered,
        cost=(100 * 0.15 + 1 * 0.60) / MILLION,
        recorded={signals.FINISH_REASONS: ("content_filter",), signals.REFUSED: True},
    ),
    "chat, broken off": Case(talk=attempt(ask.chat_broken), unpriced="no_usage", outcome="error", end="broken"),
    "chat, refused": Case(
        talk=attempt(ask.chat_too_often),
        outcome="rate_limited",
        recorded={signals.ERROR_TYPE: "openai.RateLimitError"},
    ),
    "responses": Case(talk=ask.responses, cost=GREETING, recorded=tokens(1_000, 200)),
    "responses streamed": Case(talk=ask.responses_streamed, cost=GREETING, end="complete", recorded=tokens(1_000, 200)),
    "responses streamed, read in pieces": Case(
        talk=ask.responses_streamed_in_pieces, cost=GREETING, end="complete", recorded=tokens(1_000, 200)
    ),
    "responses parsed": Case(talk=ask.responses_parsed, cost=WEATHER, recorded=tokens(300, 40)),
    "responses, raw": Case(talk=ask.responses_raw, cost=GREETING, recorded=tokens(1_000, 200)),
    "responses, helper for streams": Case(
        talk=ask.responses_stream_helper, cost=GREETING, end="complete", recorded=tokens(1_000, 200)
    ),
    "responses with searches": Case(
        talk=ask.responses_with_searches, cost=SEARCHES, recorded={signals.WEB_SEARCHES: 2, **tokens(4_000, 500)}
    ),
    "responses with searches, streamed": Case(
        talk=ask.responses_with_searches_streamed,
        cost=SEARCHES,
        end="complete",
        recorded={signals.WEB_SEARCHES: 2, **tokens(4_000, 500)},
    ),
    "embeddings": Case(
        talk=ask.embeddings,
        operation="embeddings",
        model="text-embedding-3-small",
        cost=5_000 * 0.02 / MILLION,
        recorded={signals.INPUT_TOKENS: 5_000},
        answers={"/v1/embeddings": scripts.EMBEDDINGS},
    ),
    "images without usage": Case(talk=ask.images, **IMAGE, unpriced="no_usage", recorded={signals.IMAGES: 2}),
    "images": Case(
        talk=ask.images,
        **IMAGE,
        cost=IMAGES,
        recorded={signals.IMAGES: 2, **IMAGE_TOKENS},
        answers={"/v1/images/generations": scripts.IMAGES},
    ),
    "image edited": Case(talk=ask.image_edited, **IMAGE, unpriced="no_usage", recorded={signals.IMAGES: 2}),
    "images streamed": Case(
        talk=ask.images_streamed,
        **IMAGE,
        cost=IMAGES,
        end="complete",
        recorded={signals.IMAGES: 1, **IMAGE_TOKENS},
        answers={"/v1/images/generations": scripts.IMAGE_EVENTS},
    ),
    "images streamed without usage": Case(
        talk=ask.images_streamed,
        **IMAGE,
        unpriced="no_usage",
        end="complete",
        recorded={signals.IMAGES: 1},
        answers={"/v1/images/generations": scripts.IMAGE_EVENTS_WITHOUT_USAGE},
    ),
    "transcription streamed without usage": Case(
        talk=ask.transcription_streamed,
        operation="transcription",
        model="gpt-4o-transcribe",
        unpriced="no_usage",
        end="complete",
        answers={"/v1/audio/transcriptions": scripts.TRANSCRIPT_EVENTS_WITHOUT_USAGE},
    ),
    "speech": Case(talk=ask.speech, **SPOKEN, cost=16 * 15 / MILLION, recorded={signals.CHARACTERS: 16}),
    "speech, streaming response": Case(
        talk=ask.speech_streaming_response, **SPOKEN, cost=4 * 15 / MILLION, recorded={signals.CHARACTERS: 4}
    ),
    "transcription": Case(talk=ask.transcription("json"), **HEARD, unpriced="no_usage"),
    "transcription, verbose": Case(
        talk=ask.transcription("verbose_json"),
        **HEARD,
        cost=90.5 * 0.36 / 3_600,
        recorded={signals.AUDIO_SECONDS: 90.5},
    ),
    **{
        f"transcription, {kind}": Case(talk=ask.transcription(kind), **HEARD, unpriced="no_usage")
        for kind in ("text", "srt", "vtt")
    },
    "transcription by tokens": Case(
        talk=ask.transcription("json", "gpt-4o-transcribe"),
        operation="transcription",
        model="gpt-4o-transcribe",
        cost=TRANSCRIPT,
        recorded={**tokens(900, 50), signals.AUDIO_INPUT_TOKENS: 800},
    ),
    "transcription streamed": Case(
        talk=ask.transcription_streamed,
        operation="transcription",
        model="gpt-4o-transcribe",
        cost=TRANSCRIPT,
        end="complete",
        recorded={**tokens(900, 50), signals.AUDIO_INPUT_TOKENS: 800},
    ),
    "translation": Case(talk=ask.translation, operation="translation", model="whisper-1", unpriced="no_usage"),
    "moderation": Case(talk=ask.moderation, operation="moderation", model="omni-moderation-latest", cost=0.0),
    "completion": Case(talk=ask.completion, **COMPLETED, answers={"/v1/completions": scripts.COMPLETION}),
    "completion streamed": Case(
        talk=ask.completion_streamed,
        **COMPLETED,
        end="complete",
        answers={"/v1/completions": scripts.COMPLETION_EVENTS},
    ),
}


@pytest.fixture
def wire(request: pytest.FixtureRequest, other_provider: str) -> Iterator[Wire]:
    """A relay to aimock, or to a provider that gives the answers of the case."""
    answers = request.getfixturevalue("case").answers if "case" in request.fixturenames else {}
    if answers:
        with scripted(answers) as provider, relay(provider) as wire:
            yield wire
    else:
        with relay(other_provider) as wire:
            yield wire


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_application_sees_and_sends_what_it_would_without_us_and_one_call_is_recorded(
    case: Case, wire: Wire, *, asynchronous: bool
) -> None:
    alone = converse(case.talk, wire.url, asynchronous=asynchronous)
    sent_alone = wire.take()
    recording = Recording()
    try:
        with genai_observability.attributed_to(feature="guide", team="growth"):
            watched = converse(case.talk, wire.url, asynchronous=asynchronous)
        assert watched == alone
        assert wire.take() == sent_alone
        assert_recorded(case, recording)
    finally:
        recording.close()


def assert_recorded(case: Case, recording: Recording) -> None:
    record = recording.record
    expected = {
        signals.OPERATION: case.operation,
        signals.REQUEST_MODEL: case.model,
        signals.PROVIDER: "openai",
        signals.FEATURE: "guide",
        signals.TEAM: "growth",
        signals.OUTCOME: case.outcome,
        signals.UNPRICED: case.unpriced,
        signals.STREAM_END: case.end,
        **case.recorded,
    }
    assert {attribute.name: record.get(attribute.name) for attribute in expected} == {
        attribute.name: value for attribute, value in expected.items()
    }
    assert record.get(signals.COST.name) == (None if case.cost is None else pytest.approx(case.cost, rel=1e-9))
    (duration,) = recording.points(signals.CALL_DURATION.name)
    assert duration.count == 1
    assert len(recording.spans) == 1


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("talk", [ask.chat, ask.chat_streamed, ask.images, ask.speech, ask.embeddings])
def test_the_client_of_azure_is_left_as_it_is_too(talk: Talk, wire: Wire, *, asynchronous: bool) -> None:
    alone = converse(talk, wire.url, asynchronous=asynchronous, azure=True)
    sent_alone = wire.take()
    recording = Recording()
    try:
        assert converse(talk, wire.url, asynchronous=asynchronous, azure=True) == alone
        assert wire.take() == sent_alone
        assert b"api-version=2024-10-21" in sent_alone
        assert recording.record[signals.OUTCOME.name] == "success"
    finally:
        recording.close()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
def test_only_the_question_for_usage_is_added_to_a_request(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, *, asynchronous: bool
) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_STREAM_USAGE", "always")
    talk = ask.chat_streamed_without_usage
    alone = converse(talk, wire.url, asynchronous=asynchronous)
    head_alone, _, body_alone = wire.take().partition(b"\r\n\r\n")
    recording = Recording()
    try:
        assert converse(talk, wire.url, asynchronous=asynchronous) == alone
        head, _, body = wire.take().partition(b"\r\n\r\n")
        assert recording.record[signals.COST.name] == pytest.approx(GREETING)
    finally:
        recording.close()
    added = b',"stream_options":{"include_usage":true}'
    assert body == body_alone[:-1] + added + b"}"
    length, length_alone = (b"content-length: %d" % len(each) for each in (body, body_alone))
    assert head.lower() == head_alone.lower().replace(length_alone, length)


@pytest.mark.parametrize("streamed", [False, True], ids=["at once", "streamed"])
def test_what_a_router_says_that_it_charged_is_the_cost(
    other_provider: str, recording: Recording, *, streamed: bool
) -> None:
    with openai.OpenAI(base_url=f"{other_provider}/api/v1", api_key="test", max_retries=0) as client:
        answer: Any = client.chat.completions.create(
            model="openai/gpt-4o-mini", messages=ask.messages("cost of a router"), stream=streamed
        )
        usage = [*answer][-1].usage if streamed else answer.usage
    assert usage.cost == 0.00123
    assert recording.record[signals.COST.name] == 0.00123
    assert recording.record[signals.COST_SOURCE.name] == "provider"


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.5, "is_byok": True, "cost_details": {"upstream_inference_cost": 2.0}}, 2.5),
        ({"cost": 0.5, "is_byok": True, "cost_details": None}, 0.5),
        ({"cost": 0.5, "cost_details": {"upstream_inference_cost": 0.5}}, 0.5),
        ({"cost": 0}, 0.0),
    ],
)
def test_a_router_that_uses_ones_own_key_charges_besides_the_provider(
    recording: Recording, usage: dict[str, Any], cost: float
) -> None:
    ask_scripted(scripts.as_json(scripts.chat(usage={**scripts.chat()["usage"], **usage})))
    assert recording.record[signals.COST.name] == cost


@pytest.mark.parametrize(("said", "cost"), [("0.0042", 0.0042), ("0.0", GREETING), ("", GREETING), ("free", GREETING)])
def test_a_proxy_says_the_cost_in_a_header(recording: Recording, said: str, cost: float) -> None:
    ask_scripted(scripts.as_json(scripts.chat(), headers={"x-litellm-response-cost": said}))
    assert recording.record[signals.COST.name] == pytest.approx(cost)
    assert recording.record[signals.COST_SOURCE.name] == ("provider" if cost == 0.0042 else "local")


def ask_scripted(answer: Answer, talk: Talk = ask.chat, *, path: str = "/v1/chat/completions") -> Any:
    with scripted({path: answer}) as provider:
        return converse(attempt(talk), provider, asynchronous=False)


def refusing(**message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    return {"index": 0, "finish_reason": "stop", "message": {**said, **message}}


def test_a_refusal_is_told_apart_from_an_answer(recording: Recording) -> None:
    ask_scripted(scripts.as_json(scripts.chat(choices=[refusing()])))
    assert recording.record[signals.REFUSED.name] is True
    assert recording.record[signals.OUTCOME.name] == "success"


def test_a_streamed_refusal_is_told_apart_too(recording: Recording) -> None:
    words = [{"index": 0, "finish_reason": None, "delta": {"refusal": word}} for word in ("I", " cannot")]
    end = {"index": 0, "finish_reason": "stop", "delta": {}}
    chunks = [scripts.chunk(choices=[choice]) for choice in (*words, end)]
    ask_scripted(scripts.as_events(*chunks), ask.chat_streamed_without_usage)
    assert recording.record[signals.REFUSED.name] is True


def test_a_refusal_and_searches_of_files_in_a_response_are_seen(recording: Recording) -> None:
    refusal = {"type": "refusal", "refusal": "No."}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [refusal]}
    search = {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["a trace"]}
    opened = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "open_page"}}
    answer = scripts.as_json(scripts.response(output=[search, search, opened, message]))
    ask_scripted(answer, ask.responses, path="/v1/responses")
    record = recording.record
    assert record[signals.REFUSED.name] is True
    assert record[signals.FILE_SEARCHES.name] == 2
    assert signals.WEB_SEARCHES.name not in record  # opening a page is free
    assert record[signals.COST.name] == pytest.approx(
        (600 * 0.15 + 400 * 0.075 + 200 * 0.60) / MILLION + 2 * 2.50 / 1_000
    )


def test_every_choice_of_an_answer_has_its_finish_reason(recording: Recording) -> None:
    message = {"role": "assistant", "content": "Yes."}
    choices = [{"index": n, "finish_reason": why, "message": message} for n, why in enumerate(("stop", "length"))]
    ask_scripted(scripts.as_json(scripts.chat(choices=choices)))
    assert recording.record[signals.FINISH_REASONS.name] == ("stop", "length")


def test_aimock_saw_the_calls_of_its_journal_only_once(other_provider: str, recording: Recording) -> None:
    before = journal(other_provider)
    converse(ask.chat, other_provider, asynchronous=False)
    assert journal(other_provider) == before + 1
    assert len(recording.records) == 1


def journal(provider: str) -> int:
    answer = httpx.get(f"{provider}/__aimock/journal", params={"path": "/v1/chat/completions", "limit": 1})
    return int(answer.headers["x-total-count"])


def test_the_guide_names_every_api_and_what_its_calls_are_called() -> None:
    rows = re.findall(r"^\| `([\w.]+)`(.*?) \| `(\w+)` \|", GUIDE.read_text(), re.MULTILINE)
    named = {
        (f"{method.rpartition('.')[0]}.{name}", operation)
        for method, others, operation in rows
        for name in (method.rpartition(".")[2], *re.findall(r"`\.(\w+)`", others))
    }
    assert {operation for _, operation in named} == {api.operation for api in (*_POSTED.values(), _FETCHED)}
    assert {case.operation for case in CASES.values()} <= {operation for _, operation in named}
