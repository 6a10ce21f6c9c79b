"""Finds what must not leave the process: personal data, credentials, and what the user names.

Every search takes time linear in the text: it begins at few places, and from each looks at a bounded number of
characters, or at characters that no later search begins at.
"""

import functools
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from genai_observability._call import unicode

_LONGEST: Final = 200
_LOOKED_AT: Final = 2_000  # of a provider's giant error page
# Up to the end where the other quotation mark is missing, as the text may have been cut; but for the ' of "can't".
_QUOTED: Final = re.compile(r"\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)|'[^']*'|(?<!\w)'[^']*\Z")
# More than detection takes for a key: providers quote keys with their middle replaced by asterisks.
_SECRET: Final = re.compile(r"\b(?:sk|pk|rk|key)-[\w\-*.]*[\w*]|\bBearer\s+\S+", re.IGNORECASE)
# Looked for once in each word, with any others that hang on it.
_E_MAIL: Final = re.compile(r"(?<![^\s@<>])[^\s@<>]++@[^\s@<>]+\.\w+(?:[^\s@<>]++@[^\s@<>]+\.\w+)*")
_OCTET: Final = 255
_KEPT: Final = ("ip",)  # of a server that does not answer: whoever is on call needs it


def scrubbed(message: str | None) -> str | None:
    """A message without what it may quote from the request: quoted text, keys, personal data; cut short."""
    if not message:
        return None
    message = _QUOTED.sub("'…'", unicode(message[:_LOOKED_AT]))
    message = _SECRET.sub("[key]", message)
    message = _E_MAIL.sub("[e-mail]", message)
    message = replace(message, [match for match in find(message) if match.kind not in _KEPT])
    return message if len(message) <= _LONGEST else message[: _LONGEST - 1] + "…"


DATA: Final = "data"
"""The kind of inline images, sounds and files: large, and no personal data by themselves."""


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


class Match(NamedTuple):
    """What was found where; ``kind`` is also its marker, as in ``[e-mail]``."""

    start: int
    end: int
    kind: str


def find(text: str, patterns: Mapping[str, OwnPattern] | None = None) -> list[Match]:
    """What was found, in order, without overlaps; of two that overlap, the whole is of the earlier one's kind.

    ``patterns`` are a user's own, by the names that become their markers.
    """
    lower = text.lower()
    found = [*_told(_TOLD, text, text), *_told(_TOLD_BY_NAME, text, lower), *_e_mails(text), *_numbers(text)]
    found += [*_told(_NAMED, text, lower), *_ipv6(text)]
    for kind, pattern in (patterns or {}).items():
        found += [Match(*span, kind) for span in pattern.find(text)]
    found.sort(key=lambda match: (match.start, -match.end))
    merged: list[Match] = []
    for match in found:
        if merged and match.start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, match.end))
        else:
            merged.append(match)
    return merged


def replace(text: str, matches: Iterable[Match]) -> str:
    """The text with a marker such as ``[e-mail]`` in place of each match."""
    pieces: list[str] = []
    at = 0
    for match in matches:
        pieces += (text[at : match.start], f"[{match.kind}]")
        at = match.end
    return "".join(pieces) + text[at:]


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression, compiled on first use and not where the application starts."""
    return re.compile(pattern)


def _e_mails(text: str) -> Iterator[Match]:
    """Addresses with up to 64 characters before the @ (RFC 5321), which may also be written %40 or as JSON does."""
    domain = compiled(r"(?:[^\W_][\w\-]{0,62}\.){1,8}[^\W\d_]{2,24}")
    end = 0
    for at in compiled(r"@|%40|\\u0040").finditer(text):
        after = domain.match(text, at.end())
        start, first = at.start(), max(end, at.start() - 64)
        while start > first and (text[start - 1].isalnum() or text[start - 1] in "._%+-'"):
            start -= 1
        if start > 0 and text[start - 1] == "\\":
            start += 1  # the letter of an escape such as \n in JSON
        if after and start < at.start():
            end = after.end()
            yield Match(start, end, "e-mail")


# Where one of them may be: digits, and what may stand between them.
_NUMERIC: Final = r"\d[\d ./()\-\u00a0\u2011\u2013]{6,}"
# In JSON inside a text, the letter of an escape (\n, \u00e9) is no part of the number that follows it.
_ESCAPED: Final = r"(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4})"
_START: Final = rf"(?:(?<!\w)(?<!\d[.\-])|{_ESCAPED})"
_APART: Final = rf"(?:(?<![\w\-])(?<!\d[./])|{_ESCAPED})"  # not inside an order number, a UUID or a date
_GAP: Final = r"[ .\-/()\u00a0\u2011]{0,3}"

# 13 to 19 digits, in one piece or in groups of 4, or of 4, 6 and 5.
_CARD: Final = (
    rf"{_START}(?=(\d{{13,19}}|\d{{4}}([ .\-\u00a0\u2011\u2013])\d{{4}}\2\d{{4}}\2\d{{1,4}}"
    r"|\d{4}([ .\-\u00a0\u2011\u2013])\d{6}\3\d{4,5})(?!\w|[.\-]\d))"
)
# A leading 0, gaps, and 9 to 12 digits that are no date.
_NATIONAL_PHONE: Final = (
    rf"({_APART}(?!\d\d[/.\-]\d\d[/.\-]\d{{4}})\(?(?=0(?:\W?\d){{8,11}}(?!\W?\d))0[1-9]\d{{0,4}}\)?"
    r"[ /\-]\d(?:[ /.\-]?\d){3,9})(?!\w|[.\-]\d)"
)
_NUMBERS: Final = (
    ("card", _CARD),
    # Never issued (https://www.ssa.gov/employer/randomization.html): 000, 666 and 9.. in front, 00 and 0000 behind.
    ("ssn", rf"({_START}(?!000|666|9)\d{{3}}([ \-])(?!00)\d{{2}}\2(?!0000)\d{{4}})(?!\w|-\d)"),
    # Not part of a longer dotted number, nor the version of a product, as in Chrome/120.0.0.0.
    ("ip", rf"((?:(?<![\w.])(?<![A-Za-z]/)|{_ESCAPED})\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?!\w|\.\d|-\d)"),
    # International (ITU-T E.164): + and 8 to 15 digits; or 00 and a gap behind the country.
    ("phone", rf"((?:(?<![\w+])|{_ESCAPED})\+[1-9](?:{_GAP}\d){{7,14}})(?!\w)"),
    ("phone", rf"({_APART}00[ \-]?[1-9]\d{{0,2}}[ \-/(](?:{_GAP}\d){{6,12}})(?!\w)"),
    # North America, with gaps: without them it could be any number of ten digits.
    ("phone", rf"({_APART}(?:1[ .\-])?(?:\([2-9]\d\d\)[ ]?|[2-9]\d\d[ .\-])[2-9]\d\d[ .\-]\d{{4}})(?!\w|-\d)"),
    ("phone", _NATIONAL_PHONE),
)


def _numbers(text: str) -> Iterator[Match]:
    for place in compiled(_NUMERIC).finditer(text):
        first, last = max(0, place.start() - 1), place.end() + 3  # a + or ( before; what follows says where it ends
        for kind, pattern in _NUMBERS:
            for match in compiled(pattern).finditer(text, first, last):
                if (kind != "card" or _is_card(match[1])) and (kind != "ip" or _is_ipv4(match)):
                    yield Match(*match.span(1), kind)


# Prefixes and lengths of the issuers (ISO/IEC 7812): Visa, Mastercard, American Express, Discover, Diners Club, JCB,
# UnionPay, Maestro.
_ISSUERS: Final = (
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"6(?:011|4[4-9]\d|5\d\d)\d{12,15}|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17}|"
    r"(?:5018|5020|5038|6304|6759|676[1-3])\d{8,15}"
)


def _is_card(text: str) -> bool:
    digits = "".join(filter(str.isdecimal, text))
    return digits.isascii() and compiled(_ISSUERS).fullmatch(digits) is not None and _luhn(digits)


def _luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[0::2]) + sum(sum(divmod(2 * value, 10)) for value in values[1::2])) % 10 == 0


def _is_ipv4(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - 12) : match.start()]
    version = compiled(r"(?i)\b(?:versions?|release|build|ver|rev|v)[\s.:=\"']{1,4}$").search(before)
    return not version and all(str(int(part)) == part and int(part) <= _OCTET for part in match[1].split("."))


# Without gaps, a number is told by the word in front of it.
_NAMED_SSN: Final = (
    r"(?i)(?<![a-z])(?:ssn|social[ _]security(?:[ _](?:number|no\.?))?)(?:\W{1,5}|\W{1,3}is\W{1,3})"
    r"((?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4})(?!\w)"
)
_NAMED_PHONE: Final = (
    r"(?i)(?<![a-z])(?:(?:tele)?phone|tel|mobile?|cell|fax|whatsapp|telefon|handy|t\u00e9l\u00e9phone"
    r"|call(?: me| us)?(?: at| on)?)(?:[ _]?(?:number|no|nr|is)){0,2}"
    rf"[^\w+\n]{{1,5}}(\d(?:{_GAP}\d){{6,14}})(?!\w)"
)
_NAMED: Final = (
    ("ssn", ("ssn", "social"), _NAMED_SSN),
    ("phone", ("phone", "tel", "mob", "cell", "fax", "whatsapp", "handy", "call"), _NAMED_PHONE),
)
_IPV6: Final = r"(?<![\w:.])[0-9A-Fa-f:]{3,39}(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])"


def _ipv6(text: str) -> Iterator[Match]:
    end = 0
    for colons in compiled(r":[0-9A-Fa-f]{0,4}:").finditer(text):
        start, first = colons.start(), max(end, colons.start() - 4)
        while start > first and text[start - 1] in "0123456789abcdefABCDEF":
            start -= 1
        match = compiled(_IPV6).match(text, start)
        if match and any(map(str.isdigit, match[0])) and _is_ipv6(match[0]):  # abc::def is a name in many languages
            end = match.end()
            yield Match(start, end, "ip")


def _is_ipv6(text: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.IPv6Address(text).packed)
    return False


_WORD: Final = rf"(?:(?<![\w\-])|{_ESCAPED})"
_DATA: Final = r"data:[\w.+\-]{0,60}/?[\w.+\-]{0,60}(?:;[\w=\-.]{1,40}){0,3};base64,[\w+/\-]*={0,2}"
# RFC 7468, to its end or, where that is cut off, to the end of the text.
_PEM: Final = (
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z ]{0,50}-----)?"
)
# What the text must contain, which is quick to look for, and the pattern; where that has a group, it is the secret.
_KEYS: Final = (
    (("sk-",), rf"{_WORD}sk-(?=[\w\-]{{0,40}}\d)[A-Za-z0-9][\w\-]{{15,}}"),  # OpenAI, Anthropic, OpenRouter, …
    (("_live_", "_test_"), rf"{_WORD}[spr]k_(?:live|test)_\w{{10,}}"),  # Stripe
    (("whsec_",), rf"{_WORD}whsec_[\w+/=]{{20,}}"),
    (("AKIA", "ASIA", "ABIA", "ACCA"), rf"{_WORD}A(?:KI|SI|BI|CC)A[A-Z0-9]{{16}}(?!\w)"),  # AWS
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), rf"{_WORD}gh[pousr]_[A-Za-z0-9]{{30,}}"),  # GitHub
    (("github_pat_",), rf"{_WORD}github_pat_\w{{22,}}"),
    (("glpat-",), rf"{_WORD}glpat-[\w\-]{{20,}}"),  # GitLab
    (("xox",), rf"{_WORD}xox[abeoprs](?:\.xox[abp])?-[\w\-]{{10,}}"),  # Slack
    (("xapp-",), rf"{_WORD}xapp-[\w\-]{{10,}}"),
    (("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows)/([\w/\-]{20,})"),
    (("AIza",), rf"{_WORD}AIza[\w\-]{{35}}"),  # Google
    (("ya29.",), rf"{_WORD}ya29\.[\w\-]{{20,}}"),
    (("hf_",), rf"{_WORD}hf_[A-Za-z0-9]{{30,}}"),  # Hugging Face
    (("npm_",), rf"{_WORD}npm_[A-Za-z0-9]{{36}}"),
    (("pypi-",), rf"{_WORD}pypi-[\w\-]{{50,}}"),
    (("SG.",), rf"{_WORD}SG\.[\w\-]{{16,}}\.[\w\-]{{16,}}"),  # SendGrid
    (("eyJ",), rf"{_WORD}eyJ[\w\-]{{8,}}\.[\w\-]{{8,}}(?:\.[\w\-]*)?"),  # JSON Web Token (RFC 7519)
    (("PRIVATE KEY",), _PEM),
    (("earer",), r"[Bb]earer[ \t]{1,4}(?=\S{0,40}\d|\S{24})([\w\-.~+/=]{12,})"),  # RFC 6750
    (("asic ",), r"[Bb]asic {1,4}(?=\S{0,40}[\d=])([A-Za-z0-9+/]{8,}={0,2})(?!\w)"),  # RFC 7617
    (("://",), r"://[^\s/:@\"']{0,100}:([^\s/@\"']{1,100})(?=@)"),  # a password in an address
)
# What is called a secret, and has a digit as few words have.
_CALLED: Final = (
    r"(?i)(?:api[_\-]?key|token|secret(?:[_\-]?(?:access[_\-]?)?key)?|passw(?:or)?d|passphrase|pwd)\\?[\"']?[ \t]{0,3}"
    r"[:=][ \t]{0,3}\\?[\"']?(?=[^\s\"',;}]{0,60}\d)([^\s\"',;}\\]{6,})"
)
_TOLD: Final = ((DATA, (";base64,",), _DATA), *(("key", *each) for each in _KEYS))
_TOLD_BY_NAME: Final = (("key", ("key", "token", "secret", "passw", "passphrase", "pwd"), _CALLED),)


def _told(table: Iterable[tuple[str, tuple[str, ...], str]], text: str, seen: str) -> Iterator[Match]:
    """What is searched for only where one of its words is seen."""
    for kind, words, pattern in table:
        if any(word in seen for word in words):
            search = compiled(pattern)
            yield from (Match(*match.span(search.groups), kind) for match in search.finditer(text))
