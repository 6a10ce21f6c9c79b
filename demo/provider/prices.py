"""What the simulated provider charges: a price list of its own, so that its ledger depends on nobody else's.

The figures are OpenAI's published standard prices in US dollars per million tokens, from
https://platform.openai.com/docs/pricing and each model's page below; a test compares them with ``genai_prices``.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from demo.provider.usage import Usage

_MILLION: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. Cached tokens are part of the input, reasoning tokens are billed as output."""

    input: Decimal
    cached_input: Decimal
    output: Decimal

    def amount(self, usage: Usage) -> Decimal:
        """The exact price of one answer in US dollars, without rounding."""
        return (
            self.input * (usage.input_tokens - usage.cached_tokens)
            + self.cached_input * usage.cached_tokens
            + self.output * usage.output_tokens
        ) / _MILLION


PRICES: Final = {
    # https://platform.openai.com/docs/models/gpt-4o
    "gpt-4o-2024-08-06": Price(Decimal("2.50"), Decimal("1.25"), Decimal("10.00")),
    # https://platform.openai.com/docs/models/gpt-4o-mini
    "gpt-4o-mini-2024-07-18": Price(Decimal("0.15"), Decimal("0.075"), Decimal("0.60")),
    # https://platform.openai.com/docs/models/gpt-4.1-mini
    "gpt-4.1-mini-2025-04-14": Price(Decimal("0.40"), Decimal("0.10"), Decimal("1.60")),
    # https://platform.openai.com/docs/models/o4-mini
    "o4-mini-2025-04-16": Price(Decimal("1.10"), Decimal("0.275"), Decimal("4.40")),
    # https://platform.openai.com/docs/models/text-embedding-3-small
    "text-embedding-3-small": Price(Decimal("0.02"), Decimal("0.02"), Decimal(0)),
}
"""By snapshot name. A model that is not listed, such as acme-internal-7b, is answered and has no price."""
