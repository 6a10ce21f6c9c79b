"""The messages of errors, and what users say of answers: they may quote anything, and are recorded without that."""

import re
from typing import Final

from genai_observability._content.detection import find, replace

_LONGEST: Final = 200
_LOOKED_AT: Final = 2_000  # of a provider's giant error page
# Up to the end where the other quotation mark is missing, as the text may have been cut; but for the ' of "can't".
_QUOTED: Final = re.compile(r"\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)|'[^']*'|(?<!\w)'[^']*\Z")
# More than detection takes for a key: providers quote keys with their middle replaced by asterisks.
_SECRET: Final = re.compile(r"\b(?:sk|pk|rk|key)-[\w\-*.]*[\w*]|\bBearer\s+\S+", re.IGNORECASE)
# Looked for once in each word, with any others that hang on it.
_E_MAIL: Final = re.compile(r"(?<![^\s@<>])[^\s@<>]++@[^\s@<>]+\.\w+(?:[^\s@<>]++@[^\s@<>]+\.\w+)*")
_KEPT: Final = ("ip",)  # of a server that does not answer: whoever is on call needs it


def scrubbed(message: str | None) -> str | None:
    """A message without what it may quote from the request: quoted text, keys, personal data; cut short."""
    if not message:
        return None
    message = _QUOTED.sub("'…'", message[:_LOOKED_AT])
    message = _SECRET.sub("[key]", message)
    message = _E_MAIL.sub("[e-mail]", message)
    message = replace(message, [match for match in find(message) if match.kind not in _KEPT])
    return message if len(message) <= _LONGEST else message[: _LONGEST - 1] + "…"
