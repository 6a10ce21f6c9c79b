"""What applications, clients and providers do at the edges of what is foreseen: calls are recorded all the same."""

import json
import os
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from genai_observability import signals
from genai_observability._context import identity
from openai import Stream
from openai.types.responses import CompactedResponse

from instrumentation.tests import scripts
from instrumentation.tests.conversations import MODEL, messages
from instrumentation.tests.recording import Recording
from instrumentation.tests.wire import Answer, scripted

QUESTION: Any = messages("greet me")
SECRET = "alice.smith@example.com said 'zanzibar'"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
REFUSAL = Answer(status=400, body=json.dumps({"error": {"message": f"Invalid value: {SECRET}"}}).encode())


def test_what_an_error_quotes_is_on_no_span_whoever_exports_it(recording: Recording) -> None:
    paths = {"/v1/chat/completions": REFUSAL, "/v1/responses/resp_1": REFUSAL}
    with scripted(paths) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model=MODEL, messages=QUESTION)
        with pytest.raises(openai.BadRequestError):
            client.responses.retrieve("resp_1")
    assert len(recording.spans) == 2
    for span in recording.spans:
        assert "Invalid value: [e-mail] said '…'" in str(span.status.description)


def test_an_error_that_has_no_text_ends_its_call(recording: Recording) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    class Client(openai.OpenAI):
        def _prepare_options(self, options: Any) -> Any:
            raise MuteError

    with Client(base_url="http://127.0.0.1:9/v1", api_key="k") as client, pytest.raises(MuteError):
        client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert recording.record[signals.OUTCOME.name] == "error"
    assert recording.points(signals.CALLS_IN_FLIGHT.name) == []


@pytest.mark.parametrize("field", ["id", "model"])
def test_half_a_surrogate_pair_from_a_provider_becomes_a_question_mark(recording: Recording, field: str) -> None:
    answer = Answer(body=json.dumps({**scripts.chat(), field: "x\ud800"}).encode())
    with scripted({"/v1/chat/completions": answer}) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client:
        client.chat.completions.create(model=MODEL, messages=QUESTION)
    name = {"id": signals.RESPONSE_ID, "model": signals.RESPONSE_MODEL}[field].name
    assert recording.record[name] == "x?"
    assert (recording.spans[0].attributes or {})[name] == "x?"


def test_the_response_itself_and_its_text_are_read_as_the_clients_types_are(recording: Recording) -> None:
    answer = Answer(body=json.dumps({**scripts.chat(), "usage": USAGE}).encode())
    with scripted({"/v1/chat/completions": answer}) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client:
        for kind in (httpx2.Response, str):
            client.post("/chat/completions", body={"model": MODEL, "messages": QUESTION}, cast_to=kind)
    assert [record[signals.INPUT_TOKENS.name] for record in recording.records] == [1000, 1000]


def test_a_stream_of_plain_data_reports_its_tokens_and_no_chunk_that_was_not_asked_for(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_STREAM_USAGE", "always")
    chunks = scripts.as_events(scripts.chunk(), scripts.chunk(), scripts.chunk(choices=[], usage=USAGE))
    with scripted({"/v1/chat/completions": chunks}) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client:
        body = {"model": MODEL, "messages": QUESTION, "stream": True}
        stream = client.post("/chat/completions", body=body, cast_to=object, stream=True, stream_cls=Stream[object])
        read: list[Any] = list(stream)
    assert len(read) == 2
    assert all(chunk["choices"] for chunk in read)
    assert recording.record[signals.INPUT_TOKENS.name] == 1000


def test_compacting_a_conversation_is_a_call_with_a_price(recording: Recording) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200}
    said = {"id": "resp_1", "object": "response.compaction", "created_at": 0, "output": [], "usage": usage}
    with (
        scripted({"/v1/responses/compact": Answer(body=json.dumps(said).encode())}) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client,
    ):
        assert isinstance(client.responses.compact(model=MODEL, input="a long talk"), CompactedResponse)
    assert recording.record[signals.INPUT_TOKENS.name] == 1000
    assert recording.record[signals.COST.name] > 0


def test_a_span_of_another_instrumentation_between_a_wrapper_and_the_request_makes_no_second_call(
    recording: Recording,
) -> None:
    upstream = recording.tracer_provider.get_tracer("opentelemetry.instrumentation.genai.openai")
    other = recording.tracer_provider.get_tracer("openinference.instrumentation.openai")
    said = {signals.OPERATION.name: "chat", signals.REQUEST_MODEL.name: MODEL}
    with (
        scripted({"/v1/chat/completions": REFUSAL}) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client,
        pytest.raises(openai.BadRequestError),
        upstream.start_as_current_span("chat", attributes=said),
        other.start_as_current_span("ChatCompletion"),
    ):
        client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert len(recording.records) == 1


def test_a_key_file_that_could_be_read_for_ever_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "key"
    os.mkfifo(pipe)
    monkeypatch.setenv(identity.KEY_FILE_VARIABLE, str(pipe))
    identity._key.cache_clear()
    try:
        assert len(identity.keyed_hash("alice")) == 64
    finally:
        identity._key.cache_clear()
