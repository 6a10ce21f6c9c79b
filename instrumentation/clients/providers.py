"""The simulated providers, and what each has counted by itself of the calls that it answered."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from demo.provider.app import Provider
from instrumentation.tests.aimock_process import aimock
from instrumentation.tests.served import served

_ANSWERS: Final = Path(__file__).with_name("answers.json")
_PRICES: Final = {"claude-sonnet-4-5": (3.00, 15.00), "gemini-2.5-flash": (0.30, 2.50)}
"""US dollars per million tokens of input and of output, from the pages of Anthropic and Google."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Calls, their tokens, and what they cost in US dollars, as one side has counted them."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class Simulated:
    """A provider that runs: the variables that lead a client to it, and what it has counted."""

    environment: dict[str, str]
    counted: Callable[[], Figures]


@contextmanager
def openai_compatible() -> Iterator[Simulated]:
    """The provider of the demo, which keeps books with a price list of its own."""
    provider = Provider(latency=0)

    def counted() -> Figures:
        books = provider.ledger.report()
        return Figures(
            calls=books["calls"],
            input_tokens=books["usage"]["input_tokens"],
            output_tokens=books["usage"]["output_tokens"],
            cost=float(books["amount_usd"]),
        )

    with served(provider.application()) as url:
        yield Simulated({"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "test"}, counted)


@contextmanager
def anthropic_and_google() -> Iterator[Simulated]:
    """Aimock, which keeps a journal of the requests with the answer that each was given."""
    with aimock(_ANSWERS) as url:
        yield Simulated(
            {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "test"}
            | {"GOOGLE_GEMINI_BASE_URL": url, "GOOGLE_API_KEY": "test"},
            lambda: _in_journal(httpx.get(f"{url}/__aimock/journal").json()),
        )


def _in_journal(entries: list[dict[str, Any]]) -> Figures:
    answered = [entry for entry in entries if entry["response"]["fixture"]]
    usages = [(_PRICES[_model(entry)], entry["response"]["fixture"]["response"]["usage"]) for entry in answered]
    return Figures(
        calls=len(entries),
        input_tokens=sum(usage["prompt_tokens"] for _, usage in usages),
        output_tokens=sum(usage["completion_tokens"] for _, usage in usages),
        cost=sum(
            (price[0] * usage["prompt_tokens"] + price[1] * usage["completion_tokens"]) / 1e6 for price, usage in usages
        ),
    )


def _model(entry: dict[str, Any]) -> str:
    """Anthropic's requests name it in their body, Google's in their path."""
    named = re.search(r"/models/([^:]+):", entry["path"])
    return named[1] if named else str(entry["body"]["model"])
