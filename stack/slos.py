"""The service level objectives, read from one file that users edit and checked down to the line."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, get_args

from genai_observability.signals import CALL_DURATION, CALL_TIME_TO_FIRST_TOKEN, EVALUATIONS, Metric

from stack.reader import FaultError, FileError, Reader, Scalar, matching

FILE: Final = Path(__file__).with_suffix(".yaml")

Kind = Literal["availability", "latency", "time_to_first_token", "quality"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

METRICS: Final[Mapping[Kind, Metric]] = {
    "availability": CALL_DURATION,
    "latency": CALL_DURATION,
    "time_to_first_token": CALL_TIME_TO_FIRST_TOKEN,
    "quality": EVALUATIONS,
}
"""What each kind is measured by."""

_KEYS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "availability": (),
    "latency": ("within",),
    "time_to_first_token": ("within",),
    "quality": ("evaluation", "above"),
}
"""What else each kind needs."""

EVERY: Final = "all"
"""In the place of names: whatever there is."""


class SlosError(FileError):
    """The file has a fault; the message names file, line and key."""


class SloName(str):
    """The name of an objective: the value of the label `slo`."""

    __slots__ = ()


class Names(str):
    """`all`, or a regular expression that a whole name has to match."""

    __slots__ = ()

    @property
    def pattern(self) -> str:
        """The regular expression; `all` is any name, but not none."""
        return ".+" if self == EVERY else str(self)


class Percentage(Decimal):
    """More than 0 and less than 100, exact."""


class EvaluationName(str):
    """One evaluation, such as user_feedback."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """One objective: which share of which events has to be good."""

    kind: Kind
    objective: Percentage
    service: Names
    feature: Names | None = None
    operation: Names | None = None
    within: float | None = None
    """Seconds: of latency and time_to_first_token."""
    evaluation: EvaluationName | None = None
    above: float | None = None
    """Score: with the evaluation, of quality."""
    min_events: int

    def __post_init__(self) -> None:
        needed = _KEYS[self.kind]
        for key in ("within", "evaluation", "above"):
            if getattr(self, key) is None and key in needed:
                raise FaultError(key, f"is missing: {self.kind} needs it")
            if getattr(self, key) is not None and key not in needed:
                raise FaultError(key, f"is no part of {self.kind}")
        if self.operation and METRICS[self.kind] is not CALL_DURATION:
            raise FaultError("operation", f"is no part of {self.kind}")
        if self.operation and self.feature:
            raise FaultError("operation", "cannot be combined with a feature: give one of the two")
        if self.within is not None:
            self._require_bound("within", self.within, METRICS[self.kind].buckets)
        if self.above is not None:
            # Nothing is above the last one.
            self._require_bound("above", self.above, METRICS[self.kind].buckets[:-1])

    def _require_bound(self, key: str, value: float, bounds: tuple[float, ...]) -> None:
        if value not in bounds:
            raise FaultError(
                key,
                f"must be a boundary of a bucket of {METRICS[self.kind].prometheus}, as others are not counted, but is "
                f"{value:.15g}; there are {', '.join(f'{bound:.15g}' for bound in bounds)}",
            )

    @property
    def bound(self) -> float:
        """The value that an event must not exceed, or of quality must exceed; of availability not a number."""
        return next((value for value in (self.within, self.above) if value is not None), math.nan)

    @property
    def share(self) -> float:
        """The share of events that has to be good, 0 to 1."""
        return float(self.objective / 100)

    @property
    def budget(self) -> float:
        """The share of events that may be bad, 0 to 1."""
        return float((100 - self.objective) / 100)


@dataclass(frozen=True, slots=True)
class Slos:
    """The whole file; its comments explain each value."""

    slos: dict[SloName, Slo]

    @classmethod
    def load(cls, path: Path = FILE) -> "Slos":
        """Read and check the file.

        Raises:
            SlosError: it cannot be read, or a key is unknown, missing, double, of the wrong type or out of range.
        """
        return Reader(path, _SCALARS, error=SlosError).read(cls)


_PERCENTAGE = re.compile(r"(\d{1,2}(?:\.\d{1,6})?) ?%")
_NAMES = re.compile(r"[\w.*|() /:-]+")
"""The part of regular expressions that names need, and that Prometheus and Python read alike."""


def _percentage(text: str) -> Percentage:
    found = _PERCENTAGE.fullmatch(text)
    if not found or not 0 < Decimal(found[1]) < 100:
        raise ValueError(text)
    return Percentage(found[1])


def _names(text: str) -> Names:
    if not _NAMES.fullmatch(text):
        raise ValueError(text)
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(text) from error
    return Names(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ValueError(text)
    return int(text)


_SCALARS: Final[Mapping[type, Scalar]] = {
    SloName: ("a name of small letters, digits and underscores", matching(re.compile(r"[a-z][a-z0-9_]*"), SloName)),
    Kind: (f"one of {', '.join(KINDS)}", matching(re.compile("|".join(KINDS)), str)),  # type: ignore[dict-item]
    Percentage: ("a percentage above 0 % and below 100 %, such as 99.5%", _percentage),
    Names: (f'"{EVERY}" or a name; also several with "|" between, and ".*" for any end', _names),
    EvaluationName: ("the name of an evaluation", matching(re.compile(r"[\w.:/ -]+"), EvaluationName)),
    float: ("a number", float),
    int: ("a whole number of 1 or more", _count),
}
