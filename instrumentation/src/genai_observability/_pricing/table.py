"""Prices by the open table, as sums of a few products: in two microseconds where its library takes seventy."""

import bisect
import contextlib
import decimal
import functools
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from genai_prices import Usage
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.data_units import unit_data
from genai_prices.decompose import is_descendant_or_self
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices
from genai_prices.units import UnitDef, UnitRegistry

from genai_observability._call import Call, Price
from genai_observability._pricing import Refresh
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


PROVIDERS: Final[Mapping[str, str]] = {
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "aws.bedrock": "aws",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    # names before semantic conventions 1.37, in gen_ai.system
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "gemini": "google",
    "vertex_ai": "google",
    "xai": "x-ai",
}
"""The table's name of a provider that the conventions name otherwise. The table itself knows the rest."""

TIERS: Final[Mapping[str, Mapping[str, str]]] = {
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast"},
    "batch": {"processing": "batch"},
}
"""Service tiers with prices of their own, in the table's words; any other is the standard tier."""

_MOST: Final = 10**12
"""A count beyond this is nonsense, and would not be exact in 28 digits."""
_REMEMBERED: Final = 1024  # models, and formulas of a model: names come from the application and could be endless
_OPENAI: Final = frozenset({"openai", "azure"})


class PriceTable:
    """Prices by the table that ``genai-prices`` ships, or by a newer one that was fetched."""

    def __init__(self, refresh: Refresh) -> None:
        """``refresh`` fetches newer tables, where the user allows it."""
        self._refresh = refresh
        self._use(get_snapshot())

    def price(self, call: Call, used: Counts, tier: str | None) -> Price:
        """The price of a call by its answering model, else by the model that was asked for."""
        for model in (call.response_model, call.request_model):
            if model and (entry := self.find(call.provider, model)):
                return entry.price(used, call.started, tier)
        return Price(unpriced="unknown_model")

    def find(self, provider: str | None, model: str) -> "Entry | None":
        """The table's entry of a model; without a provider, at whoever makes models of such a name."""
        snapshot = self._refresh.newest() or get_snapshot()
        if snapshot is not self._snapshot:
            self._use(snapshot)
        return self._find(provider, model)

    def age(self) -> float | None:
        """Seconds since the newest date on which a price of the table was checked."""
        return max(time.time() - self._checked, 0.0) if self._checked else None

    def _use(self, snapshot: DataSnapshot) -> None:
        self._snapshot = snapshot
        self._checked = _checked(snapshot)
        self._find = functools.lru_cache(_REMEMBERED)(functools.partial(_entry, snapshot))


class Entry:
    """A model of a table."""

    def __init__(self, model: ModelInfo, provider: Provider) -> None:
        """``provider`` is the one asked, which may offer the models of another."""
        self._model = model
        self._provider = provider
        self._variants = model.price_variants or [] if any(model is own for own in provider.models) else []
        conditional = [] if isinstance(model.prices, ModelPrice) else model.prices
        constraints = [*(each.constraint for each in self._variants), *(each.constraint for each in conditional)]
        self._constraints = [constraint for constraint in constraints if constraint]
        self._ways: dict[tuple[object, ...], Price | Formula | None] = {}

    def price(self, counts: Counts, at: datetime, tier: str | None) -> Price:
        """The price of what was used then, in that service tier."""
        if tier not in TIERS:
            tier = None
        if counts and max(counts.values()) > _MOST:
            return Price(unpriced="invalid_usage")
        # What the library makes of counts depends on which there are and which are zero, besides the numbers.
        key = (tier, *counts, *map(bool, counts.values()), *[constraint.active(at) for constraint in self._constraints])
        try:
            if key not in self._ways:
                if len(self._ways) >= _REMEMBERED:
                    self._ways.clear()
                self._ways[key] = self._way(counts, at, tier)
            way = self._ways[key]
            if isinstance(way, Price):
                return way
            return Price(amount=way.price(counts) if way else self._ask(counts, at, tier))
        except ValueError:
            return Price(unpriced="invalid_usage")

    def _way(self, counts: Counts, at: datetime, tier: str | None) -> Price | Formula | None:
        """How such usage is priced at that time: not at all, by a formula, or by asking the library."""
        prices = self._model.get_prices(at, TIERS[tier] if tier and self._variants else None)
        priced = priced_units(prices)
        if not priced:
            return Price(amount=Decimal(0))  # free, such as moderation
        # The library takes what is not reported, and what has no price, for nothing: the sum would be too low.
        families = {unit.dimensions["family"] for unit in priced} - {"tool_calls", "requests"}
        if families and not any(UNITS.units[key].dimensions["family"] in families for key in counts):
            return Price(unpriced="no_usage")
        if tier and not self._offers(tier, at):
            return Price(unpriced="no_price")
        if any(self._costs_apart(key) for key in counts.keys() - {unit.usage_key for unit in priced}):
            return Price(unpriced="no_price")
        return formula(prices, counts)

    def _ask(self, counts: Counts, at: datetime, tier: str | None) -> Decimal:
        context = TIERS[tier] if tier else None
        ask = functools.partial(self._model.calc_price, genai_request_timestamp=at, price_context=context)
        return ask(Usage(**counts), self._provider).total_price

    def _offers(self, tier: str, at: datetime) -> bool:
        return any(
            variant.when.items() <= TIERS[tier].items() and (not variant.constraint or variant.constraint.active(at))
            for variant in self._variants
        )

    def _costs_apart(self, key: str) -> bool:
        """Whether a kind of usage costs something even where the table has no price for it.

        Searches do. A kind of token costs what its direction costs, except for OpenAI's audio: that costs a multiple,
        and the table lacks its price for some models (gpt-4o-audio-preview).
        """
        audio = key in ("input_audio_tokens", "output_audio_tokens") and self._provider.id in _OPENAI
        return audio or UNITS.units[key].dimensions["family"] == "tool_calls"


def _entry(snapshot: DataSnapshot, provider: str | None, model: str) -> Entry | None:
    # A snapshot of its own for each look-up: the library keeps every name that it was ever asked for.
    lookup = DataSnapshot(snapshot.providers, from_auto_update=False)
    try:
        found, info = lookup.find_provider_model(model, None, provider and PROVIDERS.get(provider, provider), None)
    except LookupError:
        return None
    return Entry(info, found)


_CHECK: Final = re.compile(r"\b(?:checked|verified)(?: on)? (\d{4}-\d{2}-\d{2})", re.IGNORECASE)


def _checked(snapshot: DataSnapshot) -> float | None:
    """The newest date in the table's notes of the kind "verified on 2026-10-14"; the table has no date of its own."""
    newest = 0.0
    for provider in snapshot.providers:
        for model in provider.models:
            for day in _CHECK.findall(model.price_comments or ""):
                with contextlib.suppress(ValueError):  # such as 2026-02-30
                    newest = max(newest, datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
    return newest or None
