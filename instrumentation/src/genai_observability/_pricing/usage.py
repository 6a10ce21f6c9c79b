"""What a call used, in the units of the price table."""

from collections.abc import Mapping
from typing import Any, Final

from genai_observability import signals
from genai_observability._call import Call

Counts = Mapping[str, Any]
"""How much was used, by the keys of ``table.UNITS``: whole numbers, but for seconds."""

_USAGE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    signals.AUDIO_INPUT_TOKENS.name: ("input_audio_tokens",),
    signals.AUDIO_OUTPUT_TOKENS.name: ("output_audio_tokens",),
    signals.AUDIO_CACHED_TOKENS.name: ("cache_audio_read_tokens",),
    signals.IMAGE_INPUT_TOKENS.name: ("input_image_tokens",),
    signals.IMAGE_OUTPUT_TOKENS.name: ("output_image_tokens",),
    signals.IMAGE_CACHED_TOKENS.name: ("cache_image_read_tokens",),
    signals.CHARACTERS.name: ("input_characters",),
    signals.AUDIO_SECONDS.name: ("audio_seconds", "input_audio_seconds"),  # priced by the one or the other
    signals.WEB_SEARCHES.name: ("web_searches",),
    signals.FILE_SEARCHES.name: ("storage_searches",),
}
_CACHED: Final = (signals.TEXT_CACHED_TOKENS, signals.AUDIO_CACHED_TOKENS, signals.IMAGE_CACHED_TOKENS)


def counts(call: Call) -> dict[str, int | float]:
    """What a call used, in the library's units."""
    tokens = call.tokens
    found: dict[str, int | float] = {}
    if tokens.input is not None:
        found["input_tokens"] = tokens.input
    if tokens.output is not None:
        found["output_tokens"] = tokens.output
    if tokens.cached:
        found["cache_read_tokens"] = tokens.cached
    if tokens.cache_write:
        found["cache_write_tokens"] = tokens.cache_write
    if tokens.reasoning:
        found["output_reasoning_tokens"] = tokens.reasoning
    if call.usage:
        if tokens.cached and tokens.cached == sum(call.usage.get(attribute.name, 0) for attribute in _CACHED):
            # All of it is told by modality: what is not mentioned is none.
            found |= {"cache_audio_read_tokens": 0, "cache_image_read_tokens": 0}
        for name, count in call.usage.items():
            found |= dict.fromkeys(_USAGE_KEYS.get(name, ()), count)
    return found


def without_cache(used: Counts) -> Counts:
    """The same, had the provider's cache held nothing of it."""
    return {key: count for key, count in used.items() if not key.endswith("_read_tokens")}


def half_reported(call: Call) -> bool:
    """Whether a call reports its input but not its output, or the reverse, and so would seem too cheap.

    Embeddings have no output, and Gemini's ``generate_content`` leaves it out where it is none.
    """
    if call.tokens.input is None:
        return call.tokens.output is not None
    return call.tokens.output is None and call.operation in ("chat", "text_completion")


def bought(call: Call) -> bool:
    """Whether the provider did anything for the call; what an error tells of usage was only asked for."""
    if call.operation == "batch":  # the submission: its results have a price each
        return False
    if call.background and not call.tokens.reported:
        return False  # not yet
    if call.outcome == "success" or call.response_id or call.tokens.reported:
        return True
    return call.outcome == "cancelled" and bool(call.usage)
