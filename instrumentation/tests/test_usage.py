"""What spans say of usage and cost, of this package's client wrapper and of other instrumentations."""

import http.server
import json
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest
from genai_observability import signals

from instrumentation.tests.recording import QUESTION, Recording
from tests.serving import serving


def record_span(recording: Recording, **attributes: object) -> dict[str, Any]:
    """The log record of a call that another instrumentation has made a span of."""
    given: Mapping[str, Any] = {
        signals.OPERATION.name: "chat",
        signals.PROVIDER.name: "openai",
        **{getattr(signals, name).name: value for name, value in attributes.items()},
    }
    recording.tracer_provider.get_tracer("another").start_span("chat", attributes=given).end()
    return recording.record


def test_the_price_on_the_span_is_the_providers(recording: Recording) -> None:
    record = record_span(recording, REQUEST_MODEL="gpt-4o", INPUT_TOKENS=1_000, OUTPUT_TOKENS=100, COST=0.0123)
    assert record[signals.COST.name] == 0.0123
    assert record[signals.COST_SOURCE.name] == "provider"
    (spent,) = recording.points(signals.CALL_COST.name)
    assert spent.value == 0.0123


@pytest.mark.parametrize(
    "reported",
    [
        {"COST": 0.0123, "COST_SOURCE": "local"},  # calculated by another instrumentation: ours has tiers and kinds
        {"COST": 0.0123, "COST_CURRENCY": "EUR"},
        {"COST": -1.0},
        {"COST": float("nan")},
        {"COST": "free"},
        {"COST": True},
    ],
)
def test_what_is_no_charge_of_the_provider_in_dollars_is_not_taken_for_one(
    recording: Recording, reported: Mapping[str, object]
) -> None:
    record = record_span(recording, REQUEST_MODEL="gpt-4o", INPUT_TOKENS=1_000, OUTPUT_TOKENS=100, **reported)
    assert record[signals.COST.name] == pytest.approx((1_000 * 2.50 + 100 * 10) / 1e6)
    assert record[signals.COST_SOURCE.name] == "local"
    assert record[signals.COST_CURRENCY.name] == "USD"


def test_other_units_are_read_priced_and_logged(recording: Recording) -> None:
    record = record_span(recording, REQUEST_MODEL="whisper-1", AUDIO_SECONDS=90.5)
    assert record[signals.AUDIO_SECONDS.name] == 90.5
    assert record[signals.COST.name] == pytest.approx(90.5 * 0.36 / 3_600)


def test_the_tokens_of_each_kind_are_counted(recording: Recording) -> None:
    record_span(
        recording,
        REQUEST_MODEL="gpt-audio",
        INPUT_TOKENS=1_000,
        CACHED_TOKENS=100,
        CACHE_WRITE_TOKENS=50,
        AUDIO_INPUT_TOKENS=800,
        IMAGE_INPUT_TOKENS=30,
        OUTPUT_TOKENS=500,
        REASONING_TOKENS=20,
        AUDIO_OUTPUT_TOKENS=450,
        IMAGE_OUTPUT_TOKENS=5,
    )
    points = recording.points(signals.CALL_TOKENS_DETAIL.name)
    assert {point.labels[signals.TOKEN_TYPE.name]: point.value for point in points} == {
        "cached": 100,
        "cache_write": 50,
        "reasoning": 20,
        "audio_input": 800,
        "image_input": 30,
        "audio_output": 450,
        "image_output": 5,
    }


@pytest.mark.parametrize("nonsense", ["many", -5, 3.5, True, float("inf"), (1, 2)])
def test_counts_of_a_wrong_type_are_left_out(recording: Recording, nonsense: object) -> None:
    record = record_span(
        recording, REQUEST_MODEL="gpt-audio", INPUT_TOKENS=100, OUTPUT_TOKENS=10, AUDIO_INPUT_TOKENS=nonsense
    )
    assert signals.AUDIO_INPUT_TOKENS.name not in record
    assert record[signals.COST.name] == pytest.approx((100 * 2.50 + 10 * 10) / 1e6)


class _Provider(http.server.BaseHTTPRequestHandler):
    """Answers every chat call as OpenAI answers one with audio, in the tier that was asked for."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": request["model"],
            "service_tier": request.get("service_tier", "default"),
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
            "usage": {
                "prompt_tokens": 1_000,
                "completion_tokens": 500,
                "total_tokens": 1_500,
                "prompt_tokens_details": {"audio_tokens": request.get("audio_tokens", 0), "cached_tokens": 0},
                "completion_tokens_details": {"audio_tokens": 0, "reasoning_tokens": 0},
            },
        }  # fmt: skip
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def openai_client(recording: Recording) -> Iterator[openai.OpenAI]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    address = f"http://127.0.0.1:{server.server_port}/v1"
    with serving(server), openai.OpenAI(base_url=address, api_key="test", max_retries=0) as client:
        yield client


def test_a_call_with_audio_is_priced_by_its_audio_tokens(openai_client: openai.OpenAI, recording: Recording) -> None:
    openai_client.chat.completions.create(model="gpt-audio", messages=QUESTION, extra_body={"audio_tokens": 800})
    assert recording.record[signals.AUDIO_INPUT_TOKENS.name] == 800
    assert recording.record[signals.COST.name] == pytest.approx(((1_000 - 800) * 2.50 + 800 * 32 + 500 * 10) / 1e6)


def test_a_call_in_a_cheaper_tier_is_priced_by_that_tier(openai_client: openai.OpenAI, recording: Recording) -> None:
    openai_client.chat.completions.create(model="gpt-5", messages=QUESTION, service_tier="flex")
    assert recording.record[signals.SERVICE_TIER.name] == "flex"
    assert recording.record[signals.COST.name] == pytest.approx((1_000 * 0.625 + 500 * 5) / 1e6)
