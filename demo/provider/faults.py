"""Faults on demand: a share of all calls, or one request that asks for its own by a header or in its text."""

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from random import Random
from typing import Final

HEADER: Final = "x-demo-fault"
"""A request with this header gets the fault it names; so does one whose text says ``x-demo-fault: name``."""
_IN_TEXT: Final = re.compile(rb"x-demo-fault: (\w+)")

_REMEMBERED: Final = 1024
_GOLDEN_RATIO: Final = (math.sqrt(5) - 1) / 2


class Fault(StrEnum):
    """What can go wrong with a call."""

    RATE_LIMIT = "rate_limit"
    RATE_LIMIT_ONCE = "rate_limit_once"
    """The first attempt is refused, the client's retry is answered."""
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    UNAUTHORIZED = "unauthorized"
    BAD_REQUEST = "bad_request"
    UNKNOWN_MODEL = "unknown_model"
    HANG = "hang"
    """No answer at all, until the client gives up."""
    SLOW = "slow"
    """The right answer, after up to four times as long."""
    CRAWL = "crawl"
    """The right answer, ten seconds later: longer than anyone waits who has not asked for it."""
    HEAVY = "heavy"
    """The right answer, with a thousand times the tokens, and their price."""
    UNCACHED = "uncached"
    """The right answer, with nothing of the prompt taken from the cache."""
    NONSENSE = "nonsense"
    """An answer that has nothing to do with the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer in OpenAI's format."""

    status: int
    type: str
    code: str | None
    message: str
    headers: Mapping[str, str] | None = None

    def body(self) -> dict[str, object]:
        """The JSON of the answer."""
        return {"error": {"message": self.message, "type": self.type, "param": None, "code": self.code}}


_RATE_LIMITED: Final = Refusal(
    status=429,
    type="requests",
    code="rate_limit_exceeded",
    message="Rate limit reached for requests per minute. Please try again in 1s.",
    headers={"retry-after": "1"},
)
REFUSALS: Final = {
    Fault.RATE_LIMIT: _RATE_LIMITED,
    Fault.RATE_LIMIT_ONCE: _RATE_LIMITED,
    Fault.SERVER_ERROR: Refusal(
        status=500,
        type="server_error",
        code=None,
        message="The server had an error while processing your request. Sorry about that!",
    ),
    Fault.UNAVAILABLE: Refusal(
        status=503,
        type="server_error",
        code="overloaded",
        message="The engine is currently overloaded, please try again later.",
    ),
    Fault.UNAUTHORIZED: Refusal(
        status=401,
        type="invalid_request_error",
        code="invalid_api_key",
        message="Incorrect API key provided.",
    ),
    Fault.BAD_REQUEST: Refusal(
        status=400,
        type="invalid_request_error",
        code="invalid_value",
        message="Invalid value in the request.",
    ),
    Fault.UNKNOWN_MODEL: Refusal(
        status=404,
        type="invalid_request_error",
        code="model_not_found",
        message="The model does not exist or you do not have access to it.",
    ),
}
"""The faults that are an error answer."""


class Faults:
    """Draws a fault for each call by the shares that are set.

    A call keeps its fate through all its retries, as in an outage; a retry is known by its body, which the client
    repeats unchanged.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.shares: dict[Fault, float] = {}
        self._point = Random(seed).random()  # noqa: S311 -- a repeatable demonstration, not a secret
        self._fates: OrderedDict[bytes, Fault | None] = OrderedDict()

    def set(self, shares: Mapping[str, float]) -> None:
        """Sets the share of calls, 0 to 1, for each fault by its name; the faults that are not named end.

        Raises:
            ValueError: a fault is not known, or the shares are no shares.
        """
        known = {fault.value for fault in Fault}
        for name, share in shares.items():
            if name not in known:
                raise ValueError(f"The fault {name!r} is not known: use one of {', '.join(sorted(known))}.")
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ValueError(f"The share of {name} is {share!r}: it must be a number from 0 to 1.")
        if sum(shares.values()) > 1 + 1e-9:
            raise ValueError("The shares of all faults together are above 1.")
        self.shares = {Fault(name): float(share) for name, share in shares.items()}

    def draw(self, body: bytes, *, retry: bool, asked: str | None = None) -> Fault | None:
        """The fault of this attempt, if any; ``asked`` is the value of the header."""
        if asked is None and (found := _IN_TEXT.search(body)):
            asked = found[1].decode()
        if asked is not None:
            fault = Fault(asked) if asked in set(Fault) else None
        elif retry:
            fault = self._fates.get(_digest(body))
        else:
            fault = self._fates[_digest(body)] = self._by_share()
            if len(self._fates) > _REMEMBERED:
                self._fates.popitem(last=False)
        return None if retry and fault is Fault.RATE_LIMIT_ONCE else fault

    def _by_share(self) -> Fault | None:
        # Steps of the golden ratio spread evenly: also a short run gets its share of each fault.
        self._point = (self._point + _GOLDEN_RATIO) % 1.0
        point = self._point
        for fault, share in self.shares.items():
            if point < share:
                return fault
            point -= share
        return None


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()
