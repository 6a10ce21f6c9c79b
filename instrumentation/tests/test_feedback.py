"""Feedback: its kinds and weights, tokens that carry it over processes and days, and the endpoint for web pages."""

import base64
import json
import os
import pickle
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import genai_observability
import httpx
import openai
import pytest
from genai_observability import signals
from genai_observability._record.scores import SIGNS, sign
from genai_observability.asgi import FeedbackEndpoint

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.recording import QUESTION, Recording
from instrumentation.tests.served import served


def ask(client: openai.OpenAI) -> str:
    with genai_observability.attributed_to(feature="search", team="growth", user="alice@example.com", prompt_name="p"):
        return client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION).id


def scores(recording: Recording) -> list[dict[str, Any]]:
    return [record for record in recording.records if record[signals.EVENT_NAME.name] == signals.EVALUATION_EVENT]


def total(recording: Recording, metric: signals.Metric) -> float:
    return sum(point.value for point in recording.points(metric.name))


def test_satisfaction_is_the_weighted_mean_of_what_users_said_and_did(
    client: openai.OpenAI, recording: Recording
) -> None:
    unique = ask(client)
    for kind in ("up", "down", "copy"):
        assert genai_observability.feedback(kind, response_id=unique)
    assert genai_observability.feedback("stars", stars=4, response_id=unique)
    satisfaction = total(recording, signals.FEEDBACK_SATISFACTION) / total(recording, signals.FEEDBACK_WEIGHT)
    assert satisfaction == pytest.approx((1 * 1.0 + 1 * 0.0 + 0.5 * 0.9 + 1 * 0.75) / (1 + 1 + 0.5 + 1))
    points = recording.points(signals.FEEDBACK.name)
    kinds = {point.labels[signals.EVALUATION_LABEL.name]: point.value for point in points}
    assert kinds == {"up": 1, "down": 1, "copy": 1, "stars": 1}


@pytest.mark.parametrize("kind", SIGNS)
def test_every_kind_of_feedback_stands_for_a_satisfaction_from_0_to_1(kind: str) -> None:
    found = sign(kind, None)
    assert found
    assert 0 <= found.satisfaction <= 1
    assert 0 < found.weight <= 1


@pytest.mark.parametrize(("stars", "satisfaction"), [(1, 0.0), (2, 0.25), (3, 0.5), (4, 0.75), (5, 1.0)])
def test_stars_are_spread_evenly(stars: int, satisfaction: float) -> None:
    found = sign("stars", stars)
    assert found
    assert found.satisfaction == satisfaction


@pytest.mark.parametrize(
    ("kind", "stars"),
    [("stars", 0), ("stars", 6), ("stars", True), ("stars", None), ("up", 3), ("love", None), ([], None)],
)
def test_what_is_no_feedback_is_left_out(recording: Recording, kind: Any, stars: Any) -> None:
    assert not genai_observability.feedback(kind, stars=stars)
    assert recording.records == []


def test_feedback_is_joined_to_the_trace_feature_and_model_of_the_answer(
    client: openai.OpenAI, recording: Recording
) -> None:
    genai_observability.feedback(
        "report", category="outdated", comment="my key sk-proj-1234abcd leaked", response_id=ask(client)
    )
    (call,) = [record for record in recording.records if record[signals.EVENT_NAME.name] == signals.CALL_EVENT]
    (score,) = scores(recording)
    assert score["trace_id"] == call["trace_id"]
    assert score[signals.FEATURE.name] == "search"
    assert score[signals.REQUEST_MODEL.name] == "gpt-4o-mini"
    assert score[signals.FEEDBACK_CATEGORY.name] == "outdated"
    assert score[signals.EVALUATION_EXPLANATION.name] == "my key [key] leaked"


def test_a_feedback_token_joins_feedback_of_another_process_to_the_call(
    client: openai.OpenAI, recording: Recording, capture: Capture, tmp_path: Path
) -> None:
    token = genai_observability.feedback_token(ask(client))  # right after the call, before anything was recorded
    (call,) = recording.records
    program = f"""
import genai_observability
genai_observability.instrument(service_name="elsewhere")
assert genai_observability.feedback("down", feedback_token={token!r})
genai_observability.evaluation("groundedness", score=0.5, feedback_token={token!r})
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": capture.url, "XDG_CONFIG_HOME": str(tmp_path)},
        check=True,
    )
    assert len(capture.records) == 2
    for record in capture.records:
        said = values(record.attributes)
        assert int.from_bytes(record.trace_id, "big") == call["trace_id"]
        assert said[signals.RESPONSE_ID.name] == call[signals.RESPONSE_ID.name]
        assert (said[signals.FEATURE.name], said[signals.PROMPT_NAME.name]) == ("search", "p")
        assert signals.USER_HASH.name not in said
    *_, metric = [metric for metric in capture.metrics if metric.name == signals.FEEDBACK.name]
    (point,) = metric.sum.data_points
    assert values(point.attributes)[signals.FEATURE.name] == "search"


def test_a_feedback_token_names_no_user_and_fits_into_an_address(client: openai.OpenAI, recording: Recording) -> None:
    token = genai_observability.feedback_token(ask(client))
    assert recording.record[signals.USER_HASH.name]
    assert token.replace("-", "").replace("_", "").isalnum()
    assert len(token) < 500
    held = base64.urlsafe_b64decode(token + "==")
    assert recording.record[signals.USER_HASH.name].encode() not in held
    assert b"alice" not in held


@pytest.mark.parametrize("forged", ["", "x", "*" * 100, "A" * 5000, 7])
def test_a_feedback_token_that_is_not_ours_is_left_out_with_one_sentence(
    recording: Recording, caplog: pytest.LogCaptureFixture, forged: Any
) -> None:
    assert not genai_observability.feedback("up", feedback_token=forged)
    assert scores(recording) == []
    assert len(caplog.messages) == 1


def test_a_feedback_token_that_was_changed_is_not_ours_any_more(client: openai.OpenAI, recording: Recording) -> None:
    token = genai_observability.feedback_token(ask(client))
    whole = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    place = whole.index(b"search")
    whole[place : place + 6] = b"growth"
    assert not genai_observability.feedback(
        "up", feedback_token=base64.urlsafe_b64encode(bytes(whole)).decode().rstrip("=")
    )
    assert scores(recording) == []


@pytest.fixture
def page(recording: Recording) -> Iterator[httpx.Client]:
    """A web page's view of the endpoint, served by a real server."""
    del recording
    with served(FeedbackEndpoint(allow_origins=["https://shop.example"])) as url, httpx.Client(base_url=url) as page:
        yield page


def test_a_web_page_gives_feedback_with_its_token(
    page: httpx.Client, client: openai.OpenAI, recording: Recording
) -> None:
    token = genai_observability.feedback_token(ask(client))
    said = {"feedback_token": token, "kind": "stars", "stars": 2, "comment": "too long"}
    assert page.post("/", json=said).status_code == 204
    (score,) = scores(recording)
    assert score[signals.EVALUATION_SCORE.name] == 0.25
    assert score[signals.FEATURE.name] == "search"


def test_the_same_feedback_of_a_page_counts_once(
    page: httpx.Client, client: openai.OpenAI, recording: Recording
) -> None:
    said = {"feedback_token": genai_observability.feedback_token(ask(client)), "kind": "up"}
    assert [page.post("/", json=said).status_code for _ in range(3)] == [204] * 3
    assert total(recording, signals.FEEDBACK) == 1


def test_feedback_that_was_refused_may_be_sent_again_corrected(
    page: httpx.Client, client: openai.OpenAI, recording: Recording
) -> None:
    said = {"feedback_token": genai_observability.feedback_token(ask(client)), "kind": "stars"}
    assert [page.post("/", json=said | {"stars": stars}).status_code for stars in (6, 5, 5)] == [400, 204, 204]
    assert total(recording, signals.FEEDBACK) == 1


def test_another_spelling_of_a_feedback_token_is_not_ours(
    page: httpx.Client, client: openai.OpenAI, recording: Recording
) -> None:
    token = genai_observability.feedback_token(ask(client))
    spellings = [f"{token}{'=' * (-len(token) % 4)}", token.replace("-", "+").replace("_", "/")]
    spellings += [token[:-1] + last for last in string.ascii_letters + string.digits]
    others = [each for each in spellings if each != token]
    assert len(others) >= 61
    assert {page.post("/", json={"feedback_token": each, "kind": "up"}).status_code for each in others} == {400}
    assert page.post("/", json={"feedback_token": token, "kind": "up"}).status_code == 204
    assert total(recording, signals.FEEDBACK) == 1


def test_what_a_page_is_refused_is_not_kept_and_what_is_taken_is_kept_small(
    client: openai.OpenAI, recording: Recording
) -> None:
    token = genai_observability.feedback_token(ask(client))
    endpoint = FeedbackEndpoint()
    with served(endpoint) as url, httpx.Client(base_url=url) as page:
        for number in range(20):
            assert page.post("/", json={"feedback_token": f"{number}", "kind": "x" * 15_000}).status_code == 400
            assert page.post("/", json={"feedback_token": token, "kind": f"{number}"}).status_code == 400
        assert page.post("/", json={"feedback_token": token, "kind": "up", "comment": "x" * 15_000}).status_code == 204
    assert len(pickle.dumps(endpoint)) < 500


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"[" * 16_000, 400),
        (b"\xff\xfe", 400),
        (json.dumps({"kind": "up"}).encode(), 400),
        (json.dumps({"kind": "up", "response_id": "chatcmpl-1"}).encode(), 400),
        (json.dumps({"kind": "up", "feedback_token": "forged"}).encode(), 400),
        (json.dumps({"kind": ["up"], "feedback_token": {}}).encode(), 400),
        (b" " * 20_000, 413),
    ],
)
def test_a_page_that_sends_nonsense_is_told_so_and_nothing_is_recorded(
    page: httpx.Client, recording: Recording, content: bytes, status: int
) -> None:
    answer = page.post("/", content=content)
    assert answer.status_code == status
    assert answer.text.endswith(".") or '"kind"' in answer.text
    assert scores(recording) == []


def test_other_methods_are_refused_and_other_origins_are_not_named(page: httpx.Client) -> None:
    assert page.get("/").status_code == 405
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    assert page.options("/", headers=asked).headers["access-control-allow-origin"] == "https://shop.example"
    asked["origin"] = "https://evil.example"
    assert "access-control-allow-origin" not in page.options("/", headers=asked).headers
