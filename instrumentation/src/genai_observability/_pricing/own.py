"""Prices of one's own, from a file: for models that the table lacks, and for prices that were negotiated."""

import functools
import logging
import re
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider

from genai_observability import signals
from genai_observability._call import Call, Price
from genai_observability._pricing.table import PROVIDERS, TIERS, UNITS, Entry, PriceTable
from genai_observability._pricing.usage import Counts

_KINDS: Final[Mapping[str, tuple[str, int]]] = {
    # US dollars a million
    "input": ("input_mtok", 1),
    "output": ("output_mtok", 1),
    "cached": ("cache_read_mtok", 1),
    "cache_write": ("cache_write_mtok", 1),
    "reasoning": ("output_reasoning_mtok", 1),
    "audio_input": ("input_audio_mtok", 1),
    "audio_cached": ("cache_audio_read_mtok", 1),
    "audio_output": ("output_audio_mtok", 1),
    "image_input": ("input_image_mtok", 1),
    "image_cached": ("cache_image_read_mtok", 1),
    "image_output": ("output_image_mtok", 1),
    "characters": ("input_mchars", 1),
    # US dollars apiece, which the library has by the thousand
    "request": ("requests_kcount", 1000),
    "web_search": ("web_searches_kcount", 1000),
    "file_search": ("storage_searches_kcount", 1000),
    # US dollars an hour
    "audio_hour": ("audio_hours", 1),
}
"""What the file may price, with the library's name for it and the library's quantity in units of the file."""
_IMAGE: Final = "image"  # an image that was generated: not among the library's units
_TEXTS: Final = ("model", "provider", "tier", "same_as")
_KEYS: Final = (*_TEXTS, "valid_from", "discount", _IMAGE, *_KINDS)
_SECONDS_BETWEEN_LOOKS: Final = 1.0
_REMEMBERED: Final = 1024  # models whose lines are known; names come from the application and could be endless

_logger = logging.getLogger("genai_observability")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One ``[[price]]`` of the file: prices, or whose prices count and at which discount."""

    model: str
    provider: str | None = None
    tier: str | None = None
    valid_from: date = date.min
    same_as: str | None = None
    discount: Decimal = Decimal(0)
    prices: Entry | None = None
    image: Decimal | None = None

    def concerns(self, provider: str, models: Iterable[str | None], tier: str | None) -> bool:
        """Whether it is for a call of that provider, of one of these models, in that tier."""
        return (
            any(self._names(model.lower()) for model in models if model)
            and self.provider in (None, PROVIDERS.get(provider, provider))
            and self.tier in (None, tier)
        )

    @property
    def rank(self) -> tuple[bool, int, bool, bool, date]:
        """Of several lines for a call the one with the highest rank counts: the one that says most."""
        exact = not self.model.endswith("*")
        return exact, len(self.model), self.provider is not None, self.tier is not None, self.valid_from

    def price(self, call: Call, used: Counts, table: PriceTable) -> Price:
        """The price of a call that it concerns."""
        if self.prices is None:
            return self._discounted(call, used, table)
        price = self.prices.price(used, call.started, None)
        if self.image is None or price.amount is None:
            return price
        if (images := call.usage.get(signals.IMAGES.name)) is None:
            return Price(unpriced="no_usage")
        return Price(amount=price.amount + self.image * Decimal(images))

    def _discounted(self, call: Call, used: Counts, table: PriceTable) -> Price:
        tier = None if self.tier else call.service_tier  # a line for a tier has its own discount for it
        if self.same_as is None:
            price = table.price(call, used, tier)
        elif entry := _find(table, self.provider, self.same_as):
            price = entry.price(used, call.started, tier)
        else:  # an updated table may have lost the model
            return Price(unpriced="unknown_model")
        return price if price.amount is None else Price(amount=price.amount * (1 - self.discount))

    def _names(self, model: str) -> bool:
        return model.startswith(self.model[:-1]) if self.model.endswith("*") else model == self.model


class OwnPrices:
    """The prices of a file, which is read again when it has changed. One that cannot be read changes nothing."""

    def __init__(self, path: Path, table: PriceTable) -> None:
        """``table`` has the models that the file refers to."""
        self._path = path
        self._table = table
        self._next_look = 0.0
        self._state: object = None
        self._complaint = ""
        self._use([])

    def price(self, call: Call, used: Counts) -> Price | None:
        """The price of a call; ``None`` where the file has none for it."""
        self.look()
        tier = call.service_tier if call.service_tier in TIERS else None
        for line in self._lines_for(call.provider, call.response_model, call.request_model, tier):
            if line.valid_from <= call.started.astimezone(UTC).date():
                return line.price(call, used, self._table)
        return None

    def look(self) -> None:
        """Read the file if it has changed, looking once a second at most."""
        if (now := time.monotonic()) < self._next_look:
            return
        self._next_look = now + _SECONDS_BETWEEN_LOOKS
        try:
            status = self._path.stat()
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if state != self._state:
                self._state = state
                self._use(_read(self._path.read_text("utf-8-sig"), self._table))
                self._complaint = ""
        except OSError as error:
            self._state = None
            self._complain(f"cannot be read: {error.strerror or error}")
        except ValueError as error:  # TOML's and Unicode's errors are of this kind
            self._complain(f"is not used: {error}")

    def _complain(self, problem: str) -> None:
        if problem != self._complaint:
            self._complaint = problem
            kept = "the prices read before stay in force" if self._lines else "calls are priced by the table alone"
            _logger.warning("The file of prices %s %s; %s.", self._path, problem.rstrip("."), kept)

    def _use(self, lines: list[_Line]) -> None:
        self._lines = sorted(lines, key=lambda line: line.rank, reverse=True)
        self._lines_for = functools.lru_cache(_REMEMBERED)(self._concerned)

    def _concerned(self, provider: str, response: str | None, request: str | None, tier: str | None) -> list[_Line]:
        return [line for line in self._lines if line.concerns(provider, (response, request), tier)]


def _find(table: PriceTable, provider: str | None, model: str) -> Entry | None:
    """A model of the table: at the provider, else at whoever makes that model."""
    return (table.find(provider, model) if provider else None) or table.find(None, model)


def _read(text: str, table: PriceTable) -> list[_Line]:
    """The lines of a file. Raises ``ValueError`` with what is wrong and where."""
    content = tomllib.loads(text, parse_float=Decimal)
    prices = content.pop("price", [])
    if content or not isinstance(prices, list) or not all(isinstance(price, dict) for price in prices):
        raise ValueError(f"only tables [[price]] are known, not {', '.join(content) or 'price = …'}")
    rows = [number for number, row in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*price\s*\]\]", row)]
    lines = []
    for index, price in enumerate(prices):
        try:
            lines.append(_line(price, table))
        except ValueError as error:
            at = f"line {rows[index]}, " if index < len(rows) else ""
            raise ValueError(f"{at}model {price.get('model')!r}: {error}") from None
    return lines


def _line(price: dict[str, Any], table: PriceTable) -> _Line:
    for key, value in price.items():
        if problem := _problem(key, value):
            raise ValueError(f"{key} = {value!s:.40} {problem}")
    if "model" not in price:
        raise ValueError("model is missing")
    kinds = {_KINDS[key][0]: Decimal(price[key]) * _KINDS[key][1] for key in price if key in _KINDS}
    referring = "same_as" in price or "discount" in price
    if referring == bool(kinds or _IMAGE in price):
        raise ValueError("it needs either prices, such as input and output, or same_as or discount")
    _check_gaps(list(kinds))
    line = _Line(
        model=price["model"].lower(),
        provider=PROVIDERS.get(price["provider"], price["provider"]) if "provider" in price else None,
        tier=price.get("tier"),
        valid_from=price.get("valid_from", date.min),
        same_as=price.get("same_as"),
        discount=Decimal(price.get("discount", 0)),
        prices=None if referring else _entry(price["model"], kinds),
        image=Decimal(price[_IMAGE]) if _IMAGE in price else None,
    )
    if line.same_as and not _find(table, line.provider, line.same_as):
        raise ValueError(f"same_as = {line.same_as!r} is a model that the price table does not know")
    return line


def _check_gaps(price_keys: list[str]) -> None:
    """Raise ``ValueError`` where a price lacks that of the kind which contains it, or of what two kinds have in common.

    Cached tokens are input tokens; with prices for cached tokens and for audio, cached audio needs one too.
    """
    priced = {unit.usage_key: unit for unit in map(UNITS.unit_for_price_key, price_keys)}
    for key, unit in priced.items():
        for container in UNITS.ancestor_usage_keys(key) - priced.keys():
            raise ValueError(f"a price for {_word(key)} needs one for {_word(container)} too")
        for other in priced.values():
            join = UNITS.find_join(unit, other)
            if join and join.usage_key not in priced:
                raise ValueError(
                    f"prices for {_word(key)} and {_word(other.usage_key)} need one for {_word(join.usage_key)} too"
                )


def _word(usage_key: str) -> str:
    """What the file calls a kind of usage."""
    price_key = UNITS.units[usage_key].price_key
    return next((word for word, (known, _) in _KINDS.items() if known == price_key), usage_key)


def _problem(key: str, value: object) -> str | None:
    """What is wrong with a value; ``None`` for nothing."""
    if key not in _KEYS:
        return f"is not known; known are {', '.join(_KEYS)}"
    if key in _TEXTS:
        if not isinstance(value, str) or not value:
            return 'is no text in quotes, such as "gpt-4o"'
        return f"is no tier; tiers are {', '.join(TIERS)}" if key == "tier" and value not in TIERS else None
    if key == "valid_from":
        return None if type(value) is date else "is no date such as 2026-07-01, without quotes"
    number = Decimal(value) if type(value) in (int, Decimal) else None  # type: ignore[arg-type]
    if number is None or not number.is_finite() or number < 0:
        return "is no number of US dollars, such as 0.15" if key != "discount" else "is no number between 0 and 1"
    return "is more than 1; 0.2 takes a fifth off" if key == "discount" and number > 1 else None


def _entry(model: str, kinds: Mapping[str, Decimal]) -> Entry:
    info = ModelInfo(id=model, match=ClauseEquals(model), prices=ModelPrice(**kinds))
    return Entry(info, Provider(id="own", name="prices of one's own", api_pattern="", models=[info]))
