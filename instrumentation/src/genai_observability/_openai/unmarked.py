"""Marks every request of the client, a model call or not, as one to a provider, which is told nothing of ours."""

from collections.abc import Callable
from typing import Any

from openai._base_client import AsyncAPIClient, SyncAPIClient

from genai_observability._context.baggage import to_provider
from genai_observability._patching import replace


def watch() -> list[Callable[[], None]]:
    """Mark requests from now on; returns what ends that."""
    return [replace(SyncAPIClient, "request", _plain), replace(AsyncAPIClient, "request", _asynchronous)]


def _plain(original: Callable[..., Any]) -> Callable[..., Any]:
    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = to_provider.get()
        to_provider.set(True)
        try:
            return original(self, *args, **kwargs)
        finally:
            to_provider.set(before)

    return request


def _asynchronous(original: Callable[..., Any]) -> Callable[..., Any]:
    async def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = to_provider.get()
        to_provider.set(True)
        try:
            return await original(self, *args, **kwargs)
        finally:
            to_provider.set(before)

    return request
