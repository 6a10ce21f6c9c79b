"""Typed access to attributes that any instrumentation, or any server, may have filled with anything."""

import functools
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from genai_observability import signals
from genai_observability._call import Tokens, finite, unicode

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


def text(value: object) -> str | None:
    """A text that is not empty, as UTF-8 can carry it; ``None`` for anything else."""
    return unicode(value) if isinstance(value, str) and value else None


def texts(value: object) -> tuple[str, ...]:
    """Those in a list."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (tuple, list)) else ()


def count(value: object) -> int | None:
    """A number of things; ``None`` for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else None


def seconds(value: object) -> float | None:
    """A number that is not negative; ``None`` for what is none."""
    number = finite(value)
    return number if number is not None and number >= 0 else None


def tokens(values: Mapping[str, Any]) -> Tokens:
    """The tokens of a call, by its attributes."""
    return Tokens(
        input=count(values.get(signals.INPUT_TOKENS.name)),
        output=count(values.get(signals.OUTPUT_TOKENS.name)),
        cached=count(values.get(signals.CACHED_TOKENS.name)) or 0,
        cache_write=count(values.get(signals.CACHE_WRITE_TOKENS.name)) or count(values.get(_OLDER_CACHE_WRITE)) or 0,
        reasoning=count(values.get(signals.REASONING_TOKENS.name)) or 0,
    )


def usage(values: Mapping[str, Any]) -> dict[str, int | float]:
    """What else it used and is priced."""
    return {
        name: value
        for name, value in values.items()
        if name in _USAGE and type(value) in _USAGE[name] and 0 < value <= _MOST
    }


def reported_cost(values: Mapping[str, Any]) -> Decimal | None:
    """What the provider charged; ``None`` for what another instrumentation calculated, or for another currency."""
    cost = values.get(signals.COST.name)
    if cost is None or values.get(signals.COST_SOURCE.name, "provider") != "provider":
        return None
    if values.get(signals.COST_CURRENCY.name, "USD") != "USD":
        return None
    return Decimal(repr(cost)) if type(cost) in (int, float) and 0 <= cost < math.inf else None
