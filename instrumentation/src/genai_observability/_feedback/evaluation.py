"""Scores of answers: from users (feedback) and from anything that judges (evaluations)."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from opentelemetry.trace import SpanContext, TraceFlags

from genai_observability import signals
from genai_observability._calls.call import Value, finite
from genai_observability._capture.open_calls import FinishedSpan, OpenCall
from genai_observability._context.attribution import text
from genai_observability._feedback.receipt import Answer

_LONGEST_EXPLANATION: Final = 500


class RecentCalls:
    """The latest calls by response id, so that a score of an answer finds its trace, feature and model."""

    def __init__(self, *, capacity: int = 10_000) -> None:
        """Remember at most ``capacity`` calls; the oldest are forgotten first."""
        self._capacity = capacity
        self._calls: OrderedDict[str, _Remembered] = OrderedDict()

    def remember(self, span: FinishedSpan, noted: OpenCall | None) -> None:
        """Remember a call that has just ended, where the provider gave its answer an id."""
        attributes = span.attributes or {}
        response_id = (noted and noted.read.get(signals.RESPONSE_ID.name)) or attributes.get(signals.RESPONSE_ID.name)
        if not isinstance(response_id, str):
            return
        attribution = noted.attribution if noted else {}
        model = attributes.get(signals.REQUEST_MODEL.name)
        at = span.context
        ids = (at.trace_id, at.span_id, int(at.trace_flags)) if at else None
        self._calls[response_id] = (attribution, model if isinstance(model, str) else None, ids)
        if len(self._calls) > self._capacity:
            self._calls.popitem(last=False)

    def find(self, response_id: str) -> Answer:
        """What is known of an answer: of one that is not known here, its id."""
        attribution, model, ids = self._calls.get(response_id, ({}, None, None))
        known = {**attribution, signals.REQUEST_MODEL.name: model} if model else attribution
        span = SpanContext(ids[0], ids[1], is_remote=False, trace_flags=TraceFlags(ids[2])) if ids else None
        return Answer(response_id=response_id, span=span, attributes=known)


_Remembered = tuple[Mapping[str, Value], str | None, tuple[int, int, int] | None]
"""Attribution, model, and the span's ids and flags: plain values, which Python's garbage collector passes by."""


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
