"""What a call cost: as the provider says, else by one's own prices, else by the open price table.

The table is `genai-prices <https://github.com/pydantic/genai-prices>`_. It takes a fifth of a second to load, so that
whatever imports it (``table``, ``own``) is imported on the worker, not at start.
"""

import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from genai_observability._call import Call, Price
from genai_observability._pricing.usage import Counts, bought, counts, half_reported, without_cache

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

    from genai_observability._pricing.own import OwnPrices
    from genai_observability._pricing.table import PriceTable

FILE_VARIABLE: Final = "GENAI_OBSERVABILITY_PRICES_FILE"
"""File with prices of your own (TOML), read again when it changes: ``docs/cost.md``."""
UPDATE_VARIABLE: Final = "GENAI_OBSERVABILITY_PRICES_UPDATE"
"""Whether the price table is fetched anew every 6 hours: ``false`` (default), ``true``, or the address of a mirror."""

_DAY: Final = 86_400  # seconds

_logger = logging.getLogger("genai_observability")

_EVERY: Final = 6 * 3600.0
"""Seconds between two fetches: prices change less often than daily, and the table takes half a second to read."""
_AFTER_FAILURE: Final = 600.0


class Refresh:
    """Fetches the price table in the background, while calls are made, and keeps it to this package.

    There is no connection to anywhere unless the user asks for one.
    """

    def __init__(self, url: str | None, *, every: float = _EVERY, after_failure: float = _AFTER_FAILURE) -> None:
        """``url`` is where the table is: ``None`` for never, ``""`` for the public one. Times are in seconds."""
        self._url = url
        self._every = every
        self._after_failure = after_failure
        self._next = 0.0
        self._thread: threading.Thread | None = None
        self._newest: DataSnapshot | None = None
        self._failure_level = logging.WARNING

    @classmethod
    def from_text(cls, text: str, *, variable: str) -> Self:
        """By the value of an environment variable: ``true``, ``false``, or the address of a mirror."""
        text = text.strip()
        if (word := text.lower()) in ("", "false", "true"):
            return cls("" if word == "true" else None)
        if text.startswith(("https://", "http://")):
            return cls(text)
        _logger.warning("%s=%s is neither true, false nor an address: prices are not updated.", variable, text)
        return cls(None)

    def newest(self) -> "DataSnapshot | None":
        """The table that was fetched last; starts to fetch the next one when it is time."""
        due = self._url is not None and time.monotonic() >= self._next
        if due and not (self._thread and self._thread.is_alive()):  # none is alive in a child made by fork
            self._thread = threading.Thread(target=self._fetch, name="genai-observability-prices", daemon=True)
            self._thread.start()
        return self._newest

    def _fetch(self) -> None:
        from genai_prices.update_prices import DEFAULT_UPDATE_URL, UpdatePrices
        from opentelemetry.instrumentation.utils import suppress_instrumentation

        url = self._url or DEFAULT_UPDATE_URL
        try:
            with suppress_instrumentation():  # no span of the application's own instrumentation of HTTP
                snapshot = UpdatePrices(url=url).fetch()
        except Exception as error:
            response = getattr(error, "response", None)
            self._complain(url, f"it answers {response.status_code}" if response else type(error).__name__)
            return
        if snapshot is None or not any(provider.models for provider in snapshot.providers):
            self._complain(url, "it lists no models")
            return
        self._newest = snapshot
        self._next = time.monotonic() + self._every
        self._failure_level = logging.WARNING

    def _complain(self, url: str, problem: str) -> None:
        self._next = time.monotonic() + self._after_failure
        _logger.log(
            self._failure_level,
            "The price table could not be updated from %s: %s. The one at hand stays in use.",
            urlsplit(url).hostname, problem,  # no more: an address may hold a password, and so may the error
        )  # fmt: skip
        self._failure_level = logging.DEBUG


class Prices:
    """Knows the price of every call, or why it is not known. Called on the worker only, but for ``age``."""

    def __init__(self) -> None:
        """Prices from where the environment says; nothing is loaded yet."""
        file = os.environ.get(FILE_VARIABLE, "").strip()
        self._file = Path(file).absolute() if file else None  # now: the application may change its directory
        self._refresh = Refresh.from_text(os.environ.get(UPDATE_VARIABLE, ""), variable=UPDATE_VARIABLE)
        self._table: PriceTable | None = None
        self._own: OwnPrices | None = None
        self._failure_level = logging.WARNING

    def price(self, call: Call) -> Price:
        """The price of a finished call, for the day and hour at which it started, and what a cache saved of it."""
        if call.reported_cost is not None:
            return Price(amount=call.reported_cost, source="provider")
        if not bought(call):
            return Price()
        if half_reported(call):
            return Price(unpriced="no_usage")
        used = counts(call)
        price = self._price(call, used)
        if not call.tokens.cached or price.amount is None:
            return price
        uncached = self._price(call, without_cache(used)).amount
        saved = None if uncached is None else uncached - price.amount
        return Price(amount=price.amount, age=price.age, cache_saved=saved)

    def _price(self, call: Call, used: Counts) -> Price:
        try:
            table = self._table or self.warm_up()
            if self._own and (own := self._own.price(call, used)):
                return own
            price, age = table.price(call, used, call.service_tier), table.age()
            return price if age is None or price.amount is None else Price(amount=price.amount, age=int(age // _DAY))
        except Exception:  # whatever a table may hold that was fetched: a call without a price is still a call
            _logger.log(self._failure_level, "A call could not be priced", exc_info=True)
            self._failure_level = logging.DEBUG
            return Price(unpriced="no_price")

    def age(self) -> float | None:
        """Seconds since the newest date on which a price of the table was checked; ``None`` while that is not known."""
        return self._table.age() if self._table else None

    def warm_up(self) -> "PriceTable":
        """Load what is slow to load, before the first call needs it."""
        from genai_observability._pricing.own import OwnPrices
        from genai_observability._pricing.table import PriceTable

        table = PriceTable(self._refresh)
        table.find("openai", "gpt-4o-mini")  # the first look-up loads the rest of the library
        self._table = table
        if self._file:
            self._own = OwnPrices(self._file, table)
            self._own.look()
        return table
