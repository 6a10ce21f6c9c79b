"""Which provider it was: clients that speak one provider's protocol are used with many others."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from genai_observability import signals

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
