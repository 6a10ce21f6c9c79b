"""The patterns of what else is to be redacted, as RE2 runs them (https://github.com/google/re2).

They are the user's, and are run on texts that anybody may have written. With Python's own engine some take hours for a
line of text, and no other thread runs meanwhile. RE2 takes time linear in the text for each match, and lets others run.
"""

import os
from collections.abc import Iterator
from typing import Any


class OwnPattern:
    """One pattern, in RE2's syntax."""

    def __init__(self, pattern: object) -> None:
        """Raises ValueError, which says why a pattern cannot be used."""
        if not isinstance(pattern, str):
            raise ValueError("it is no text")  # noqa: TRY004 - one kind of error for whatever is wrong
        self._pattern = pattern
        self._compile()
        if self._regexp.search("") is not None:
            raise ValueError("it matches where there is nothing")

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it matches, from the beginning to the end of the text."""
        if self._process != os.getpid():  # made by fork, perhaps while a thread held a lock of the compiled pattern
            self._compile()
        readable = text.encode(errors="replace").decode()  # RE2 takes no half of a surrogate pair
        return (match.span() for match in self._regexp.finditer(readable) if match.end() > match.start())

    def _compile(self) -> None:
        try:
            import re2  # type: ignore[import-untyped]  # an extra
        except ImportError:
            raise ValueError("patterns need pip install 'genai-observability[redaction]'") from None
        self._process = os.getpid()
        options = re2.Options()
        options.log_errors = False  # on the standard error, past Python's logging
        options.never_capture = True  # no group is asked for, and without them it is faster
        re2.purge()  # which keeps what was compiled before a fork
        try:
            self._regexp: Any = re2.compile(self._pattern, options)
        except (re2.error, UnicodeEncodeError) as error:
            reason = error.args[0]
            raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else error) from None
