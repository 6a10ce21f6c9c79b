"""The rate limit that the provider announces in its answers' headers: so many requests and tokens a minute."""

import math
import time
from collections.abc import Callable
from typing import Final

_REQUESTS: Final = 10_000
_TOKENS: Final = 2_000_000
_MINUTE: Final = 60.0


class RateLimit:
    """Counts requests and tokens in windows of one minute."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._requests = 0
        self._tokens = 0

    def headers(self, tokens: int) -> dict[str, str]:
        """Counts one request of so many tokens and says what is left, as ``x-ratelimit-*`` headers."""
        now = self._clock()
        if now - self._started >= _MINUTE:
            self._started, self._requests, self._tokens = now, 0, 0
        self._requests += 1
        self._tokens += tokens
        reset = f"{math.ceil(_MINUTE - (now - self._started))}s"
        return {
            "x-ratelimit-limit-requests": str(_REQUESTS),
            "x-ratelimit-limit-tokens": str(_TOKENS),
            "x-ratelimit-remaining-requests": str(max(0, _REQUESTS - self._requests)),
            "x-ratelimit-remaining-tokens": str(max(0, _TOKENS - self._tokens)),
            "x-ratelimit-reset-requests": reset,
            "x-ratelimit-reset-tokens": reset,
        }
