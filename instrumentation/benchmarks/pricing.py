"""CPU time of one price, ours and the library's: ``.venv/bin/python instrumentation/benchmarks/pricing.py``."""

import time
import timeit
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from genai_observability import signals
from genai_observability._call import Call, Tokens
from genai_observability._pricing import Prices
from genai_observability._pricing.table import TIERS
from genai_observability._pricing.usage import counts
from genai_prices import Usage, calc_price


def measure(
    model: str, what: str, tokens: Tokens, usage: Mapping[str, float] | None = None, tier: str | None = None
) -> None:
    """Print the time of one price for a call of this kind."""
    call = Call(
        operation="chat", provider="openai", started=datetime.now(UTC), duration=1.0,
        request_model=model, tokens=tokens, usage=usage or {}, service_tier=tier,
    )  # fmt: skip
    prices, used, context = Prices(), counts(call), TIERS[tier] if tier else None

    def library() -> object:
        return calc_price(
            Usage(**used), model, provider_id="openai", genai_request_timestamp=call.started, price_context=context
        )

    ours, theirs = _microseconds(lambda: prices.price(call)), _microseconds(library)
    print(f"{model:12} {what:24} {ours:6.1f} µs   genai-prices alone {theirs:6.1f} µs")


def _microseconds(function: Callable[[], object]) -> float:
    runs = timeit.repeat(function, timer=time.thread_time, number=5_000, repeat=7)
    return min(runs) / 5_000 * 1e6  # the run that others disturbed least


if __name__ == "__main__":
    measure("gpt-4o-mini", "input and output", Tokens(input=1_000, output=200))
    measure("gpt-5", "cached and reasoning", Tokens(input=1_000, cached=800, output=200, reasoning=100))
    measure("gpt-6-sol", "flex, long context", Tokens(input=300_000, output=200), tier="flex")
    measure("gpt-audio", "audio", Tokens(input=900, output=300), {signals.AUDIO_INPUT_TOKENS.name: 800})
    measure("whisper-1", "seconds, by the library", Tokens(), {signals.AUDIO_SECONDS.name: 12.5})
