"""The sample application's routes, with the simulated provider behind it over real HTTP."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from demo.app.assistant import PROMPTS
from demo.app.clients import Clients, ConfigurationError, chosen_provider
from demo.app.library import Library, Passage, read_passages
from demo.app.routes import create_app
from demo.provider.app import Provider
from demo.provider.usage import tokens
from stack.settings import Settings

FOR_WHOM = {"feature": "help-center", "team": "support", "user": "ada@example.com", "session": "s-1"}


class Application:
    """The application, and the provider that it talks to."""

    def __init__(self, provider: Provider, clients: Clients, http: TestClient) -> None:
        self.provider = provider
        self.clients = clients
        self.http = http

    def answers(self, model: str) -> int:
        models = self.provider.ledger.report()["models"]
        return int(models[model]["answers"]) if model in models else 0


@pytest.fixture(autouse=True)
def _user_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_USER_KEY", "key")  # none is to be made and kept for this


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Provider, str]]:
    provider = Provider(seed=1, latency=0.0)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        provider.application(), log_level="critical", timeout_graceful_shutdown=1, lifespan="off", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield provider, f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def application(running: tuple[Provider, str]) -> Iterator[Application]:
    provider, url = running
    provider.ledger = type(provider.ledger)()
    provider.faults.set({})
    clients = Clients.at(url, api_key="k", retries=0)
    with TestClient(create_app(clients)) as http:  # its end closes the clients
        yield Application(provider, clients, http)


def test_a_question_is_answered_from_the_documents_that_fit_it(application: Application) -> None:
    answer = application.http.post("/ask", json={"question": "How long is the warranty on cast iron?", **FOR_WHOM})
    assert answer.status_code == 200
    assert "warranty" in answer.json()["sources"]
    assert answer.json()["text"]
    assert application.answers("gpt-4o-mini-2024-07-18") == 1
    assert application.answers("text-embedding-3-small") == 2  # the documents, once, and the question


def test_a_question_that_was_asked_before_is_not_embedded_again(application: Application) -> None:
    for question in ("Do you ship to Norway?", "Do you ship to Iceland?", "Do you ship to Norway?"):
        assert application.http.post("/ask", json={"question": question}).status_code == 200
    assert application.answers("gpt-4o-mini-2024-07-18") == 3
    assert application.answers("text-embedding-3-small") == 3  # the documents, once, and two questions


def test_a_streamed_answer_arrives_in_pieces_with_one_response_id(application: Application) -> None:
    answer = application.http.post("/ask/stream", json={"question": "Do you ship to Norway?"})
    pieces = [json.loads(line) for line in answer.text.splitlines()]
    assert len(pieces) > 10
    assert len({piece["response_id"] for piece in pieces}) == 1
    assert len(tokens("".join(piece["text"] for piece in pieces))) == len(pieces) - 2
    assert application.answers("gpt-4o-2024-08-06") == 1


def test_a_summary_sends_all_documents_first_so_that_the_second_one_is_cached(application: Application) -> None:
    for topic in ("returns", "payment"):
        answer = application.http.post("/summarise", json={"topic": topic})
        assert answer.json()["response_id"].startswith("resp_")
    report = application.provider.ledger.report()
    assert report["models"]["gpt-4.1-mini-2025-04-14"]["cached_tokens"] >= 1024


def test_research_runs_the_tool_that_the_model_asks_for(application: Application) -> None:
    answer = application.http.post("/research", json={"question": "How do I get rid of rust on a pan?"})
    assert "care" in answer.json()["sources"]
    assert application.answers("o4-mini-2025-04-16") == 2
    assert application.provider.ledger.report()["usage"]["reasoning_tokens"] > 0


def test_a_message_is_sorted_by_a_model_without_a_price(application: Application) -> None:
    assert application.http.post("/sort", json={"message": "My parcel is lost."}).json()["text"]
    assert application.provider.ledger.report()["unpriced_answers"] == 1


def test_a_summary_of_a_similar_topic_is_kept_until_there_are_too_many(application: Application) -> None:
    def summarised(*topics: str) -> int:
        for topic in topics:
            assert application.http.post("/summarise", json={"topic": topic}).status_code == 200
        return application.answers("gpt-4.1-mini-2025-04-14")

    assert summarised("warranty", "the warranty", "warranty") == 1
    assert summarised("returns", "payment", "the warranty") == 3
    assert summarised("shipping", "the warranty") == 5
    assert application.answers("text-embedding-3-small") == 8  # each topic: every request has a call of a model


def test_a_new_prompt_is_for_the_users_of_one_variant(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROMPTS, "5", "Long. " * 2000)

    def input_tokens(variant: str) -> int:
        application.provider.ledger = type(application.provider.ledger)()
        answer = application.http.post("/ask", json={"question": "Why?", "variant": variant})
        assert answer.status_code == 200
        return int(application.provider.ledger.report()["models"]["gpt-4o-mini-2024-07-18"]["input_tokens"])

    assert input_tokens("A") < 2000 < input_tokens("B")


def test_no_prompt_is_long_enough_to_be_taken_for_a_leak() -> None:
    """The simulated provider quotes whatever it is given; docs/content.md says from where on that is a finding."""
    assert all(sum(letter.isalnum() for letter in prompt) < 40 for prompt in PROMPTS.values())


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"rating": "up"}, 204),
        ({"rating": "copy"}, 204),
        ({"rating": "report", "category": "wrong"}, 204),
        ({"rating": "stars", "stars": 4}, 204),
        ({"rating": "stars"}, 400),
        ({"rating": "stars", "stars": 6}, 400),
        ({"rating": "up", "stars": 4}, 400),
        ({"rating": "so-so"}, 400),
    ],
)
def test_feedback_of_every_kind_is_taken_and_nothing_else(
    application: Application, said: dict[str, object], status: int
) -> None:
    assert application.http.post("/feedback", json={"response_id": "x", **said}).status_code == status


@pytest.mark.parametrize(
    ("fault", "status"), [("rate_limit", 429), ("server_error", 502), ("unknown_model", 502), ("hang", 504)]
)
@pytest.mark.parametrize("path", ["/ask", "/ask/stream"])
def test_a_fault_of_the_provider_is_an_answer_of_its_own(
    application: Application, caplog: pytest.LogCaptureFixture, path: str, fault: str, status: int
) -> None:
    application.provider.faults.set({fault: 1.0})
    application.clients.asynchronous.timeout = 0.2
    with caplog.at_level(logging.WARNING, logger="demo.app"):
        answer = application.http.post(path, json={"question": "Why?"})
    assert answer.status_code == status
    assert "try again" in answer.json()["error"]
    assert f"{path} failed" in caplog.text


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"question": 7}', '{"question": " "}'])
def test_a_request_without_a_question_is_refused_before_any_call(application: Application, body: str) -> None:
    assert application.http.post("/ask", content=body).status_code == 400
    assert application.provider.ledger.calls == 0


def test_the_application_counts_each_call_once_whatever_is_retried(running: tuple[Provider, str]) -> None:
    provider, url = running
    provider.faults.set({"rate_limit_once": 1.0})
    provider.ledger = type(provider.ledger)()
    with TestClient(create_app(Clients.at(url, api_key="k", retries=1))) as http:
        assert http.post("/sort", json={"message": "Hello"}).status_code == 200
        assert http.get("/calls").json() == {"calls": 1}
    assert (provider.ledger.calls, provider.ledger.attempts) == (1, 2)


def test_the_page_and_the_health_address_answer(application: Application) -> None:
    assert "Ask the shop" in application.http.get("/").text
    assert application.http.get("/healthz").json() == {"status": "ok"}


def test_what_ends_with_the_application_is_called_once(running: tuple[Provider, str]) -> None:
    ended: list[str] = []
    with TestClient(create_app(Clients.at(running[1], api_key="k"), on_shutdown=lambda: ended.append("flushed"))):
        assert ended == []
    assert ended == ["flushed"]


def test_the_documents_are_long_enough_for_the_providers_cache() -> None:
    passages = read_passages()
    assert {passage.document for passage in passages} == {
        "returns", "shipping", "warranty", "payment", "account", "care",
    }  # fmt: skip
    assert sum(len(tokens(passage.text)) for passage in passages) > 1200


def test_documents_are_embedded_again_after_a_failure(application: Application) -> None:
    application.provider.faults.set({"server_error": 1.0})
    assert application.http.post("/ask", json={"question": "Why?"}).status_code == 502
    application.provider.faults.set({})
    assert application.http.post("/ask", json={"question": "Why?"}).status_code == 200


def test_a_library_puts_its_passages_one_after_the_other() -> None:
    clients = Clients.at("http://127.0.0.1:9/v1", api_key="k")
    library = Library(clients.asynchronous, [Passage("a", "One."), Passage("b", "Two.")])
    assert library.text == "One.\n\nTwo."
    clients.plain.close()


def test_without_a_choice_the_simulated_provider_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVIDER", raising=False)
    assert chosen_provider() == "simulated"


@pytest.mark.parametrize(
    ("provider", "sentence"), [("openai", "set OPENAI_API_KEY"), ("azure", "must be simulated or openai")]
)
def test_a_choice_that_cannot_work_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, provider: str, sentence: str
) -> None:
    monkeypatch.setenv("PROVIDER", provider)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=sentence):
        chosen_provider()


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "inf"])
def test_a_timeout_that_is_no_time_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("DEMO_TIMEOUT_SECONDS", seconds)
    with pytest.raises(ConfigurationError, match=f"DEMO_TIMEOUT_SECONDS is '{seconds}': it must be a number above 0"):
        Clients.connect(Settings.load())


@pytest.mark.parametrize("program", ["demo.app", "demo"])
def test_a_missing_key_ends_the_program_with_one_line_and_nothing_started(program: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    ended = subprocess.run(
        [sys.executable, "-m", program],
        env={**environment, "PROVIDER": "openai", "GENAI_STACK_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == "PROVIDER=openai needs a key: set OPENAI_API_KEY, or leave PROVIDER out.\n"
    assert not (tmp_path / "state").exists()
