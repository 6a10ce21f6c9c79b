"""One message of Alertmanager's webhook, checked and reduced to what the inbox keeps.

The format is version 4 of https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Status = Literal["firing", "resolved"]
SUPPORTED_VERSION = "4"
FORGOTTEN_AFTER = timedelta(minutes=75)
"""Alertmanager repeats a firing alert every hour (`repeat_interval`). One that is not repeated has ended untold, for
example because the stack was stopped meanwhile."""


class InvalidNotificationError(ValueError):
    """A body that is not a webhook message; its text is one sentence for the sender."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as Alertmanager describes it; ``endsAt`` is the year 1 while the alert is firing."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: str  # noqa: N815 - the names of the webhook are the names of our own API
    endsAt: str  # noqa: N815
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Notification:
    """One message: the alerts of one group, sent to one receiver."""

    status: Status
    receiver: str
    alerts: tuple[Alert, ...]

    @classmethod
    def parse(cls, body: bytes) -> "Notification":
        """Read a request body.

        Raises:
            InvalidNotificationError: the body is not JSON, or not of the webhook's shape.
        """
        try:
            message = json.loads(body.decode("utf-8"))
            json.dumps(message, ensure_ascii=False).encode(
                "utf-8"
            )  # refuses half a surrogate pair: no page can show it
        except (ValueError, RecursionError):
            raise InvalidNotificationError("The body is not JSON in UTF-8.") from None
        if not isinstance(message, dict):
            raise InvalidNotificationError("The body is not a JSON object.")
        if message.get("version") != SUPPORTED_VERSION:
            raise InvalidNotificationError(f'The webhook\'s "version" is not "{SUPPORTED_VERSION}".')
        alerts = message.get("alerts")
        if not isinstance(alerts, list):
            raise InvalidNotificationError('"alerts" is not a list.')
        return cls(
            status=_status(message, "status"),
            receiver=_text(message, "receiver", "receiver"),
            alerts=tuple(_alert(alert, f"alerts[{index}]") for index, alert in enumerate(alerts)),
        )

    def as_json(self) -> str:
        """The message as the inbox stores it and gives it out."""
        return json.dumps(asdict(self), ensure_ascii=False)


def parse_time(text: str) -> datetime:
    """An ISO 8601 time with its zone, in UTC.

    Raises:
        ValueError: it is none, or lies outside the years 1 to 9999 in UTC.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range") from error


def _alert(value: object, where: str) -> Alert:
    if not isinstance(value, dict):
        raise InvalidNotificationError(f'"{where}" is not a JSON object.')
    return Alert(
        status=_status(value, f"{where}.status"),
        labels=_texts(value, "labels", where),
        annotations=_texts(value, "annotations", where),
        startsAt=_time(value, "startsAt", where),
        endsAt=_time(value, "endsAt", where),
        fingerprint=_text(value, "fingerprint", f"{where}.fingerprint"),
    )


def _status(message: dict[str, object], where: str) -> Status:
    status = message.get("status")
    if status not in ("firing", "resolved"):
        raise InvalidNotificationError(f'"{where}" is neither "firing" nor "resolved".')
    return status


def _text(message: dict[str, object], key: str, where: str) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidNotificationError(f'"{where}" is not a text.')
    return value


def _texts(message: dict[str, object], key: str, where: str) -> dict[str, str]:
    value = message.get(key)
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InvalidNotificationError(f'"{where}.{key}" is not an object of texts.')
    return value


def _time(message: dict[str, object], key: str, where: str) -> str:
    value = _text(message, key, f"{where}.{key}")
    try:
        parse_time(value)
    except ValueError:
        raise InvalidNotificationError(f'"{where}.{key}" is not an ISO 8601 time with its zone.') from None
    return value
