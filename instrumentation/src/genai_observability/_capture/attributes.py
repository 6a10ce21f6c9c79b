"""Typed access to attributes that any instrumentation, or any server, may have filled with anything."""

import functools
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from genai_observability import signals
from genai_observability._call import Tokens, finite

_OLDER: Final = "gen_ai.system"  # the name of gen_ai.provider.name until semantic conventions 1.37
_UNKNOWN: Final = "_OTHER"
_OPENAI: Final = "openai"

# Host names, or what they end in, of servers that speak OpenAI's protocol; the names are the conventions' where they
# have one: https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/#gen-ai-provider-name
_BY_HOST: Final = {
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "models.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "amazonaws.com": "aws.bedrock",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "api.fireworks.ai": "fireworks",
    "api.novita.ai": "novita",
    "api.avian.io": "avian",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "openrouter.ai": "openrouter",
}


def provider_name(attributes: Mapping[str, Any]) -> str:
    """The provider of a call, by its span's attributes.

    A wrapper of the OpenAI client calls every server ``openai``: one that is known by its address gets its own name.
    """
    name = attributes.get(signals.PROVIDER.name) or attributes.get(_OLDER)
    if not isinstance(name, str):
        return _UNKNOWN
    address = attributes.get(signals.SERVER_ADDRESS.name)
    return _by_address(address) if name == _OPENAI and isinstance(address, str) else name


@functools.lru_cache(maxsize=256)
def _by_address(address: str) -> str:
    host = address.lower().rstrip(".")
    for known, name in _BY_HOST.items():
        if host == known or host.endswith((f".{known}", f"-{known}")):
            return name
    return _OPENAI


_OLDER_CACHE_WRITE: Final = "gen_ai.usage.cache_creation.input_tokens"
_USAGE: Final = {attribute.name: (int,) if attribute.type == "int" else (int, float) for attribute in signals.USAGE}
_MOST: Final = 10**15  # a count beyond this is nonsense, and would spoil every sum that it is added to


class Attributes:
    """What is of the wrong type is left out."""

    __slots__ = ("_get", "_values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._get = values.get

    def text(self, name: str) -> str | None:
        """A text that is not empty."""
        value = self._get(name)
        return value if isinstance(value, str) and value else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Several."""
        value = self._get(name)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (tuple, list)) else ()

    def count(self, name: str) -> int | None:
        """A number of things."""
        value = self._get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else None

    def seconds(self, name: str) -> float | None:
        """A number that is not negative."""
        value = finite(self._get(name))
        return value if value is not None and value >= 0 else None

    def tokens(self) -> Tokens:
        """The tokens of a call."""
        return Tokens(
            input=self.count(signals.INPUT_TOKENS.name),
            output=self.count(signals.OUTPUT_TOKENS.name),
            cached=self.count(signals.CACHED_TOKENS.name) or 0,
            cache_write=self.count(signals.CACHE_WRITE_TOKENS.name) or self.count(_OLDER_CACHE_WRITE) or 0,
            reasoning=self.count(signals.REASONING_TOKENS.name) or 0,
        )

    def usage(self) -> dict[str, int | float]:
        """What else it used and is priced."""
        return {
            name: value
            for name, value in self._values.items()
            if name in _USAGE and type(value) in _USAGE[name] and 0 < value <= _MOST
        }

    def reported_cost(self) -> Decimal | None:
        """What the provider charged; ``None`` for what another instrumentation calculated, or for another currency."""
        value = self._get(signals.COST.name)
        if value is None or self._get(signals.COST_SOURCE.name, "provider") != "provider":
            return None
        if self._get(signals.COST_CURRENCY.name, "USD") != "USD":
            return None
        valid = type(value) in (int, float) and 0 <= value < math.inf
        return Decimal(repr(value)) if valid else None
