"""From what was noted of a call's requests to where its time went, what was retried, and what is left of the quota."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from genai_observability._calls.call import Exchange, Quota
from genai_observability._capture.open_calls import OpenCall

_SECOND: Final = 1e9
_LONGEST_ID: Final = 200
_LONGEST_PROCESSING: Final = 86_400_000.0  # milliseconds: what claims more than a day is nonsense


def read_exchange(call: OpenCall, *, started: int, ended: int) -> Exchange:
    """The requests of a call that has ended; times are in nanoseconds since the epoch."""
    headers = _wanted(call.headers)
    first, last = (call.sent[0], call.sent[-1]) if call.sent else (None, None)
    phases: dict[str, float] = {}
    if first is not None and last is not None:
        phases["preparing"] = max(first - started, 0) / _SECOND
        if last > first:
            phases["retrying"] = (last - first) / _SECOND
        answered = call.answered or ended
        phases |= _waiting(max(answered - last, 0) / _SECOND, _processing(headers))
        if call.answered is not None:
            phases["reading"] = max(ended - answered, 0) / _SECOND
    return Exchange(
        request_id=next((headers[name][:_LONGEST_ID] for name in _REQUEST_ID if headers.get(name)), None),
        retries=max(len(call.sent) - 1, 0),
        refusals=call.refusals,
        phases=phases,
        quotas=_quotas(headers),
        cost=_cost(headers),
        served_model=headers.get(_SERVED_MODEL),
    )


_REQUEST_ID: Final = ("x-request-id", "request-id", "apim-request-id")
_PROCESSING: Final = "openai-processing-ms"
_COST: Final = "x-litellm-response-cost"
_SERVED_MODEL: Final = "x-ms-served-model"
"""Which model Azure has answered with: the body has the name of the deployment."""
_QUOTA_KINDS: Final = ("requests", "tokens")
_WANTED: Final = frozenset(
    (
        *_REQUEST_ID,
        _PROCESSING,
        _COST,
        _SERVED_MODEL,
        *(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in _QUOTA_KINDS),
    )
)


_FIRST_LETTERS: Final = frozenset(name[0].encode() for name in _WANTED) | {name[0].upper().encode() for name in _WANTED}


def _wanted(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers that are read here. One pass: the client's own look-up goes through all of them each time."""
    if headers is None:
        return {}
    raw = getattr(headers, "raw", None)  # of httpx: pairs of bytes
    if raw is None:
        return {name: value for name, value in headers.items() if name in _WANTED}
    pairs = ((name.lower().decode("latin-1"), value) for name, value in raw if name[:1] in _FIRST_LETTERS)
    return {name: value.decode("latin-1") for name, value in pairs if name in _WANTED}


def _waiting(seconds: float, processing: float | None) -> dict[str, float]:
    """The time until the answer: the provider's own as it reports it, and the rest on the network."""
    if processing is None:
        return {"waiting": seconds}
    provider = min(processing, seconds)  # clocks differ
    return {"network": seconds - provider, "provider": provider}


def _processing(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider says it worked: https://platform.openai.com/docs/api-reference/debugging-requests."""
    milliseconds = _number(headers.get(_PROCESSING))
    return None if milliseconds is None or milliseconds > _LONGEST_PROCESSING else milliseconds / 1000


def _cost(headers: Mapping[str, str]) -> Decimal | None:
    """Dollars, as the LiteLLM proxy reports them; 0 is what it says where it does not know, as of a stream's cost."""
    text = headers.get(_COST, "")
    return Decimal(text) or None if _AMOUNT.fullmatch(text) else None


_AMOUNT: Final = re.compile(r"\d{1,6}(\.\d{1,24})?([eE]-\d{1,2})?")


def _quotas(headers: Mapping[str, str]) -> tuple[Quota, ...]:
    """What is left of the rate limits: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers."""
    found = []
    for kind in _QUOTA_KINDS:
        limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
        remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        if limit and remaining is not None:
            reset = _seconds(headers.get(f"x-ratelimit-reset-{kind}") or "")
            found.append(Quota(kind=kind, limit=limit, remaining=min(remaining, limit), reset=reset))
    return tuple(found)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text) else None


_NUMBER: Final = re.compile(r"\d{1,15}(\.\d{1,9})?")
_DURATION: Final = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,6}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?")


def _seconds(text: str) -> float:
    """A duration as the provider writes it, such as ``6m0s`` or ``20ms``; 0 where it is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return 0.0
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
