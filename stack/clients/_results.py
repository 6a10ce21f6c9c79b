"""The shapes of answers: two of numbers, which Prometheus and Loki share, and alerts."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of an instant query."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one series over a range, oldest first."""

    labels: dict[str, str]
    points: list[tuple[datetime, float]]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert whose expression is true: pending while its ``for`` has not passed, then firing."""

    name: str
    state: Literal["pending", "firing"]
    since: datetime
    value: float
    labels: dict[str, str]
    annotations: dict[str, str]


def samples(data: dict[str, Any]) -> list[Sample]:
    """The samples of an instant answer; a scalar is one sample without labels."""
    if data["resultType"] == "scalar":
        return [Sample({}, float(data["result"][1]))]
    return [Sample(item["metric"], float(item["value"][1])) for item in data["result"] if "value" in item]


def series(data: dict[str, Any]) -> list[Series]:
    """The series of a range answer."""
    return [Series(item["metric"], [_point(*point) for point in item.get("values", ())]) for item in data["result"]]


def alerts(data: dict[str, Any]) -> list[Alert]:
    """The alerts of an answer."""
    return [_alert(item) for item in data["alerts"]]


def _alert(item: dict[str, Any]) -> Alert:
    return Alert(
        name=item["labels"]["alertname"],
        state=item["state"],
        since=datetime.fromisoformat(item["activeAt"]),
        value=float(item["value"]),
        labels=item["labels"],
        annotations=item["annotations"],
    )


def _point(seconds: float, value: str) -> tuple[datetime, float]:
    return datetime.fromtimestamp(seconds, UTC), float(value)
