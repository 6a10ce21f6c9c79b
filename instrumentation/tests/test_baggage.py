"""What leaves with HTTP requests: to the application's other services what it allows, to a provider nothing."""

import json
import logging
import socketserver
import sys
from collections.abc import Iterator
from typing import Any

import genai_observability
import openai
import pytest
from genai_observability._context import attribution as _attribution
from genai_observability._context.identity import user_hash
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.trace import SpanContext, TraceFlags

from instrumentation.tests.programs import Run
from instrumentation.tests.recording import Recording
from tests.serving import Listening

SEARCH = {"app.feature": "search"}
ALL: Any = {"feature": "search", "team": "growth", "user": "alice", "session": "s-1"}


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> Iterator[Recording]:
    recording = Recording(**getattr(request, "param", {}))
    yield recording
    recording.close()


def sent() -> dict[str, str]:
    """The headers that an instrumented HTTP client would send here."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


def received(headers: dict[str, str]) -> dict[str, Any]:
    """The attribution in a service that is asked with these headers."""
    token = context.attach(propagate.extract(headers))
    try:
        return dict(_attribution.current())
    finally:
        context.detach(token)


@pytest.mark.usefixtures("recorded")
def test_nothing_leaves_and_nothing_is_believed_unless_that_is_asked_for() -> None:
    with genai_observability.attributed_to(**ALL):
        assert "baggage" not in sent()
    assert received({"baggage": "app.tenant=mallory,app.feature=free"}) == {}


@pytest.mark.parametrize("recorded", [{"propagate": ("feature", "user")}], indirect=True)
@pytest.mark.usefixtures("recorded")
def test_what_is_allowed_leaves_beside_the_applications_own_baggage_and_the_user_only_as_hash() -> None:
    token = context.attach(baggage.set_baggage("own", "1"))
    try:
        with genai_observability.attributed_to(**ALL):
            pairs = sent()["baggage"].split(",")
        assert sent()["baggage"] == "own=1"
    finally:
        context.detach(token)
    assert sorted(pairs) == ["app.feature=search", "own=1", f"user.hash={user_hash('alice')}"]


@pytest.mark.parametrize(
    "recorded", [{"propagate": ("feature",), "accept_baggage": ("feature", "team")}], indirect=True
)
@pytest.mark.usefixtures("recorded")
def test_what_is_accepted_counts_where_the_service_says_nothing_itself_and_goes_on_to_the_next() -> None:
    headers = {"baggage": "app.feature=search,app.team=growth,app.tenant=mallory"}
    assert received(headers) == {**SEARCH, "app.team": "growth"}
    with genai_observability.attributed_to(feature="rerank"):
        assert received(headers) == {"app.feature": "rerank", "app.team": "growth"}
    token = context.attach(propagate.extract(headers))
    try:
        assert "app.feature=search" in sent()["baggage"]
    finally:
        context.detach(token)


@pytest.mark.parametrize("recorded", [{"accept_baggage": ("feature",)}], indirect=True)
@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("value", ["x" * 5000, "%00%FF", "%", ",,,=;", "search;a=b"])
def test_nonsense_from_outside_is_cut_short_or_left_out(value: str) -> None:
    assert len(str(received({"baggage": f"app.feature={value}"}).get("app.feature", ""))) <= 200


def test_a_name_that_nothing_has_is_said_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        recording = Recording(propagate=("feature", "password"), accept_baggage="team")
    assert "leaves out 'password'" in caplog.text
    with genai_observability.attributed_to(**ALL):
        assert sent()["baggage"] == "app.feature=search"
    recording.close()


def test_the_process_gets_its_propagator_back() -> None:
    before = propagate.get_global_textmap()
    recording = Recording(propagate=("feature",), accept_baggage=("feature",))
    assert propagate.get_global_textmap() is not before
    recording.close()
    assert propagate.get_global_textmap() is before
    assert received({"baggage": "app.feature=search"}) == {}


def test_a_propagator_set_since_stays_and_ours_inside_of_it_carries_nothing_any_more() -> None:
    before = propagate.get_global_textmap()
    recording = Recording(propagate=("feature",))
    ours = propagate.get_global_textmap()
    propagate.set_global_textmap(before)
    recording.close()
    assert propagate.get_global_textmap() is before
    headers: dict[str, str] = {}
    with genai_observability.attributed_to(feature="search"):
        ours.inject(headers)
    assert headers == {}


@pytest.mark.parametrize("recorded", [{"propagate": ("feature",)}], indirect=True)
@pytest.mark.usefixtures("recorded")
def test_a_trace_context_of_the_applications_own_goes_on_as_it_did() -> None:
    span = trace.NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)))
    with trace.use_span(span), genai_observability.attributed_to(feature="search"):
        assert sent() == {"baggage": "app.feature=search", "traceparent": f"00-{1:032x}-{2:016x}-01"}


@pytest.mark.parametrize("recorded", [{"propagate": ("feature",)}], indirect=True)
def test_a_provider_is_told_nothing_either_by_another_instrumentations_call(recorded: Recording) -> None:
    tracer = recorded.tracer_provider.get_tracer("other")
    with genai_observability.attributed_to(feature="search"):
        call = tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"})
        with call, tracer.start_as_current_span("POST"):
            assert "baggage" not in sent()
        with tracer.start_as_current_span("GET"):
            assert sent()["baggage"] == "app.feature=search"


class Wire(Listening):
    """A provider that keeps every byte it is sent, and answers all requests alike."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        super().__init__(socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler()))

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        requests = self.requests

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += self.rfile.readline()
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-le")
                    ),
                    0,
                )
                body = self.rfile.read(length)
                requests.append(head + body)
                self.wfile.write(_answer(streamed=b'"stream":true' in body))

        return Handler


def _answer(*, streamed: bool) -> bytes:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "input_tokens": 1, "output_tokens": 1}
    data = {
        "id": "1",
        "object": "x",
        "created": 1,
        "model": "m",
        "usage": usage,
        "choices": [],
        "data": [],
        "output": [],
    }
    body = f"data: {json.dumps(data)}\n\ndata: [DONE]\n\n" if streamed else json.dumps(data)
    kind = "text/event-stream" if streamed else "application/json"
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close"
    return f"{head}\r\n\r\n{body}".encode()


PROGRAM = """
import asyncio, contextlib, json, os
import httpx2
import openai
from opentelemetry import baggage, context
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

attributed = contextlib.nullcontext()
if os.environ["OURS"]:
    import genai_observability
    names = ("feature", "team", "user", "session")
    options = json.loads(os.environ["OURS"])
    handle = genai_observability.instrument(service_name="shop", propagate=names, **options)
    attributed = genai_observability.attributed_to(feature="search", team="growth", user="alice", session="s-1")
HTTPX2ClientInstrumentor().instrument()
context.attach(baggage.set_baggage("own", "1"))
QUESTION = [{"role": "user", "content": "?"}]
def ask(client):
    yield client.chat.completions.create(model="m", messages=QUESTION)
    yield client.chat.completions.create(
        model="m", messages=QUESTION, stream=True, stream_options={"include_usage": True})
    yield client.chat.completions.with_raw_response.create(model="m", messages=QUESTION)
    yield client.embeddings.create(model="m", input="?", encoding_format="float")
    yield client.responses.create(model="m", input="?")
    yield client.images.generate(model="m", prompt="?")
    yield client.moderations.create(model="m", input="?")
    yield client.models.retrieve("m")
    yield client.models.list()
    yield client.responses.retrieve("1")
    yield client.files.content("1")
    yield client.batches.create(input_file_id="1", endpoint="/v1/responses", completion_window="24h")
    yield client.post("/chat/completions", body={"model": "m", "messages": QUESTION}, cast_to=object)
async def ask_async(client):
    for answer in ask(client):
        answer = await answer
        if hasattr(answer, "__aiter__"):
            [chunk async for chunk in answer]
with attributed:
    for answer in ask(openai.OpenAI(max_retries=0)):
        if isinstance(answer, openai.Stream):
            list(answer)
    asyncio.run(ask_async(openai.AsyncOpenAI(max_retries=0)))
    httpx2.get(os.environ["OPENAI_BASE_URL"])  # not the provider's, and not a call
"""


@pytest.mark.parametrize("sampler", ["always_on", "always_off"])
@pytest.mark.parametrize("options", [{}, {"content": "full", "detect_threats": True}], ids=["plain", "content"])
def test_the_provider_receives_byte_for_byte_what_it_does_without_us(
    run: Run, sampler: str, options: dict[str, Any]
) -> None:
    with Wire() as wire:
        provider = {"OPENAI_BASE_URL": f"{wire.url}/v1", "OPENAI_API_KEY": "test"}
        for ours in ("", json.dumps(options)):
            settings = {**provider, "OTEL_TRACES_SAMPLER": sampler, "OURS": ours}
            done = run(sys.executable, "app.py", program=PROGRAM, **settings)
            assert (done.returncode, done.stderr) == (0, "")
    assert len(wire.requests) == 2 * 27
    *bare, bare_other = wire.requests[:27]
    *recorded, recorded_other = wire.requests[27:]
    assert recorded == bare
    assert all(name not in request for request in recorded for name in (b"traceparent", b"app.", b"user.hash"))
    assert b"baggage: own=1\r\n" in bare_other
    assert b"traceparent" in recorded_other  # the instrumentation of the HTTP client is at work
    assert b"app.feature=search" in recorded_other


@pytest.fixture
def http(recorded: Recording) -> Iterator[None]:
    """An instrumentation of the HTTP client, as an application has it."""
    instrumentor: Any = HTTPX2ClientInstrumentor()
    instrumentor.instrument(tracer_provider=recorded.tracer_provider)
    yield
    instrumentor.uninstrument()


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize("recorded", [{"propagate": ("feature",), "accept_baggage": ("feature",)}], indirect=True)
@pytest.mark.parametrize("path", ["/chat/completions", "/files"])
def test_what_another_service_has_sent_is_not_forwarded_to_a_provider_and_the_applications_own_is(
    path: str,
) -> None:
    own = baggage.set_baggage("own", "1", context.Context())
    headers = {"baggage": "app.feature=search,partner=secret,own-too=theirs"}
    token = context.attach(baggage.set_baggage("own-too", "2", propagate.extract(headers, own)))
    try:
        with Wire() as wire, openai.OpenAI(base_url=wire.url, api_key="test", max_retries=0) as client:
            client.post(path, body={"model": "m", "messages": []}, cast_to=object)
        assert "partner=secret" in sent()["baggage"]  # to another service it goes on
    finally:
        context.detach(token)
    (request,) = wire.requests
    (carried,) = [line for line in request.split(b"\r\n") if line.startswith(b"baggage: ")]
    assert sorted(carried.removeprefix(b"baggage: ").split(b",")) == [b"own-too=2", b"own=1"]
