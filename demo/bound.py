"""The most that visits to the application can cost at the real provider, known before the first call is made."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from demo.app.assistant import (
    ANSWER_MODEL,
    FALLBACK_MODEL,
    MOST_SEARCHES,
    MOST_TOKENS,
    RESEARCH_MODEL,
    STREAM_MODEL,
    SUMMARY_MODEL,
)
from demo.app.clients import RETRIES
from demo.app.library import EMBEDDING_MODEL, Passage
from demo.provider.models import named
from demo.provider.prices import PRICES
from demo.provider.usage import Usage
from demo.traffic import Visit

_OVERHEAD: Final = 2000
"""Bytes of instructions, questions, tool descriptions and message marks in one prompt, generously."""


def upper_bound(visits: Iterable[Visit], passages: Sequence[Passage]) -> Decimal:
    """US dollars that the visits cost at most, if every call is retried and every attempt billed.

    A token is at least one byte of text, and an answer is no longer than the limit that the application sends.
    """
    sizes = sorted((len(passage.text.encode()) for passage in passages), reverse=True)
    documents, found = sum(sizes), sum(sizes[:3])
    search = _call(EMBEDDING_MODEL, _OVERHEAD)
    fallback = _call(FALLBACK_MODEL, found + _OVERHEAD)
    costs = {
        "/ask": search + _call(ANSWER_MODEL, found + _OVERHEAD) + fallback,
        "/ask/stream": search + _call(STREAM_MODEL, found + _OVERHEAD) + fallback,
        "/summarise": search + _call(SUMMARY_MODEL, documents + _OVERHEAD),
        # Its second call repeats what the first one answered, a token of at most 8 bytes, and adds what was found.
        "/research": MOST_SEARCHES * search
        + _call(RESEARCH_MODEL, _OVERHEAD)
        + _call(RESEARCH_MODEL, _OVERHEAD + 8 * MOST_TOKENS[RESEARCH_MODEL] + MOST_SEARCHES * found),
        "/sort": Decimal(0),  # a model that the real provider does not have
    }
    index = _call(EMBEDDING_MODEL, documents)
    return (1 + RETRIES) * (index + sum((costs[visit.path] for visit in visits), Decimal(0)))


def _call(model: str, input_tokens: int) -> Decimal:
    usage = Usage(input_tokens=input_tokens, output_tokens=MOST_TOKENS.get(model, 0))
    return PRICES[named(model).snapshot].amount(usage)
