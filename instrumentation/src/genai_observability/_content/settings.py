"""What an application asks for: which form of the content to record, what to redact, whether to watch for threats.

Patterns of one's own are run by RE2 (https://github.com/google/re2), on texts that anybody may have written. With
Python's own engine some take hours for a line of text, and no other thread runs meanwhile. RE2 takes time linear in the
text for each match, and lets others run.
"""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from genai_observability._capture.clients import UPSTREAM_VARIABLE
from genai_observability._detection import OwnPattern

_logger = logging.getLogger("genai_observability")

VARIABLE: Final = "GENAI_OBSERVABILITY_CONTENT"
"""What to record of questions and answers: ``off`` (default), ``preview``, ``full`` or ``hash``. ``off`` always holds,
else ``instrument(content=...)`` goes before it: ``docs/content.md``."""
PATTERN_VARIABLE: Final = "GENAI_OBSERVABILITY_REDACT"
"""A regular expression of what else to replace in content, by ``[redacted]``: like those of ``Content.redact``."""
THREATS_VARIABLE: Final = "GENAI_OBSERVABILITY_DETECT_THREATS"
"""``true`` counts signs of attacks and leaks. ``instrument(detect_threats=...)`` goes before it."""
Form = Literal["full", "preview", "hash"]
_FORMS: Final = get_args(Form)
_OFF: Final = ("", "off", "none", "false", "0")
_UPSTREAM_ON: Final = ("span_only", "event_only", "span_and_event")
_LENGTHS: Final[Mapping[Form, int]] = {"full": 10_000, "preview": 200, "hash": 0}
_LONGEST: Final = 30_000
_NAMED_BY_VARIABLE: Final = "redacted"  # the marker of what the variable's pattern finds


@dataclass(frozen=True, slots=True)
class Content:
    r"""What is recorded of questions and answers, after redaction: for ``instrument(content=Content(...))``.

    Args:
        form: ``"preview"`` records the beginning of each text, ``"full"`` all of it up to a bound, ``"hash"`` a keyed
            hash in its place, which tells equal texts without telling what they say.
        longest: Characters recorded of each text, from 1 to 30,000; by default 200 of a preview, 10,000 in full.
            With another number no content is recorded, and a warning says so.
        redact: Regular expressions of what else must not leave the process, by the name that takes its place:
            ``{"order": r"ORD-\d{6}"}`` makes ``[order]`` of an order's number. A name has 1 to 40 letters, digits,
            spaces, dots or hyphens. The patterns need ``pip install 'genai-observability[redaction]'`` and are of RE2's
            syntax (https://github.com/google/re2/wiki/Syntax): nothing looks ahead or back, and ``\w``, ``\d`` and
            ``\b`` know ASCII alone, where ``\p{L}`` is a letter of any script. Where a pattern cannot be used, no
            content is recorded, and a warning says why.

    Example:
        from genai_observability import Content

        genai_observability.instrument(content=Content("preview", longest=500, redact={"order": r"ORD-\d{6}"}))
    """

    form: Form = "preview"
    longest: int | None = None
    redact: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is in force, checked."""

    form: Form | None = None
    longest: int = 0
    patterns: Mapping[str, OwnPattern] = field(default_factory=dict)
    detect_threats: bool = False
    problem: str | None = None
    """Why content is not recorded although it was asked for."""


def chosen(content: Content | str | None, *, detect_threats: bool | None) -> Chosen:
    """What the arguments of ``instrument()`` and the environment ask for.

    An argument goes before the environment, but that can always switch content off. What cannot be done as asked is
    not done, with a warning: in doubt nothing is recorded.
    """
    watching = _flag(THREATS_VARIABLE) if detect_threats is None else bool(detect_threats)
    try:
        wanted = _wanted(content)
        if wanted is None and not watching:
            return Chosen()
        patterns = dict(wanted.redact if wanted else {})
        if own := os.environ.get(PATTERN_VARIABLE):
            patterns[_NAMED_BY_VARIABLE] = own
        checked = {_name(name): _pattern(name, pattern) for name, pattern in patterns.items()}
        form, longest = (wanted.form, _length(wanted)) if wanted else (None, 0)
        return Chosen(form, longest, checked, watching)
    except (ValueError, TypeError, AttributeError) as error:
        _logger.warning("Content is not recorded: %s", error)
        return Chosen(detect_threats=watching, problem=str(error))


def _wanted(content: Content | str | None) -> Content | None:
    environment = os.environ.get(VARIABLE, "").strip().lower()
    if environment and environment in _OFF:
        return None
    # The standard variable asks for content as such; here it is redacted all the same.
    upstream = "full" if os.environ.get(UPSTREAM_VARIABLE, "").strip().lower() in _UPSTREAM_ON else ""
    asked: object = content if content is not None else environment or upstream
    if asked is False or asked in _OFF:
        return None
    wanted = asked if isinstance(asked, Content) else Content(asked)  # type: ignore[arg-type]
    if wanted.form not in _FORMS:
        raise ValueError(f"{wanted.form!r:.50} is not one of: {', '.join(_FORMS)}, off.")
    return wanted


def _flag(variable: str) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value not in (*_OFF, "true", "1", "on"):
        _logger.warning("%s=%.50s is neither true nor false: threats are not looked for.", variable, value)
    return value in ("true", "1", "on")


def _length(content: Content) -> int:
    if content.longest is None:
        return _LENGTHS[content.form]
    if isinstance(content.longest, int) and 0 < content.longest <= _LONGEST:
        return content.longest
    raise ValueError(f"longest is {content.longest!r:.50}, but must be a number from 1 to {_LONGEST:,}.")


def _name(name: object) -> str:
    if isinstance(name, str) and re.fullmatch(r"[\w .\-]{1,40}", name):
        return name
    raise ValueError(f"the name {name!r:.50} of a pattern is not 1 to 40 letters, digits, spaces, dots or hyphens.")


def _pattern(name: str, pattern: object) -> OwnPattern:
    try:
        return OwnPattern(pattern)
    except ValueError as error:
        raise ValueError(f"the pattern {name!r}, {pattern!r:.80}, cannot be used: {error}.") from None
