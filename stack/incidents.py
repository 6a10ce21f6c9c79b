"""How alerts become incidents and what the status page shows: one file that users edit, checked down to the line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from stack.reader import FaultError, FileError, Reader, Scalar, matching

FILE: Final = Path(__file__).with_suffix(".yaml")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class IncidentRulesError(FileError):
    """The file has a fault; the message names file, line and key."""


class Sev(StrEnum):
    """How grave an incident is, the gravest first."""

    SEV1 = "SEV1"
    SEV2 = "SEV2"
    SEV3 = "SEV3"
    SEV4 = "SEV4"


class Word(str):
    """A value of a label, or a key."""

    __slots__ = ()


class Line(str):
    """Some words on one line."""

    __slots__ = ()


class Host(str):
    """A name of a host."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """When an alert belongs to an incident that is there already."""

    across_services: timedelta
    resolved_after: timedelta
    reopened_within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Grave:
    """From how many services, or different alerts, on an incident is a grade graver."""

    services: int
    alerts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """How fast an incident is to be handled."""

    acknowledged: timedelta
    mitigated: timedelta
    resolved: timedelta
    post_mortem: timedelta
    post_mortem_for: tuple[Sev, ...]

    def __post_init__(self) -> None:
        if not self.acknowledged <= self.mitigated <= self.resolved:
            raise FaultError("", "must allow no less time for each next step: acknowledged, mitigated, resolved")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A part of the product that its users know by a name."""

    name: Line
    services: tuple[Word, ...] = ()
    features: tuple[Word, ...] = ()

    def __post_init__(self) -> None:
        if not (self.services or self.features):
            raise FaultError("", "must list services, features or both")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPage:
    """What the public is told."""

    title: Line
    overall: Line
    without: tuple[Word, ...]
    outage: tuple[Sev, ...]
    degraded: tuple[Sev, ...]
    components: dict[Word, Component]

    def __post_init__(self) -> None:
        if both := set(self.outage) & set(self.degraded):
            raise FaultError("degraded", f"has {min(both)}, which is in outage already")


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRules:
    """The whole file; its comments explain each value."""

    alerts: tuple[Word, ...]
    grouping: Grouping
    severity: Grave
    clocks: Clocks
    hosts: tuple[Host, ...]
    status_page: StatusPage

    @classmethod
    def load(cls, path: Path = FILE) -> "IncidentRules":
        """Read and check the file.

        Raises:
            IncidentRulesError: it cannot be read, or a key is unknown, missing, double or has a value of no use.
        """
        return Reader(path, _SCALARS, error=IncidentRulesError).read(cls)


def _time(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,5})([smhd])", text)
    if not found or int(found[1]) == 0:
        raise ValueError(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ValueError(text)
    return int(text)


_SCALARS: Final[Mapping[type, Scalar]] = {
    timedelta: ('a time such as "15s", "10m", "1h" or "2d"', _time),
    int: ("a whole number of 1 or more", _count),
    Sev: (f"one of {', '.join(Sev)}", Sev),
    Word: ("a name without line breaks", matching(re.compile(r"\S(?:[^\r\n]{0,198}\S)?"), Word)),
    Line: ("words on one line, at most 200 characters", matching(re.compile(r"\S(?:[^\r\n]{0,198}\S)?"), Line)),
    Host: (
        "a name of a host such as inbox.example.com",
        matching(re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"), lambda text: Host(text.lower())),
    ),
}
