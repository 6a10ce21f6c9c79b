"""One model call as plain values: what was asked, what came back, how long it took, for whom, and how it ended.

Everything after the finished span works on a ``Call`` and can be tested without a span, an SDK or a provider. Nothing
here is ever changed; it is not frozen because making a frozen dataclass takes three times as long.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal

Outcome = Literal["success", "error", "timeout", "rate_limited", "cancelled"]
Value = str | int | float | bool  # what free metadata and request parameters may be


@dataclass(slots=True, kw_only=True)
class Tokens:
    """Token counts as the provider reported them; ``None`` where it said nothing.

    ``input`` includes ``cached`` and ``cache_write``; ``output`` includes ``reasoning``.
    """

    input: int | None = None
    output: int | None = None
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0

    @property
    def reported(self) -> bool:
        """Whether the provider reported any usage."""
        return self.input is not None or self.output is not None


@dataclass(slots=True, kw_only=True)
class Quota:
    """What is left of one of the provider's rate limits, as it said with an answer; ``reset`` is in seconds."""

    kind: str
    limit: float
    remaining: float
    reset: float


@dataclass(slots=True, kw_only=True)
class Exchange:
    """The requests of a call, where its client could be watched.

    ``phases`` are where the time went, in seconds: ``preparing``, ``retrying`` (all attempts but the last, and the
    waits between), then ``network`` and ``provider``, or ``waiting`` where the provider does not tell them apart, and
    ``reading`` the answer. ``refusals`` are the HTTP statuses of attempts that were tried again. ``cost`` is what a
    proxy says in a header of the answer that the call cost, in US dollars, ``served_model`` the model that answered.
    """

    request_id: str | None = None
    retries: int = 0
    refusals: tuple[int, ...] = ()
    phases: Mapping[str, float] = field(default_factory=dict)
    quotas: tuple[Quota, ...] = ()
    cost: Decimal | None = None
    served_model: str | None = None


StreamEnd = Literal["complete", "abandoned", "unread", "broken", "cancelled"]
"""How a stream ended: read to its end, left by its reader, never read, broken by an error, or cancelled."""


@dataclass(slots=True, kw_only=True)
class Estimate:
    """Tokens of an answer whose provider reported none, from its size: for want of better, and never added to those."""

    input: int
    output: int


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of a model, finished. Times are in seconds, ``started`` is UTC.

    ``usage`` is what else was used and is priced, by the names of ``signals.USAGE``. ``service_tier`` is the one that
    served the call, such as ``"flex"`` or ``"batch"``. ``reported_cost`` is what the provider itself says that it
    charged, in US dollars. ``batch`` is the id of the batch whose result the call is: it began when the batch was
    created, and its duration is the wait until the result was fetched. ``background`` calls submitted work whose usage
    a later call reports.
    """

    operation: str
    provider: str
    started: datetime
    duration: float
    outcome: Outcome = "success"
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    refused: bool = False
    background: bool = False
    streamed: bool = False
    time_to_first_chunk: float | None = None
    time_to_first_token: float | None = None
    server_address: str | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    tokens: Tokens = field(default_factory=Tokens)
    usage: Mapping[str, int | float] = field(default_factory=dict)
    service_tier: str | None = None
    reported_cost: Decimal | None = None
    error_type: str | None = None
    error_message: str | None = None
    attribution: Mapping[str, Value] = field(default_factory=dict)
    exchange: Exchange = field(default_factory=Exchange)
    stream_end: StreamEnd | None = None
    estimate: Estimate | None = None
    batch: str | None = None

    @property
    def output_tokens_per_second(self) -> float | None:
        """Output tokens over the time in which they were written.

        That time is what follows the first chunk where the answer was streamed, else the whole call. ``None`` without
        output, for a batch, or where the time is too short to divide by.
        """
        if not self.tokens.output or self.batch:
            return None
        writing = self.duration - (self.time_to_first_token or 0.0)
        return self.tokens.output / writing if writing > _SHORTEST_WRITING else None

    @property
    def time_per_output_token(self) -> float | None:
        """Seconds between two tokens of a streamed answer, on average; ``None`` where fewer than two were reported."""
        if self.time_to_first_token is None or not self.tokens.output or self.tokens.output < 2:
            return None
        return max(self.duration - self.time_to_first_token, 0.0) / (self.tokens.output - 1)


_SHORTEST_WRITING = 0.001  # seconds: below, a whole answer came in one piece and the quotient says nothing


@dataclass(slots=True, kw_only=True)
class Price:
    """What a call cost in US dollars, or why that is not known.

    Both are ``None`` where nothing was bought: a call that failed without reporting usage.
    """

    amount: Decimal | None = None
    source: Literal["local", "provider"] = "local"
    unpriced: Literal["unknown_model", "no_usage", "no_price", "invalid_usage"] | None = None
    estimated: Decimal | None = None  # what a call without usage may have cost, by the estimate of its tokens
    age: int | None = field(default=None, compare=False)
    """Days since the price table was last checked; ``None`` where the price is not from it. A remark on the price."""
    cache_saved: Decimal | None = field(default=None, compare=False)
    """What the call would have cost more without the provider's cache. Another remark."""


def utc(nanoseconds: int) -> datetime:
    """A point in time from nanoseconds since the epoch."""
    return datetime.fromtimestamp(nanoseconds / 1e9, tz=UTC)


def error_type(error: BaseException) -> str:
    """The class of an error, with its module but for Python's own, as the conventions have ``error.type``."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def unicode(text: str) -> str:
    """A text that UTF-8 can carry: half of a surrogate pair, as a cut JSON text leaves it, becomes a ``?``."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def finite(value: object) -> float | None:
    """The value as a finite number; ``None`` where it is none."""
    try:
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    except OverflowError:  # an int beyond every float
        return None


# Class names, whatever package they come from: openai.RateLimitError, anthropic.RateLimitError, builtins.TimeoutError.
# OpenAIRateLimitError is LangChain's.
_ERRORS: Final[Mapping[Outcome, str]] = {
    "rate_limited": "RateLimitError OpenAIRateLimitError ResourceExhausted TooManyRequests 429",
    "timeout": "APITimeoutError TimeoutError TimeoutException ReadTimeout ConnectTimeout Timeout timeout "
    "DeadlineExceeded",
    "cancelled": "CancelledError GeneratorExit KeyboardInterrupt",
}
_BY_ERROR: Final = {name: outcome for outcome, names in _ERRORS.items() for name in names.split()}
ABANDONED: Final = "abandoned stream"  # how the upstream stream wrappers describe a stream that nobody read to its end


def outcome(error_type: str | None, message: str | None, *, streamed: bool, complete: bool) -> Outcome:
    """Classify a finished call.

    A stream that its reader closed early ends without error: it was cancelled. ``complete`` says that its end was seen,
    by a finish reason, its usage or otherwise.
    """
    if error_type is None:
        return "cancelled" if streamed and not complete else "success"
    if message == ABANDONED:
        return "cancelled"
    return _BY_ERROR.get(error_type.rsplit(".", 1)[-1], "error")


def stream_end(outcome: Outcome, message: str | None, *, complete: bool, begun: bool) -> StreamEnd:
    """How a streamed answer ended; ``begun`` says whether any of it was read."""
    if outcome == "success" or complete:
        return "complete"
    if outcome == "cancelled" and message in (None, ABANDONED):
        return "abandoned" if begun else "unread"
    return "cancelled" if outcome == "cancelled" else "broken"
