"""Newer price tables, fetched now and then where the user allows it."""

import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

_EVERY: Final = 6 * 3600.0
"""Seconds between two fetches: prices change less often than daily, and the table takes half a second to read."""
_AFTER_FAILURE: Final = 600.0

_logger = logging.getLogger("genai_observability")


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
        if text.lower() in ("", "false"):
            return cls(None)
        if text.lower() == "true":
            return cls("")
        if text.startswith(("https://", "http://")):
            return cls(text)
        _logger.warning("%s=%s is neither true, false nor an address: prices are not updated.", variable, text)
        return cls(None)

    def newest(self) -> "DataSnapshot | None":
        """The table that was fetched last; starts to fetch the next one when it is time."""
        if self._url is not None and time.monotonic() >= self._next:
            self._start(self._url)
        return self._newest

    def _start(self, url: str) -> None:
        if self._thread is None or not self._thread.is_alive():  # none is alive in a child made by fork
            self._thread = threading.Thread(target=self._fetch, args=(url,), name="genai-observability-prices")
            self._thread.daemon = True
            self._thread.start()

    def _fetch(self, url: str) -> None:
        from genai_prices.update_prices import DEFAULT_UPDATE_URL, UpdatePrices
        from opentelemetry.instrumentation.utils import suppress_instrumentation

        url = url or DEFAULT_UPDATE_URL
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
