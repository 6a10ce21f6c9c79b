"""Questions and answers leave the process only where that was asked for, and then redacted and cut."""

import asyncio
import gc
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import openai
import pydantic
import pytest
from genai_observability import Content, signals
from genai_observability._capture.open_calls import Dialogue, Room
from genai_observability._commands.doctor import doctor
from genai_observability._content.recorded import BYTES_A_SPAN, SPANS_AN_EXPORT
from genai_observability._recorder import Options, Recorder
from opentelemetry.trace.status import StatusCode

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.recording import QUESTION, Recording

SECRET = "the code is 4711-blue"
CARD = "4111 1111 1111 1111"


@dataclass
class Provider:
    """A provider in this process: answers each request with what it is told, and keeps what it was asked."""

    answer: dict[str, Any] = field(default_factory=lambda: {"role": "assistant", "content": "Certainly."})
    chunks: list[dict[str, Any]] | None = None
    asked: list[Any] = field(default_factory=list)

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._respond)

    def client(self) -> openai.OpenAI:
        http = httpx.Client(transport=self.transport())
        return openai.OpenAI(api_key="test", base_url="http://provider.test/v1", http_client=http, max_retries=0)

    def async_client(self) -> openai.AsyncOpenAI:
        http = httpx.AsyncClient(transport=self.transport())
        return openai.AsyncOpenAI(api_key="test", base_url="http://provider.test/v1", http_client=http, max_retries=0)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append(body)
        known: dict[str, Any] = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini"}
        if not body.get("stream"):
            choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": self.answer}
            answer = known | {"object": "chat.completion", "choices": [choice]}
            return httpx.Response(200, headers={"content-type": "application/json"}, content=json.dumps(answer))
        chunks = self.chunks or [{"content": "Cer"}, {"content": "tainly."}]
        choices: list[dict[str, Any]] = [{"index": 0, "delta": chunk, "finish_reason": None} for chunk in chunks]
        choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        events = [json.dumps(known | {"object": "chat.completion.chunk", "choices": [choice]}) for choice in choices]
        text = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())


Start = Callable[..., Recorder]


@pytest.fixture
def start(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a recording that exports to ``capture``; ends it with the test."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", capture.url)
    started: list[Recorder] = []

    def start(**options: Any) -> Recorder:
        recorder = Recorder(Options(service_name="shop", logs=False, globally=False, **options))
        started.append(recorder)
        return recorder

    yield start
    for recorder in started:
        recorder.shutdown(10)


def exported(recorder: Recorder, capture: Capture) -> dict[str, Any]:
    """The attributes of the newest span, with JSON texts parsed."""
    assert recorder.force_flush(20)
    attributes = values(capture.spans[-1].attributes)
    return {name: json.loads(value) if name in CONTENT_NAMES else value for name, value in attributes.items()}


CONTENT_NAMES = {attribute.name for attribute in signals.CONTENT}
IN, OUT, SYSTEM, TOOLS = (attribute.name for attribute in signals.CONTENT)


def said(messages: list[dict[str, Any]]) -> list[str]:
    return [part["content"] for message in messages for part in message["parts"]]


# --- Off -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detect_threats", [False, True])
def test_by_default_no_byte_of_question_or_answer_leaves_the_process(
    start: Start, capture: Capture, detect_threats: bool, caplog: pytest.LogCaptureFixture
) -> None:
    provider = Provider({"role": "assistant", "content": f"Yes: {SECRET}"}, [{"content": "Yes: "}, {"content": SECRET}])
    recorder = start(detect_threats=detect_threats)
    client = provider.client()
    question: list[Any] = [{"role": "system", "content": SECRET}, {"role": "user", "content": f"Pay {SECRET} {CARD}"}]
    tools: list[Any] = [{"type": "function", "function": {"name": "f", "description": SECRET, "parameters": {}}}]
    client.chat.completions.create(model="gpt-4o-mini", messages=question, tools=tools)
    list(client.chat.completions.create(model="gpt-4o-mini", messages=question, stream=True))
    assert recorder.force_flush(20)
    assert len(capture.spans) == 2
    for piece in (b"4711-blue", b"4111", b"Pay", b"Yes: "):
        assert piece not in capture.everything
    assert SECRET not in caplog.text
    assert not CONTENT_NAMES & set(values(capture.spans[0].attributes))


def test_content_that_another_instrumentation_puts_on_its_spans_is_taken_off(start: Start, capture: Capture) -> None:
    recorder = start()
    tracer = recorder._providers.tracer.get_tracer("other")
    for attributes in (
        {"gen_ai.operation.name": "chat", "gen_ai.input.messages": SECRET, "gen_ai.prompt.0.content": SECRET},
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": SECRET, "gen_ai.tool.name": "f"},
    ):
        with tracer.start_as_current_span("other", attributes=attributes) as span:
            span.add_event("gen_ai.content.prompt", {"gen_ai.prompt": SECRET})
    assert recorder.force_flush(20)
    assert len(capture.spans) == 2
    assert b"4711-blue" not in capture.everything
    assert b"gen_ai.tool.name" in capture.everything


@pytest.mark.parametrize("operation", ["chat", "execute_tool", "decide"])
def test_the_error_message_of_every_span_with_content_is_scrubbed(
    start: Start, capture: Capture, operation: str
) -> None:
    recorder = start()
    tracer = recorder._providers.tracer.get_tracer("other")
    told = {"gen_ai.operation.name": operation, "final_result": "x"}
    with tracer.start_as_current_span("other", attributes=told) as span:
        span.set_status(StatusCode.ERROR, f"refused: '{SECRET}'")
    assert recorder.force_flush(20)
    assert capture.spans[0].status.message == "refused: '…'"
    assert b"4711-blue" not in capture.everything


@pytest.mark.parametrize("operation", ["chat", "execute_tool"])
def test_what_an_exception_quotes_is_taken_out_of_its_event(start: Start, capture: Capture, operation: str) -> None:
    recorder = start()
    tracer = recorder._providers.tracer.get_tracer("other")

    def refuse() -> None:
        raise ValueError(f"no place for {CARD}, said in: '{SECRET}'")

    with (
        suppress(ValueError),
        tracer.start_as_current_span("other", attributes={"gen_ai.operation.name": operation, "inputs": "x"}),
    ):
        refuse()
    assert recorder.force_flush(20)
    (span,) = capture.spans
    (event,) = span.events
    told = values(event.attributes)
    assert told["exception.message"] == "no place for [card], said in: '…'"
    assert "in refuse" in told["exception.stacktrace"]
    assert b"4711-blue" not in capture.everything
    assert b"4111" not in capture.everything


PYDANTIC_AI = {  # what its version 2.68.0 puts on spans with content
    "chat": ("model_request_parameters", "gen_ai.input.messages", "gen_ai.system_instructions"),
    "embeddings": ("inputs", "embeddings"),
    "image_generation": ("prompt",),
    "execute_tool": ("tool_arguments", "tool_response", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result",
                     "pydantic_ai.tool.deferral.metadata"),
    "invoke_agent": ("pydantic_ai.all_messages", "final_result", "gen_ai.system_instructions"),
    "decide": ("pydantic_ai.decision.state", "pydantic_ai.decision.answers"),
}  # fmt: skip


@pytest.mark.parametrize("content", ["off", "full"])
@pytest.mark.parametrize("operation", PYDANTIC_AI)
def test_content_of_pydantic_ai_is_taken_off_its_calls_and_steps_or_redacted(
    start: Start, capture: Capture, operation: str, content: Any
) -> None:
    recorder = start(content=content)
    told = {name: json.dumps([{"content": f"Charge {CARD}"}]) for name in PYDANTIC_AI[operation]}
    said = {"gen_ai.operation.name": operation, "logfire.json_schema": '{"type":"object"}', **told}
    with recorder._providers.tracer.get_tracer("pydantic-ai").start_as_current_span("of pydantic-ai", attributes=said):
        pass
    assert recorder.force_flush(20)
    (span,) = capture.spans
    assert b"4111" not in capture.everything
    assert {"gen_ai.operation.name", "logfire.json_schema"} <= set(values(span.attributes))
    # Of a call only the messages are recorded.
    kept = content == "full" and operation in ("chat", "execute_tool", "invoke_agent", "decide")
    assert (b"Charge [card]" in capture.everything) == kept


def test_the_variable_switches_off_what_the_code_asks_for(
    start: Start, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_CONTENT", "off")
    recorder = start(content="full")
    Provider().client().chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert not CONTENT_NAMES & set(exported(recorder, capture))


def test_with_the_applications_own_tracer_provider_content_is_not_recorded_and_that_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_CONTENT", "full")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")
    recording = Recording()
    try:
        Provider().client().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": SECRET}])
        (span,) = recording.spans
        assert SECRET not in str(dict(span.attributes or {}))
    finally:
        recording.close()
    (warning,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.startswith("Content is not recorded: the application's own tracer provider exports its spans")
    assert os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] == "span_only"


def test_where_no_spans_are_exported_that_is_said_to_be_why_content_is_not_recorded(
    start: Start, capture: Capture, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    recorder = start(content="full")
    Provider().client().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": SECRET}])
    assert recorder.force_flush(20)
    assert capture.records
    assert b"4711-blue" not in capture.everything
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "Content is not recorded: it is part of the spans, and no spans are exported."
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (Content(redact={"order": "ORD-("}), "the pattern 'order', 'ORD-(', cannot be used: missing )"),
        (Content(redact={"order": "x*"}), "cannot be used: it matches where there is nothing"),
        (Content(redact={"": "x"}), "the name '' of a pattern"),
        (Content(redact={"order": b"x"}), "it is no text"),  # type: ignore[dict-item]
        (Content(redact=["x"]), "Content is not recorded: "),  # type: ignore[arg-type]
        (Content("full", longest=0), "longest is 0, but must be a number from 1 to 30,000"),
        ("everything", "'everything' is not one of: full, preview, hash, off"),
        (5, "5 is not one of"),
    ],
)
def test_what_cannot_be_done_as_asked_leaves_content_off_with_one_warning(
    start: Start, capture: Capture, caplog: pytest.LogCaptureFixture, content: Any, complaint: str
) -> None:
    recorder = start(content=content, detect_threats=True)
    Provider().client().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": CARD}])
    assert not CONTENT_NAMES & set(exported(recorder, capture))
    (warning,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.startswith("Content is not recorded: ")
    assert complaint in warning
    assert signals.SECURITY_FINDINGS.name in {metric.name for metric in capture.metrics}, (
        "threats are looked for all the same"
    )


# --- On --------------------------------------------------------------------------------------------------------------


def test_a_preview_is_the_redacted_beginning_of_every_text(start: Start, capture: Capture) -> None:
    recorder = start(content="preview")
    answer = {"role": "assistant", "content": "So: " + "word " * 1000}
    question = f"Charge {CARD} for alice@example.com, key sk-proj-Ab12Cd34Ef56Gh78Ij90. " + "more " * 1000
    Provider(answer).client().chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}],
    )
    attributes = exported(recorder, capture)
    assert [message["role"] for message in attributes[IN]] == ["system", "user"]
    system, asked = said(attributes[IN])
    assert system == "Be brief."
    assert asked.startswith("Charge [card] for [e-mail], key [key]. more more")
    assert asked.endswith(f"… [{len(question):,} characters]")
    assert len(asked) < 200 + 30
    (answered,) = said(attributes[OUT])
    assert answered == ("So: " + "word " * 1000)[:200] + "… [5,004 characters]"
    assert attributes[OUT][0]["finish_reason"] == "stop"
    assert b"alice" not in capture.everything
    assert b"4111" not in capture.everything


def test_what_the_cut_goes_through_is_redacted_as_a_whole(start: Start, capture: Capture) -> None:
    recorder = start(content=Content("preview", longest=20))
    token = "eyJhbGciOiJIUzI1NiJ9." + "x" * 5_000 + "." + "y" * 5_000
    client = Provider().client()
    for secret in (CARD, "alice.anderson@example.com", token, "-----BEGIN PRIVATE KEY-----" + "A" * 9_000):
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "0123456789 " + secret + " behind"}]
        )
        (asked,) = said(exported(recorder, capture)[IN])
        assert asked.startswith("0123456789 [")
        assert "behind" not in asked
        assert secret[:8] not in asked


def test_a_hash_tells_equal_texts_and_nothing_else(start: Start, capture: Capture) -> None:
    recorder = start(content="hash")
    client = Provider({"role": "assistant", "content": SECRET}).client()
    client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "user", "content": SECRET},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "1",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"name": "Alice", "n": 42}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "1", "content": "other"},
        ],
    )
    attributes = exported(recorder, capture)
    assert said(attributes[OUT]) == [attributes[IN][0]["parts"][0]["content"]]
    assert attributes[IN][2]["parts"][0]["response"] != attributes[IN][0]["parts"][0]["content"]
    arguments = attributes[IN][1]["parts"][0]["arguments"]
    assert list(arguments) == ["name", "n"]
    for value in (*said(attributes[OUT]), *arguments.values()):
        assert value.startswith("hmac-sha256:")
        assert len(value) == len("hmac-sha256:") + 64
    assert b"4711-blue" not in capture.everything
    assert b"Alice" not in capture.everything


def test_tools_their_arguments_and_results_are_redacted_too(start: Start, capture: Capture) -> None:
    arguments = {
        "to": "alice@example.com",
        "card": 4111111111111111,
        "password": "hunter2",
        "n": 3,
        "deep": [{"ip": "10.0.0.1"}],
    }
    call = {"id": "call_1", "type": "function", "function": {"name": "send", "arguments": json.dumps(arguments)}}
    recorder = start(content=Content("full", redact={"order": r"ORD-\d{6}"}))
    Provider({"role": "assistant", "content": None, "tool_calls": [call]}).client().chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "user", "content": "Send ORD-123456"},
            {"role": "assistant", "tool_calls": [call]},  # type: ignore[list-item]
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": json.dumps({"alice@example.com": "a\n4111111111111111"}),
            },
        ],
        tools=[
            {
                "type": "function",
                "function": {"name": "send", "description": "Ask bob@example.com", "parameters": {"x": 1}},
            }
        ],
    )
    attributes = exported(recorder, capture)
    made = {"to": "[e-mail]", "card": "[card]", "password": "[key]", "n": 3, "deep": [{"ip": "[ip]"}]}
    request = {"type": "tool_call", "id": "call_1", "name": "send", "arguments": made}
    assert attributes[IN][0]["parts"][0]["content"] == "Send [order]"
    assert attributes[IN][1]["parts"] == [request]
    assert attributes[IN][2]["parts"] == [
        {"type": "tool_call_response", "id": "call_1", "response": {"[e-mail]": "a\n[card]"}}
    ]
    assert attributes[OUT][0]["parts"] == [request]
    assert attributes[TOOLS] == [
        {"type": "function", "name": "send", "description": "Ask [e-mail]", "parameters": {"x": 1}}
    ]


def test_media_are_noted_with_their_type_and_size(start: Start, capture: Capture) -> None:
    recorder = start(content="full")
    image, audio = "iVBOR" * 40_000, "UklGR" * 4_000
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png?signature=s3cret"}},
        {"type": "input_audio", "input_audio": {"data": audio, "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    Provider().client().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": parts}])
    (message,) = exported(recorder, capture)[IN]
    assert message["parts"] == [
        {"type": "text", "content": "What is this?"},
        {"type": "blob", "modality": "image", "content": "[image/png, 150,000 bytes]"},
        {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
        {"type": "blob", "modality": "audio", "content": "[audio/wav, 15,000 bytes]"},
        {"type": "file", "modality": "document", "file_id": "file-1"},
    ]
    assert b"iVBOR" not in capture.everything
    assert b"UklGR" not in capture.everything


def test_streams_raw_answers_and_asynchronous_clients_are_recorded_alike(start: Start, capture: Capture) -> None:
    recorder = start(content="full")
    question: Any = {"model": "gpt-4o-mini", "messages": QUESTION}
    chunks: list[dict[str, Any]] = [
        {"role": "assistant", "content": "Let me"}, {"content": " look."},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ': "a@b.com"}'}}]},
    ]  # fmt: skip
    provider = Provider({"role": "assistant", "content": "Let me look."}, chunks)
    client = provider.client()
    text = {"type": "text", "content": "Let me look."}
    streamed = [text, {"type": "tool_call", "id": "c", "name": "f", "arguments": {"a": "[e-mail]"}}]

    async def asynchronously() -> None:
        async with provider.async_client() as client:
            await client.chat.completions.create(**question)
            expect([text])
            assert len([chunk async for chunk in await client.chat.completions.create(**question, stream=True)]) == 5
            expect(streamed)
            raw = await client.chat.completions.with_raw_response.create(**question, stream=True)
            assert len([chunk async for chunk in raw.parse()]) == 5
            expect(streamed)

    def expect(parts: list[Any]) -> None:
        attributes = exported(recorder, capture)
        assert said(attributes[IN]) == ["What is a trace?"]
        assert attributes[OUT][0]["parts"] == parts
        gc.collect()
        assert recorder._content.room
        assert recorder._content.room.calls == 2_000, "nothing is kept"

    client.chat.completions.create(**question)
    expect([text])
    client.chat.completions.parse(**question)
    expect([text])
    assert len(list(client.chat.completions.create(**question, stream=True))) == 5
    expect(streamed)
    with client.chat.completions.stream(**question) as events:
        assert events.get_final_completion().choices[0].message.content == "Let me look."
    expect(streamed)
    assert client.chat.completions.with_raw_response.create(**question).parse().choices[0].message.content
    expect([text])
    raw = client.chat.completions.with_raw_response.create(**question, stream=True)
    assert raw.parse() is raw.parse()
    assert len(list(raw.parse())) == 5
    expect(streamed)
    with client.chat.completions.create(**question, stream=True) as abandoned:
        next(abandoned)
    expect([{"type": "text", "content": "Let me"}])
    asyncio.run(asynchronously())


def test_responses_are_recorded_in_the_same_form(start: Start, capture: Capture, provider: str) -> None:
    recorder = start(content="full")
    with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
        asked: Any = {"model": "gpt-4o-mini", "instructions": "Be brief.", "input": "Mail alice@example.com"}

        def expect(answer: str) -> None:
            attributes = exported(recorder, capture)
            assert attributes[SYSTEM] == [{"type": "text", "content": "Be brief."}]
            assert attributes[IN] == [{"role": "user", "parts": [{"type": "text", "content": "Mail [e-mail]"}]}]
            assert said(attributes[OUT]) == [answer]

        expect(client.responses.create(**asked).output_text)
        *_, last = client.responses.create(**asked, stream=True)
        assert last.type == "response.completed"
        expect(last.response.output_text)
        with client.responses.stream(**asked) as stream:
            final = stream.get_final_response()
        expect(final.output_text)
        client.responses.create(
            model="gpt-4o-mini",
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": "10.0.0.1"}'},
                {"type": "function_call_output", "call_id": "c", "output": "of alice@example.com"},
            ],
        )
        assert [message["parts"] for message in exported(recorder, capture)[IN]] == [
            [{"type": "text", "content": "Hi"}],
            [{"type": "tool_call", "id": "c", "name": "f", "arguments": {"a": "[ip]"}}],
            [{"type": "tool_call_response", "id": "c", "response": "of [e-mail]"}],
        ]


def test_the_variables_are_enough_for_a_program_that_is_not_changed(
    start: Start, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_CONTENT", "Preview")
    monkeypatch.setenv("GENAI_OBSERVABILITY_REDACT", r"ORD-\d{6}|P\d{8}")
    recorder = start()
    Provider().client().chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "ORD-123456, P12345678"}]
    )
    assert said(exported(recorder, capture)[IN]) == ["[redacted], [redacted]"]


def test_the_standard_variable_records_content_too_but_redacted(
    start: Start, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_AND_EVENT")
    recorder = start()
    Provider().client().chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": f"Hi {CARD}"}]
    )
    assert said(exported(recorder, capture)[IN]) == ["Hi [card]"]
    assert b"4111" not in capture.everything


def test_content_of_another_instrumentation_is_redacted(start: Start, capture: Capture) -> None:
    recorder = start(content="full")
    tracer = recorder._providers.tracer.get_tracer("other")
    message = [
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": CARD},
                {"type": "blob", "mime_type": "image/png", "content": "A" * 400},
            ],
        }
    ]
    attributes = {"gen_ai.operation.name": "chat", IN: json.dumps(message)}
    tracer.start_span("chat", attributes=attributes).end()
    (asked,) = exported(recorder, capture)[IN]
    assert [part["content"] for part in asked["parts"]] == ["[card]", "[image/png, 300 bytes]"]
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": json.dumps({"card": CARD})}
    tracer.start_span("execute_tool f", attributes=attributes).end()
    assert exported(recorder, capture)["gen_ai.tool.call.arguments"] == '{"card":"[card]"}'


# --- Bounds ----------------------------------------------------------------------------------------------------------


def test_the_largest_conversation_fits_into_an_export_with_the_answer_and_the_newest_messages(
    start: Start, capture: Capture
) -> None:
    recorder = start(content="full")
    client = Provider({"role": "assistant", "content": "\x00\ud800é語" * 5_000}).client()
    huge: list[Any] = [{"role": "user", "content": f"{number} " + "語\n" * 2_000} for number in range(2_000)]
    huge.append({"role": "user", "content": "the newest " + "x" * 20_000_000})
    tools: Any = [{"type": "function", "function": {"name": f"f{n}", "description": "d" * 900}} for n in range(500)]
    client.chat.completions.create(model="gpt-4o-mini", messages=huge, tools=tools)
    attributes = exported(recorder, capture)
    content = [value for name, value in values(capture.spans[-1].attributes).items() if name in CONTENT_NAMES]
    assert BYTES_A_SPAN / 2 < sum(len(text.encode()) for text in content) <= BYTES_A_SPAN
    assert said(attributes[OUT])
    *_, asked = said(attributes[IN])
    assert asked.startswith("the newest x")
    assert asked.endswith("… [20,000,011 characters]")
    assert said(attributes[IN])[0].endswith(" more messages]")


def test_a_full_export_stays_below_what_a_grpc_server_takes() -> None:
    assert SPANS_AN_EXPORT * (BYTES_A_SPAN + 16_384) < 4 * 1024 * 1024


def test_spans_are_exported_in_small_batches_with_content_alone(start: Start, capture: Capture) -> None:
    recorder = start(content="full")
    client = Provider({"role": "assistant", "content": "x" * 100_000}).client()
    for _ in range(SPANS_AN_EXPORT + 10):
        client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert recorder.force_flush(30)
    assert len(capture.spans) == SPANS_AN_EXPORT + 10
    assert max(map(len, capture.bodies["/v1/traces"])) < 4_000_000


def _recursive() -> Any:
    value: dict[str, Any] = {"type": "text"}
    value["text"] = value
    return value


class Model(pydantic.BaseModel):
    role: str = "user"
    content: str = "from a model alice@example.com"


class Hostile:
    """An object of the application's that cannot be looked at."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(SECRET)

    def __str__(self) -> str:
        raise RuntimeError(SECRET)


def _odd_call(function: Any) -> list[Any]:
    return [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": function}]}]


ODD: list[Any] = [
    None, [], {}, "text", 5, [None], ["text"], [5], [{"role": None, "content": None}], [{"role": "user"}],
    [{"role": "user", "content": {"a": 1}}], [{"role": {"a": 1}, "content": "x"}], [{"role": "tool", "content": None}],
    [{"role": "user", "content": [None, 5, "x", [], {"type": 5}, {"type": "text"}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": None}, {"type": "input_audio"}]}],
    [{"role": "assistant", "tool_calls": "x"}], [{"role": "assistant", "tool_calls": [None, {}]}],
    _odd_call(None), _odd_call({"arguments": {"a": 1}}), _odd_call({"name": "f", "arguments": "[" * 40_000}),
    [{"role": "user", "content": "\ud800"}], [{"role": "user", "content": b"bytes"}],
    [{"role": "user", "content": Hostile()}], [Hostile()], Hostile(), [{"role": "user", "content": [_recursive()]}],
    [Model()], ({"role": "user", "content": "of a generator"} for _ in range(2)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ODD)))
def test_odd_messages_have_the_same_end_for_the_application_as_without_us(
    start: Start, capture: Capture, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    def outcome(messages: Any) -> tuple[str, list[Any]]:
        provider = Provider()
        try:
            answer = provider.client().chat.completions.create(model="gpt-4o-mini", messages=messages)
        except Exception as error:
            return f"{type(error).__name__}", provider.asked
        return answer.model_dump_json(), provider.asked

    generated = number == len(ODD) - 1
    plain = outcome([{"role": "user", "content": "of a generator"}] * 2 if generated else ODD[number])
    recorder = start(content="full", detect_threats=True)
    assert outcome(ODD[number]) == plain
    assert recorder.force_flush(20)
    assert len(capture.spans) == 1
    assert b"4711-blue" not in capture.everything
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        {"role": "assistant", "content": 5}, {"role": "assistant", "content": {"a": [1]}}, {}, {"tool_calls": "x"},
        *_odd_call({"name": "f", "arguments": {"a": 1}}), *_odd_call({"name": "f", "arguments": "{" * 90_000}),
    ],
)  # fmt: skip
def test_an_odd_answer_reaches_the_application_as_it_is(start: Start, capture: Capture, answer: dict[str, Any]) -> None:
    def ask() -> str:
        answered = Provider(answer).client().chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
        return answered.model_dump_json(warnings=False)

    plain = ask()
    recorder = start(content="full", detect_threats=True)
    assert ask() == plain
    assert said(exported(recorder, capture)[IN]) == ["What is a trace?"]


def test_what_is_kept_is_bounded_and_what_does_not_fit_is_counted() -> None:
    full: list[None] = []
    room = Room(on_full=lambda: full.append(None), calls=3, characters=100)
    kept = [room.hold("chat", {"messages": [{"role": "user", "content": "x" * 10}]}) for _ in range(4)]
    assert kept[2] is not None
    assert kept[3] is None
    assert len(full) == 1
    kept.clear()
    assert room.hold("chat", {"input": "x" * 101}) is None
    assert room.hold("chat", {"input": "x" * 100}) is not None
    assert len(full) == 2


def test_a_streamed_answer_without_end_is_kept_up_to_a_bound() -> None:
    dialogue = Dialogue("completions", {})
    chunk = openai.types.Completion.model_construct(
        choices=[openai.types.CompletionChoice.model_construct(text="x" * 1000)]
    )
    for _ in range(1_000):
        dialogue.note(chunk)
    assert sum(map(len, dialogue.pieces)) < 200_000


def test_after_shutdown_the_client_is_as_it_was(start: Start) -> None:
    before = openai.OpenAI.request, openai.AsyncOpenAI.request
    recorder = start(content="full")
    assert openai.OpenAI.request is not before[0]
    recorder.shutdown(10)
    assert (openai.OpenAI.request, openai.AsyncOpenAI.request) == before
    assert "request" not in vars(openai.OpenAI)


def test_the_doctor_says_what_would_be_recorded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "console")
    assert doctor() == 0
    assert "not recorded (GENAI_OBSERVABILITY_CONTENT is off); threats are not looked for" in capsys.readouterr().out
    monkeypatch.setenv("GENAI_OBSERVABILITY_CONTENT", "preview")
    monkeypatch.setenv("GENAI_OBSERVABILITY_DETECT_THREATS", "true")
    assert doctor() == 0
    assert "recorded, redacted: preview; threats are looked for" in capsys.readouterr().out


def test_a_forked_worker_records_content_though_its_parent_was_at_it(start: Start, capture: Capture) -> None:
    recorder = start(content="full")
    client = Provider().client()
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "of the parent"}])
    assert recorder._content.room
    recorder._content.room._lock.acquire()  # as another thread may have, at that moment
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that other threads run is the point
        child = os.fork()
    if child == 0:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "of the child"}])
        os._exit(0 if recorder.force_flush(20) else 1)
    recorder._content.room._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert b"of the child" in capture.everything
