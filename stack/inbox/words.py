"""Times, lengths and amounts as people read them, and text that is safe in Markdown."""

import re
from datetime import datetime, timedelta

_MARKUP = re.compile(r"([\\`*_\[\]<>|#&~])")


def clock(time: datetime) -> str:
    """A time in UTC, without a fraction."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")


def length(time: timedelta) -> str:
    """How long something takes, in its two largest units."""
    seconds = max(0, int(time.total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {seconds % 60} s" if seconds % 60 else f"{minutes} min"
    return f"{seconds} s"


def number(value: float | None, digits: int = 0) -> str:
    """An amount; a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    """A share."""
    return "–" if share is None else f"{share * 100:.1f} %"


def seconds(value: float | None) -> str:
    """A duration of calls."""
    return "–" if value is None else f"{value:.2f} s"


def money(dollars: float | None) -> str:
    """US dollars: cents, and of small amounts more."""
    if dollars is None:
        return "–"
    return f"${dollars:,.2f}" if abs(dollars) >= 1 or dollars == 0 else f"${dollars:.6f}".rstrip("0").rstrip(".")


def change(now: float | None, before: float | None) -> str:
    """How much more or less something is than it was."""
    if now is None or not before:
        return "–"
    ratio = now / before
    return f"× {ratio:.1f}" if ratio >= 2 else f"{(ratio - 1) * 100:+.0f} %"


def markdown(text: str) -> str:
    """A text on one line in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def quoted(text: str) -> str:
    """Markdown that a person has written, with its lines, in which no HTML is."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
