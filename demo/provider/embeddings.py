"""The wire format of /v1/embeddings: https://platform.openai.com/docs/api-reference/embeddings."""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from demo.provider.answers import BadRequestError
from demo.provider.requests import limit, required
from demo.provider.usage import Usage, tokens

_DIMENSIONS: Final = 1536
"""Of text-embedding-3-small."""


def whole(body: Mapping[str, Any], *, snapshot: str) -> tuple[dict[str, Any], Usage]:
    """The answer to a request, and what it used.

    Raises:
        BadRequestError: the input is neither a text nor a list of texts.
    """
    given = required(body, "input", str, list)
    texts = [given] if isinstance(given, str) else given
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise BadRequestError("Invalid 'input': expected a text or a list of texts, none of them empty.")
    size = limit(body, "dimensions") or _DIMENSIONS
    encoded = body.get("encoding_format") == "base64"
    vectors = [_vector(text, size) for text in texts]
    usage = Usage(input_tokens=sum(len(tokens(text)) for text in texts))
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if encoded else vector.tolist()}
            for index, vector in enumerate(vectors)
        ],
        "model": snapshot,
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens},
    }, usage


def _vector(text: str, size: int) -> array[float]:
    """Adds up one direction a word, of length 1 in all: texts that share words are near each other."""
    vector = array("f", bytes(4 * size))
    for word in tokens(text):
        digest = int.from_bytes(blake2b(word.strip().lower().encode(), digest_size=8).digest())
        vector[digest % size] += 1.0 if len(word.strip()) > 3 else 0.2
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return array("f", (value / length for value in vector))


def _base64(vector: array[float]) -> str:
    # Little-endian 32-bit floats, which is what the official client asks for and decodes.
    return base64.b64encode(vector.tobytes()).decode("ascii")
