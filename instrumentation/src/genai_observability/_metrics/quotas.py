"""What is left of the provider's rate limits, as its last answers said."""

import time
from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry.metrics import CallbackOptions, Observation

from genai_observability import signals
from genai_observability._calls.call import Call, Quota

_KEPT: Final = 600.0  # seconds after its last call that a model's limits are reported
_MOST: Final = 100  # models


class Quotas:
    """The rate limits of each model that was called lately, as gauges read them."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds."""
        self._clock = clock
        self._last: dict[tuple[str, str, str], tuple[Quota, float]] = {}

    def note(self, call: Call) -> None:
        """What the answer to a call said."""
        for quota in call.exchange.quotas:
            key = (call.provider, call.request_model or "", quota.kind)
            self._last.pop(key, None)
            self._last[key] = (quota, self._clock())
            if len(self._last) > _MOST * 2:
                self._last.pop(next(iter(self._last)))

    def observe_limit(self, _options: CallbackOptions) -> Iterable[Observation]:
        """The limits."""
        return self._observations(lambda quota, _: quota.limit)

    def observe_remaining(self, _options: CallbackOptions) -> Iterable[Observation]:
        """What is left of them."""
        return self._observations(_remaining)

    def observe_used(self, _options: CallbackOptions) -> Iterable[Observation]:
        """The shares of them that are used up."""
        return self._observations(lambda quota, age: 1 - _remaining(quota, age) / quota.limit)

    def _observations(self, value: Callable[[Quota, float], float]) -> list[Observation]:
        now = self._clock()
        return [
            Observation(
                value(quota, now - noted),
                {signals.PROVIDER.name: provider, signals.REQUEST_MODEL.name: model, signals.QUOTA_KIND.name: kind},
            )
            for (provider, model, kind), (quota, noted) in list(self._last.items())
            if now - noted < _KEPT
        ]


def _remaining(quota: Quota, age: float) -> float:
    return quota.limit if age > quota.reset else quota.remaining
