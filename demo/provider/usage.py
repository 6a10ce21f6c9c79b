"""Tokens: how a text is cut into them, and how many an answer used."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

_PIECE: Final = re.compile(r"\s*(?:\w{1,12}|[^\w\s])")

# OpenAI's rule: prompts of 1,024 tokens and more, then in steps of 128
# (https://platform.openai.com/docs/guides/prompt-caching).
_CACHE_FROM: Final = 1024
_CACHE_STEP: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one answer. Cached tokens are part of the input, reasoning tokens are part of the output."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )

    def __mul__(self, factor: int) -> "Usage":
        return Usage(
            input_tokens=self.input_tokens * factor,
            cached_tokens=self.cached_tokens * factor,
            output_tokens=self.output_tokens * factor,
            reasoning_tokens=self.reasoning_tokens * factor,
        )


def tokens(text: str) -> list[str]:
    """Cuts a text into words and signs, each with the space before it: near enough to a real tokeniser."""
    return _PIECE.findall(text)


class PromptCache:
    """Remembers the beginnings of the latest prompts, as the real provider does, and says how much of one it knows."""

    def __init__(self, *, size: int = 4096) -> None:
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._size = size

    def read(self, model: str, prompt: Sequence[str]) -> int:
        """Tokens of the prompt that were already known; afterwards the whole prompt is."""
        digest = blake2b(model.encode(), digest_size=16)
        cached = 0
        for end in range(_CACHE_STEP, len(prompt) + 1, _CACHE_STEP):
            digest.update("".join(prompt[end - _CACHE_STEP : end]).encode())
            if end >= _CACHE_FROM:
                key = digest.copy().digest()
                cached = end if key in self._known else cached
                self._remember(key)
        return cached

    def _remember(self, key: bytes) -> None:
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
