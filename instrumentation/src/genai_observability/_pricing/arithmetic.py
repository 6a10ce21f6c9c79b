"""The library's arithmetic for one model, done in two microseconds where the library takes seventy."""

import bisect
import decimal
from decimal import Decimal
from typing import Final

from genai_prices import Usage
from genai_prices.data_units import unit_data
from genai_prices.decompose import is_descendant_or_self
from genai_prices.types import ModelPrice, TieredPrices
from genai_prices.units import UnitDef, UnitRegistry

from genai_observability._pricing.usage import Counts

UNITS: Final = UnitRegistry(unit_data)
"""What can be priced: ``output_audio_tokens`` and so on, each with the price's name in the table."""

_EXACT: Final = decimal.Context(prec=28, traps=[decimal.Inexact])


def priced_units(prices: ModelPrice) -> list[UnitDef]:
    """The units that a model has a price for."""
    return [unit for unit in UNITS.units.values() if getattr(prices, unit.price_key) is not None]


class Formula:
    """A model's price as a sum over kinds of units, for usage that is reported by a certain set of keys.

    Kinds contain each other: input tokens contain cached ones, and both contain cached audio. What is left of each
    kind, once the priced kinds within it are taken off, is multiplied by the kind's price. Some prices depend on the
    number of input tokens: beyond a threshold the higher price counts for all tokens, so that there is one sum for
    each range between two thresholds.
    """

    def __init__(self, prices: ModelPrice, keys: tuple[str, ...]) -> None:
        """Raises ``decimal.Inexact`` where a price of a single unit has no exact decimal."""
        units = sorted(priced_units(prices), key=lambda unit: -len(unit.dimensions))  # the innermost kinds first
        self._thresholds = sorted({start for unit in units for start in _starts(prices, unit)})
        levels = [0, *(threshold + 1 for threshold in self._thresholds)]
        self._fixed = [
            sum((_rate(prices, unit, level) for unit in units if unit.usage_key == "requests"), Decimal(0))
            for level in levels
        ]
        reported = [unit for unit in units if unit.usage_key in keys]
        self._terms = [[(unit.usage_key, _rate(prices, unit, level)) for unit in reported] for level in levels]
        self._within = [
            [index for index, other in enumerate(reported[:position]) if is_descendant_or_self(unit, other)]
            for position, unit in enumerate(reported)
        ]

    def price(self, counts: Counts) -> Decimal:
        """The price in US dollars. Raises ``ValueError`` where a kind is larger than the one that contains it."""
        level = bisect.bisect_left(self._thresholds, counts.get("input_tokens", 0)) if self._thresholds else 0
        price = self._fixed[level]
        left: list[int] = []
        for (key, rate), within in zip(self._terms[level], self._within, strict=True):
            count = counts[key]
            for index in within:
                count -= left[index]
            if count < 0:
                raise ValueError(f"{key} is less than its parts.")
            left.append(count)
            price += rate * count
        return price


def formula(prices: ModelPrice, counts: Counts) -> Formula | None:
    """The formula for usage of this kind; ``None`` where it does not give what the library gives.

    Durations are left to the library: seconds have fractions, hours divide them inexactly, and some providers bill a
    least duration.
    """
    if any(UNITS.units[key].dimensions["family"] == "durations" for key in counts):
        return None
    try:
        found = Formula(prices, tuple(counts))
    except decimal.Inexact:
        return None
    return found if found.price(counts) == prices.calc_price(Usage(**counts))["total_price"] else None


def _starts(prices: ModelPrice, unit: UnitDef) -> list[int]:
    price = getattr(prices, unit.price_key)
    return [tier.start for tier in price.tiers] if isinstance(price, TieredPrices) else []


def _rate(prices: ModelPrice, unit: UnitDef, input_tokens: int) -> Decimal:
    """The price of one unit, exactly."""
    price = getattr(prices, unit.price_key)
    if isinstance(price, TieredPrices):
        price = next((tier.price for tier in reversed(price.tiers) if input_tokens > tier.start), price.base)
    return _EXACT.divide(price, Decimal(unit.per))
