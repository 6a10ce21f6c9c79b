"""One GET of a store's HTTP API, every failure of which is one sentence."""

from typing import Any

import httpx

TIMEOUT_S = 60.0
"""Queries over a month of data take some time."""
_CONNECT_S = 5.0
"""A server that is there takes the connection at once."""


class StoreError(Exception):
    """A store could not be asked, or refused what it was asked; the message is one sentence for the user."""


class Http:
    """The HTTP API of one store, called ``name`` in messages."""

    def __init__(self, name: str, url: str, timeout: float = TIMEOUT_S) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_S)),
            trust_env=False,  # the stores listen on loopback: a proxy of the environment is not for them
            limits=httpx.Limits(max_keepalive_connections=0),  # nothing stays open that someone would have to close
        )

    def get(self, path: str, **params: str | int | float) -> httpx.Response:
        """The store's answer, whatever its status.

        Raises:
            StoreError: the store cannot be reached or does not answer in time.
        """
        try:
            return self._client.get(self.url + path, params=params)
        except httpx.TimeoutException as error:
            raise StoreError(f"{self.name} at {self.url} did not answer in time; `make logs` may say why.") from error
        except httpx.TransportError as error:
            raise StoreError(f"{self.name} is not reachable at {self.url}; start the stack with `make up`.") from error

    def json(self, response: httpx.Response) -> Any:
        """The answer's JSON.

        Raises:
            StoreError: what answers is not this store.
        """
        try:
            return response.json()
        except ValueError as error:
            raise StoreError(
                f"What answers at {self.url} is not {self.name} (HTTP {response.status_code} without JSON); "
                "is another program using the port?"
            ) from error

    def refused(self, query: str, reason: str) -> StoreError:
        """The error that says which query the store refused, and the store's reason."""
        return StoreError(f"{self.name} refused the query `{query}`: {' '.join(reason.split())}")
