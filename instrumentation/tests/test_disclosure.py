"""What OpenAI is told of the attribution: nothing, unless the application asks for it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import genai_observability
import httpx2
import openai
import pytest

from instrumentation.tests.recording import QUESTION, Recording

Ask = Callable[[Callable[[openai.OpenAI], Any]], dict[str, Any]]


class _ToProvider(httpx2.BaseTransport):
    """Takes what is meant for api.openai.com to the simulated provider, over HTTP, and keeps it."""

    def __init__(self, provider: str) -> None:
        self._provider = httpx2.URL(provider)
        self._transport = httpx2.HTTPTransport()
        self.sent: list[bytes] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(request.read())
        request = httpx2.Request(request.method, request.url, headers=request.headers, content=request.read())
        request.url = request.url.copy_with(
            scheme=self._provider.scheme, host=self._provider.host, port=self._provider.port
        )
        return self._transport.handle_request(request)

    def close(self) -> None:
        self._transport.close()


@pytest.fixture
def ask(provider: str) -> Ask:
    """Makes a call to OpenAI; what was sent."""

    def ask(call: Callable[[openai.OpenAI], Any]) -> dict[str, Any]:
        transport = _ToProvider(provider)
        with (
            openai.OpenAI(api_key="test", max_retries=0, http_client=httpx2.Client(transport=transport)) as client,
            genai_observability.attributed_to(feature="search", team="growth", user="alice@example.com", session="s-1"),
        ):
            call(client)
        (body,) = transport.sent
        sent: dict[str, Any] = json.loads(body)
        return sent

    return ask


def chat(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, **more)


def respond(client: openai.OpenAI, **more: Any) -> Any:
    return client.responses.create(model="gpt-4o-mini", input="?", **more)


@pytest.fixture
def telling() -> Iterator[Recording]:
    recording = Recording(attribution_to_provider=True)
    yield recording
    recording.close()


def test_by_default_a_request_is_the_applications_own(recording: Recording, ask: Ask) -> None:
    assert ask(chat) == {"messages": QUESTION, "model": "gpt-4o-mini"}
    assert ask(respond) == {"input": "?", "model": "gpt-4o-mini"}
    assert len(recording.records) == 2


def test_where_asked_for_openai_is_told_of_the_users_hash_and_of_what_the_call_is_for(
    telling: Recording, ask: Ask
) -> None:
    sent = ask(respond)
    assert sent["metadata"] == {"feature": "search", "team": "growth", "session": "s-1"}
    assert sent["safety_identifier"] == telling.record["user.hash"]
    assert "alice" not in json.dumps(sent)


def test_a_chat_whose_answer_is_not_stored_has_no_metadata_which_openai_would_refuse(
    telling: Recording, ask: Ask
) -> None:
    sent = ask(chat)
    assert sent["safety_identifier"] == telling.record["user.hash"]
    assert "metadata" not in sent
    assert ask(lambda client: chat(client, store=True))["metadata"]["feature"] == "search"


def test_what_the_application_says_itself_stays(telling: Recording, ask: Ask) -> None:
    theirs = {f"key-{number}": "x" for number in range(15)}
    sent = ask(lambda client: respond(client, safety_identifier="me", metadata={"feature": "mine", **theirs}))
    assert sent["safety_identifier"] == "me"
    assert sent["metadata"] == {"feature": "mine", **theirs}
    assert len(telling.records) == 1


def test_other_servers_are_told_nothing(telling: Recording, provider: str) -> None:
    sent: list[bytes] = []
    with (
        httpx2.Client(event_hooks={"request": [lambda request: sent.append(request.read())]}) as client,
        openai.OpenAI(base_url=f"{provider}/v1", api_key="test", http_client=client) as other,
        genai_observability.attributed_to(feature="search", user="alice"),
    ):
        respond(other)
    assert json.loads(sent[0]) == {"input": "?", "model": "gpt-4o-mini"}
    assert len(telling.records) == 1
