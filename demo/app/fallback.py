"""Another model answers where the provider refuses the first by its rate limit, as a circuit breaker does it."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import genai_observability
import openai

_REFUSALS: Final = 5
"""So many in a row open the circuit."""
_REST_SECONDS: Final = 10.0
"""For so long the first model is then left alone; the next call finds out whether it answers again."""

_Answer = TypeVar("_Answer")


class Fallback:
    """A model, and another one ``instead``."""

    def __init__(self, model: str, *, instead: str) -> None:
        self._model = model
        self._instead = instead
        self._refusals = 0
        self._open_until = 0.0
        genai_observability.circuit_breaker(model, state="closed")

    async def ask(self, call: Callable[[str], Awaitable[_Answer]]) -> _Answer:
        """What ``call`` returns, which is given the model to use.

        Raises:
            openai.APIError: of the model that was asked last.
        """
        if time.monotonic() < self._open_until:
            return await self._ask_other(call, reason="circuit_open")
        if self._refusals >= _REFUSALS:
            genai_observability.circuit_breaker(self._model, state="half_open")
        try:
            answer = await call(self._model)
        except openai.RateLimitError:
            self._refused()
            return await self._ask_other(call, reason="rate_limited")
        if self._refusals:
            self._refusals, self._open_until = 0, 0.0  # a call that began before the circuit opened closes it, too
            genai_observability.circuit_breaker(self._model, state="closed")
        return answer

    def _refused(self) -> None:
        self._refusals += 1
        if self._refusals >= _REFUSALS:
            self._open_until = time.monotonic() + _REST_SECONDS
            genai_observability.circuit_breaker(self._model, state="open")

    async def _ask_other(self, call: Callable[[str], Awaitable[_Answer]], *, reason: str) -> _Answer:
        genai_observability.fallback(
            from_provider="openai",
            from_model=self._model,
            to_provider="openai",
            to_model=self._instead,
            reason=reason,
        )
        return await call(self._instead)
