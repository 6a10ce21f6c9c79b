"""An application that makes calls by a plan, and writes down what it asked for, was told and waited.

It is run as a program; its output is one line of JSON a call. What it writes comes from the answers and a clock of its
own, never from what was recorded about the calls.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, Literal

import genai_observability
import openai

from demo.provider.faults import HEADER, Fault

Outcome = Literal["success", "error", "rate_limited", "timeout"]
_OUTCOMES: dict[Fault, Outcome] = {
    Fault.SERVER_ERROR: "error",
    Fault.BAD_REQUEST: "error",
    Fault.RATE_LIMIT: "rate_limited",
    Fault.HANG: "timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One kind of call, made ``times``."""

    feature: str
    team: str
    model: str
    times: int
    api: Literal["chat", "stream", "embeddings"] = "chat"
    fault: Fault | None = None


PLAN = (
    Planned(feature="search", team="growth", model="gpt-4o-mini", times=31, api="stream"),
    Planned(feature="search", team="growth", model="text-embedding-3-small", times=23, api="embeddings"),
    Planned(feature="assistant", team="growth", model="gpt-4.1-mini", times=17),
    Planned(feature="assistant", team="growth", model="gpt-4o", times=13, api="stream"),
    Planned(feature="reports", team="finance", model="o4-mini", times=11),
    Planned(feature="reports", team="finance", model="acme-internal-7b", times=7),
    Planned(feature="search", team="growth", model="gpt-4o-mini", times=5, fault=Fault.SERVER_ERROR),
    Planned(feature="reports", team="finance", model="o4-mini", times=3, fault=Fault.BAD_REQUEST),
    Planned(feature="assistant", team="growth", model="gpt-4o", times=4, fault=Fault.RATE_LIMIT),
    Planned(feature="assistant", team="growth", model="gpt-4.1-mini", times=2, fault=Fault.HANG),
    Planned(feature="reports", team="finance", model="gpt-4o", times=3, fault=Fault.RATE_LIMIT_ONCE),
)
USERS = 6
_LONG_PROMPT = "The order is on its way. " * 150
"""Long enough that the provider reads most of it from its cache the second time."""


@dataclass(slots=True)
class Seen:
    """What the application knows of one call; times in seconds."""

    feature: str
    team: str
    model: str
    user: str
    operation: str
    outcome: Outcome = "success"
    error: str | None = None
    retried: bool = False
    seconds: float = 0.0
    least_seconds: float = 0.0
    """From the request's leaving to the arrival of its last answer or chunk: what was recorded lies between the two."""
    first_token: float | None = None
    least_first_token: float | None = None
    answered_by: str | None = None
    tokens: dict[str, int] = field(default_factory=dict)
    """Of the kinds input, cached, output and reasoning."""
    sign: Literal["up", "down"] | None = None
    score: float | None = None


def main() -> None:
    """Make every call, a few at a time."""
    genai_observability.instrument(service_name="scripted")
    calls = list(chain.from_iterable([planned] * planned.times for planned in PLAN))
    wire = openai.DefaultHttpxClient(event_hooks={"request": [_leaves], "response": [_arrives]})
    with openai.OpenAI(api_key="test", max_retries=0, http_client=wire) as client, ThreadPoolExecutor(4) as several:
        for seen in several.map(lambda numbered: _make(client, *numbered), enumerate(calls)):
            sys.stdout.write(f"{json.dumps(asdict(seen))}\n")


def _make(client: openai.OpenAI, number: int, planned: Planned) -> Seen:
    operation = "embeddings" if planned.api == "embeddings" else "chat"
    seen = Seen(planned.feature, planned.team, planned.model, f"user-{number % USERS}", operation)
    with genai_observability.attributed_to(feature=seen.feature, team=seen.team, user=seen.user):
        _on_the_wire.left = None
        began = time.perf_counter()
        try:
            _call(_prepared(client, planned), planned, seen, began)
        except openai.APIError as error:
            assert planned.fault
            seen.outcome, seen.error = _OUTCOMES[planned.fault], f"openai.{type(error).__name__}"
        seen.seconds, seen.least_seconds = time.perf_counter() - began, _on_the_wire.least()
    return seen


class _OnTheWire(threading.local):
    """When the call of this thread left first, and when its last answer began to arrive."""

    left: float | None = None
    arrived: float = 0.0

    def least(self) -> float:
        """Seconds between the two."""
        return self.arrived - (self.left or self.arrived)


_on_the_wire = _OnTheWire()


def _leaves(_: object) -> None:
    _on_the_wire.left = _on_the_wire.left or time.perf_counter()


def _arrives(_: object) -> None:
    _on_the_wire.arrived = time.perf_counter()


def _prepared(client: openai.OpenAI, planned: Planned) -> openai.OpenAI:
    if planned.fault is None:
        return client
    headers = {HEADER: planned.fault.value}
    if planned.fault is Fault.RATE_LIMIT_ONCE:
        return client.with_options(default_headers=headers, max_retries=1)
    return client.with_options(default_headers=headers, timeout=0.4)


def _call(client: openai.OpenAI, planned: Planned, seen: Seen, began: float) -> None:
    seen.retried = planned.fault is Fault.RATE_LIMIT_ONCE
    if planned.api == "embeddings":
        vectors = client.embeddings.create(model=planned.model, input="Where is my order?")
        seen.answered_by, seen.tokens = vectors.model, {"input": vectors.usage.prompt_tokens}
        return
    messages: Any = [{"role": "user", "content": _LONG_PROMPT + "Where is my order?"}]
    if planned.api == "chat":
        answer = client.chat.completions.create(model=planned.model, messages=messages)
        _write_down(seen, answer.model, answer.usage)
        _judge(seen, answer.id)
        return
    options: Any = {"include_usage": True}
    chunks = client.chat.completions.create(model=planned.model, messages=messages, stream=True, stream_options=options)
    for chunk in _timed(chunks, seen, began):
        if chunk.usage:
            _write_down(seen, chunk.model, chunk.usage)


def _timed(chunks: Any, seen: Seen, began: float) -> Iterator[Any]:
    for chunk in chunks:
        now = time.perf_counter()
        if seen.first_token is None and chunk.choices and chunk.choices[0].delta.content:
            seen.first_token, seen.least_first_token = now - began, _on_the_wire.least()
        _on_the_wire.arrived = now
        yield chunk


def _write_down(seen: Seen, model: str, usage: Any) -> None:
    seen.answered_by = model
    seen.tokens = {
        "input": usage.prompt_tokens,
        "cached": usage.prompt_tokens_details.cached_tokens,
        "output": usage.completion_tokens,
        "reasoning": usage.completion_tokens_details.reasoning_tokens,
    }


def _judge(seen: Seen, response_id: str) -> None:
    """A sign of the user, and a score, of every answer: which ones depends on its length alone."""
    seen.sign = "down" if seen.tokens["output"] % 4 == 0 else "up"
    genai_observability.feedback(response_id=response_id, kind=seen.sign)
    seen.score = seen.tokens["output"] % 8 / 8
    genai_observability.evaluation("groundedness", score=seen.score, response_id=response_id)


if __name__ == "__main__":
    main()
