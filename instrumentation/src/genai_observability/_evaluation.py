"""Scores of answers: from users (feedback) and from anything that judges (evaluations)."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Literal

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from genai_observability import signals
from genai_observability._attribution import text
from genai_observability._call import Call, Value
from genai_observability._spans import context_of

FEEDBACK: Final = "user_feedback"
"""``gen_ai.evaluation.name`` of what users say."""

Rating = Literal["up", "down"]
RATINGS: Final[Mapping[str, float]] = {"up": 1.0, "down": 0.0}

_LONGEST_EXPLANATION: Final = 500


class RecentCalls:
    """The latest calls by response id, so that a score of an answer finds its trace, feature and model."""

    def __init__(self, *, capacity: int = 10_000) -> None:
        """Remember at most ``capacity`` calls; the oldest are forgotten first."""
        self._capacity = capacity
        self._calls: OrderedDict[str, tuple[Mapping[str, Value], str | None, SpanContext | None]] = OrderedDict()

    def remember(self, call: Call, span: SpanContext | None) -> None:
        """Remember a finished call, where the provider gave it an id."""
        if call.response_id is None:
            return
        self._calls[call.response_id] = (call.attribution, call.request_model, span)
        if len(self._calls) > self._capacity:
            self._calls.popitem(last=False)

    def find(self, response_id: str | None) -> tuple[Mapping[str, Value], Context]:
        """Attributes and context of a remembered call; empty ones for a call that is not known here."""
        attribution, model, span = self._calls.get(response_id or "", ({}, None, None))
        return {**attribution, **({signals.REQUEST_MODEL.name: model} if model else {})}, context_of(span)


def evaluation_attributes(
    name: str, *, score: float | None, label: str | None, explanation: str | None, response_id: str | None
) -> dict[str, Value]:
    """The attributes of one score; a score that is no finite number is left out."""
    given = {
        signals.EVALUATION_NAME: text(name),
        signals.EVALUATION_SCORE: finite(score),
        signals.EVALUATION_LABEL: None if label is None else text(label),
        signals.EVALUATION_EXPLANATION: None
        if explanation is None
        else text(explanation, longest=_LONGEST_EXPLANATION),
        signals.RESPONSE_ID: None if response_id is None else text(response_id),
    }
    return {attribute.name: value for attribute, value in given.items() if value is not None}


def finite(score: float | None) -> float | None:
    """The score as a finite number, else ``None``."""
    return float(score) if isinstance(score, (int, float)) and math.isfinite(score) else None
