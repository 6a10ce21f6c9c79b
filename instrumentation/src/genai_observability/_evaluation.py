"""Scores of answers: from users (feedback) and from anything that judges (evaluations)."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from genai_observability import signals
from genai_observability._attribution import text
from genai_observability._call import Value
from genai_observability._receipt import Answer

_LONGEST_EXPLANATION: Final = 500


class RecentCalls:
    """The latest calls by response id, so that a score of an answer finds its trace, feature and model."""

    def __init__(self, *, capacity: int = 10_000) -> None:
        """Remember at most ``capacity`` calls; the oldest are forgotten first."""
        self._capacity = capacity
        self._calls: OrderedDict[str, tuple[Mapping[str, Value], object, SpanContext | None]] = OrderedDict()

    def remember(self, span: ReadableSpan, attribution: Mapping[str, Value]) -> None:
        """Remember a call that has just ended, where the provider gave its answer an id."""
        attributes = span.attributes or {}
        response_id = attributes.get(signals.RESPONSE_ID.name)
        if not isinstance(response_id, str):
            return
        self._calls[response_id] = (attribution, attributes.get(signals.REQUEST_MODEL.name), span.context)
        if len(self._calls) > self._capacity:
            self._calls.popitem(last=False)

    def find(self, response_id: str) -> Answer:
        """What is known of an answer: of one that is not known here, its id."""
        attribution, model, span = self._calls.get(response_id, ({}, None, None))
        known = {**attribution, signals.REQUEST_MODEL.name: model} if isinstance(model, str) else attribution
        return Answer(response_id=response_id, span=span, attributes=known)


def evaluation_attributes(
    name: str, *, score: float | None, label: str | None, explanation: str | None
) -> dict[str, Value]:
    """The attributes of one score; a score that is no finite number is left out."""
    given = {
        signals.EVALUATION_NAME: text(name),
        signals.EVALUATION_SCORE: finite(score),
        signals.EVALUATION_LABEL: None if label is None else text(label),
        signals.EVALUATION_EXPLANATION: None
        if explanation is None
        else text(explanation, longest=_LONGEST_EXPLANATION),
    }
    return {attribute.name: value for attribute, value in given.items() if value is not None}


def finite(score: float | None) -> float | None:
    """The score as a finite number, else ``None``."""
    return float(score) if isinstance(score, (int, float)) and math.isfinite(score) else None
