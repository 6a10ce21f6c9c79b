"""A semantic cache: what was answered to a question is the answer to any that means nearly the same."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import genai_observability

_NEAR_ENOUGH: Final = 0.9
_KEPT: Final = 3
"""Few, so that the sample application still asks its model, and throws answers out."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry(Generic[_Answer]):
    question: Sequence[float]
    answer: _Answer
    usd: float | None
    seconds: float
    since: float = field(default_factory=time.monotonic)


class SimilarAnswers(Generic[_Answer]):
    """The latest answers, found by the embeddings of their questions."""

    def __init__(self, name: str) -> None:
        self._entries: list[_Entry[_Answer]] = []
        self._cache = genai_observability.cache(name)
        self._cache.size(lambda: len(self._entries))

    def find(self, question: Sequence[float]) -> _Answer | None:
        """The answer to the nearest question, if that is near enough."""
        near = [(cosine(question, entry.question), entry) for entry in self._entries]
        similarity, nearest = max(near, key=lambda pair: pair[0], default=(None, None))
        if similarity is None or nearest is None or similarity < _NEAR_ENOUGH:
            self._cache.miss(similarity=similarity)
            return None
        age = time.monotonic() - nearest.since
        self._cache.hit(similarity=similarity, age=age, saved_usd=nearest.usd, saved_seconds=nearest.seconds)
        return nearest.answer

    def keep(self, question: Sequence[float], answer: _Answer, *, usd: float | None, seconds: float) -> None:
        """Keeps an answer that has cost so much money, if that is known, and time; the oldest goes where room lacks."""
        if len(self._entries) >= _KEPT:
            self._entries.pop(0)
            self._cache.eviction()
        self._entries.append(_Entry(question=question, answer=answer, usd=usd, seconds=seconds))


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """How similar two embeddings are, 1 being the same."""
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return min(1.0, dot / (math.hypot(*left) * math.hypot(*right) or 1.0))
