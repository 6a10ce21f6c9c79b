"""The feedback token of an answer: what feedback needs to find it again, elsewhere and later.

Whoever shows the answer keeps the token with it, in a page or a database, and gives it back with what the user said.
It is signed, as it passes through hands that are not ours, and names no user.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import SpanContext, TraceFlags

from genai_observability import signals
from genai_observability._calls.call import Value
from genai_observability._context.identity import signature

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
    return Answer(response_id=response_id, span=_span(*span) if span else None, attributes=known)


def _spelt(whole: bytes) -> str:
    return base64.urlsafe_b64encode(whole).decode().rstrip("=")


def _span(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
