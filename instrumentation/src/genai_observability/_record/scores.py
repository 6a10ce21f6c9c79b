"""Scores of answers, by users (feedback) and by anything that judges, and the token by which feedback finds its answer.

What a user says outright weighs 1. What is only concluded from what the user did weighs less, as there are other
reasons to copy or to leave. The satisfaction of any set of answers is the weighted mean of its signs.

Whoever shows the answer keeps the token with it, in a page or a database, and gives it back with what the user said.
It is signed, as it passes through hands that are not ours, and names no user.
"""

import base64
import binascii
import hmac
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from opentelemetry.trace import SpanContext, TraceFlags

from genai_observability import signals
from genai_observability._call import Value, finite
from genai_observability._capture.open_calls import FinishedSpan, OpenCall
from genai_observability._context.attribution import text
from genai_observability._context.identity import signature

FEEDBACK: Final = "user_feedback"  # ``gen_ai.evaluation.name`` of what users say

Kind = Literal["up", "down", "stars", "report", "regenerate", "edit", "copy", "abandon"]


@dataclass(frozen=True, slots=True)
class Sign:
    """What one kind of feedback says: the satisfaction that it stands for, and how much it weighs."""

    satisfaction: float
    weight: float


SIGNS: Final[dict[str, Sign]] = {
    "up": Sign(1.0, 1.0),
    "down": Sign(0.0, 1.0),
    "report": Sign(0.0, 1.0),  # harmful, wrong, offensive: the category says
    "copy": Sign(0.9, 0.5),  # the answer is used
    "edit": Sign(0.5, 0.3),  # used, but not as it is
    "regenerate": Sign(0.2, 0.5),  # another one is wanted
    "abandon": Sign(0.2, 0.3),  # left within half a minute
}
"""The kinds of feedback but stars, of which 1 stands for 0, 5 for 1, and which weigh 1."""

_MOST_STARS: Final = 5


def sign(kind: object, stars: object) -> Sign | None:
    """What a piece of feedback says; ``None`` for what is no feedback."""
    if kind != "stars":
        return SIGNS.get(kind) if isinstance(kind, str) and stars is None else None
    if not isinstance(stars, int) or isinstance(stars, bool) or not 1 <= stars <= _MOST_STARS:
        return None
    return Sign((stars - 1) / (_MOST_STARS - 1), 1.0)


_CARRIED: Final = (
    signals.FEATURE, signals.TEAM, signals.TENANT, signals.PROMPT_NAME, signals.PROMPT_VERSION, signals.VARIANT,
    signals.REQUEST_MODEL, signals.EXPERIMENT,
)  # fmt: skip
"""Only ever added to at the end: a token that was written earlier has the first of them."""
_LONGEST: Final = 4096  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is known of an answer: its id, its call's span, and what the call was for."""

    response_id: str
    span: SpanContext | None
    attributes: Mapping[str, Value]


def write(answer: Answer) -> str:
    """The token, in characters that fit into an address."""
    carried = [answer.attributes.get(attribute.name) for attribute in _CARRIED]
    span = [answer.span.trace_id, answer.span.span_id] if answer.span else None
    message = json.dumps([answer.response_id, span, carried], separators=(",", ":")).encode()
    return _spelt(signature(message) + message)


def read(token: object) -> Answer | None:
    """The answer of a token; ``None`` for what this installation did not write."""
    if not isinstance(token, str) or len(token) > _LONGEST:
        return None
    try:
        whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    signed, message = whole[:16], whole[16:]
    if token != _spelt(whole):  # of the several spellings of the same bytes one is ours, so that it is counted once
        return None
    if not hmac.compare_digest(signed, signature(message)):
        return None
    response_id, span, carried = json.loads(message)
    known = {each.name: value for each, value in zip(_CARRIED, carried, strict=False) if value is not None}
    at = SpanContext(span[0], span[1], is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)) if span else None
    return Answer(response_id=response_id, span=at, attributes=known)


def _spelt(whole: bytes) -> str:
    return base64.urlsafe_b64encode(whole).decode().rstrip("=")


_LONGEST_EXPLANATION: Final = 500


@dataclass
class RecentCalls:
    """The latest calls by response id, so that a score of an answer finds its trace, feature and model."""

    capacity: int = 10_000
    _calls: "OrderedDict[str, _Remembered]" = field(default_factory=OrderedDict)

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
        if len(self._calls) > self.capacity:
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
        signals.EVALUATION_LABEL: label and text(label),
        signals.EVALUATION_EXPLANATION: explanation and text(explanation, longest=_LONGEST_EXPLANATION),
    }
    return {attribute.name: value for attribute, value in given.items() if value is not None}
