"""The official OpenAI clients of the application, for the provider that the environment chooses."""

import os
from dataclasses import dataclass, field
from typing import Final, Literal, Self

import httpx2
import openai

from stack.settings import Settings

# Interactive users do not wait longer; one retry is enough where the next attempt may be just as slow.
_TIMEOUT_SECONDS: Final = 5.0
RETRIES: Final = 1


class ConfigurationError(Exception):
    """The environment asks for something that cannot be; the message says what to do."""


def chosen_provider() -> Literal["simulated", "openai"]:
    """What PROVIDER says: simulated, which is the default, or openai.

    Raises:
        ConfigurationError: it says something else, or the key of the real provider is missing.
    """
    provider = os.environ.get("PROVIDER") or "simulated"
    if provider == "simulated":
        return "simulated"
    if provider != "openai":
        raise ConfigurationError(f"PROVIDER is {provider!r}: it must be simulated or openai.")
    if not os.environ.get("OPENAI_API_KEY"):
        raise ConfigurationError("PROVIDER=openai needs a key: set OPENAI_API_KEY, or leave PROVIDER out.")
    return "openai"


@dataclass(slots=True)
class CallCount:
    """Counts the calls sent, by watching the HTTP requests: an account independent of the telemetry."""

    calls: int = 0

    def request(self, request: httpx2.Request) -> None:
        """Counts a first attempt; the client marks its retries."""
        if request.headers.get("x-stainless-retry-count") == "0":
            self.calls += 1

    async def request_async(self, request: httpx2.Request) -> None:
        """The same for the asynchronous client."""
        self.request(request)


@dataclass(frozen=True, slots=True)
class Clients:
    """The same provider twice: for asynchronous code, and for plain code in threads."""

    asynchronous: openai.AsyncOpenAI
    plain: openai.OpenAI
    count: CallCount = field(default_factory=CallCount)

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """The clients for the provider that the environment chooses.

        Raises:
            ConfigurationError: see ``chosen_provider``; or DEMO_TIMEOUT_SECONDS is no number of seconds.
        """
        timeout = _timeout()
        if chosen_provider() == "openai":
            return cls.at(None, api_key=os.environ["OPENAI_API_KEY"], timeout=timeout)
        return cls.at(f"{settings.provider_url}/v1", api_key="simulated", timeout=timeout)

    @classmethod
    def at(
        cls, base_url: str | None, *, api_key: str, retries: int = RETRIES, timeout: float = _TIMEOUT_SECONDS
    ) -> Self:
        """The clients for one address; ``None`` is the client's own default."""
        count = CallCount()
        return cls(
            openai.AsyncOpenAI(
                base_url=base_url,
                api_key=api_key,
                timeout=timeout,
                max_retries=retries,
                http_client=openai.DefaultAsyncHttpxClient(event_hooks={"request": [count.request_async]}),
            ),
            openai.OpenAI(
                base_url=base_url,
                api_key=api_key,
                timeout=timeout,
                max_retries=retries,
                http_client=openai.DefaultHttpxClient(event_hooks={"request": [count.request]}),
            ),
            count,
        )

    async def close(self) -> None:
        """Closes the connections of both."""
        await self.asynchronous.close()
        self.plain.close()


def _timeout() -> float:
    text = os.environ.get("DEMO_TIMEOUT_SECONDS") or str(_TIMEOUT_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"DEMO_TIMEOUT_SECONDS is {text!r}: it must be a number above 0.")
    return seconds
