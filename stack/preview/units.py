"""Values as text, in the units that the dashboards use, much as Grafana writes them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

_THOUSANDS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_TIMES = ((604_800, "weeks"), (86_400, "days"), (3_600, "hours"), (60, "min"), (1, "s"))
_BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """The value with its unit; without ``decimals``, three significant digits."""
    if not math.isfinite(value):
        return "–"
    if unit.startswith("suffix:"):
        return f"{_short(value, decimals)} {unit.removeprefix('suffix:').strip()}"
    return _WRITERS.get(unit, _plain)(value, decimals)


def word(value: object, mappings: Sequence[dict[str, Any]]) -> dict[str, str] | None:
    """The text and the colour that stand for a value, where there are any."""
    key = f"{value:g}" if isinstance(value, float) else value
    return next((item["options"][key] for item in mappings if item["type"] == "value" and key in item["options"]), None)


def axis(unit: str) -> dict[str, Any]:
    """How the chart library writes the numbers of an axis and of its hover texts."""
    if unit.startswith("suffix:"):
        return {"tickformat": "~s", "ticksuffix": " " + unit.removeprefix("suffix:").strip()}
    return _AXES.get(unit, {"tickformat": "~s"})


def _plain(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    if value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _short(value: float, decimals: int | None) -> str:
    for size, letter in _THOUSANDS:
        if abs(value) >= size:
            return f"{_plain(value / size, decimals)} {letter}"
    return _plain(value, decimals)


def _seconds(value: float, decimals: int | None) -> str:
    if value == 0:
        return "0 s"
    if abs(value) < 1:
        return f"{_plain(value * 1000, None if decimals is None else 0)} ms"
    size, name = next(step for step in _TIMES if abs(value) >= step[0] or step[0] == 1)
    return f"{_plain(value / size, decimals)} {name}"


def _bytes(value: float, decimals: int | None) -> str:
    size, name = next(step for step in _BYTES if abs(value) >= step[0] or step[0] == 1)
    return f"{_plain(value / size, decimals)} {name}"


def _dollars(value: float, decimals: int | None) -> str:
    return f"${_plain(value, 2 if decimals is None and abs(value) >= 1 else decimals)}"


def _share(value: float, decimals: int | None) -> str:
    return f"{_plain(value * 100, 1 if decimals is None else decimals)}%"


def _calls_a_second(value: float, decimals: int | None) -> str:
    return f"{_short(value, decimals)} req/s"


_WRITERS: dict[str, Callable[[float, int | None], str]] = {
    "s": _seconds,
    "bytes": _bytes,
    "percentunit": _share,
    "currencyUSD": _dollars,
    "short": _short,
    "reqps": _calls_a_second,
}

_AXES: dict[str, dict[str, Any]] = {
    "s": {"tickformat": "~g", "ticksuffix": " s"},
    "percentunit": {"tickformat": ".0~%"},
    "currencyUSD": {"tickformat": "~g", "tickprefix": "$"},
    "reqps": {"tickformat": "~g", "ticksuffix": " req/s"},
    "none": {"tickformat": "~g"},
}
