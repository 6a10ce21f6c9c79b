"""The newest notifications, and each alert as last heard of."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from stack.inbox.database import Database, as_time, timestamp
from stack.inbox.incident_store import IncidentStore
from stack.inbox.notification import FORGOTTEN_AFTER, Alert, Notification, Status

KEPT_NOTIFICATIONS = 2000
"""Each firing alert repeats every hour, so this is days of a busy stack."""


@dataclass(frozen=True, slots=True)
class Received:
    """A notification and when it came."""

    id: int
    received_at: datetime
    message: dict[str, object]


@dataclass(frozen=True, slots=True)
class Counts:
    """Figures for the inbox's own metrics."""

    received: int
    firing: int
    last_received_at: datetime | None


class Store:
    """What was received, in the inbox's file. All methods raise StoreUnavailableError."""

    def __init__(self, database: Database, incidents: IncidentStore, *, kept: int = KEPT_NOTIFICATIONS) -> None:
        self._database = database
        self._incidents = incidents
        self._kept = kept

    def add(self, notification: Notification) -> None:
        """Keep a notification, put its alerts into incidents, and forget the oldest ones beyond the limit."""
        now = datetime.now(UTC)
        with self._database.writing() as connection:
            row = connection.execute(
                "INSERT INTO notifications (received_at, message) VALUES (?, ?)",
                (timestamp(now), notification.as_json()),
            )
            for alert, message in zip(notification.alerts, json.loads(notification.as_json())["alerts"], strict=True):
                connection.execute(
                    "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?)",
                    (alert.fingerprint, row.lastrowid, alert.status, json.dumps(message)),
                )
            connection.execute(
                "DELETE FROM notifications WHERE id <= (SELECT max(id) FROM notifications) - ?", (self._kept,)
            )
            self._incidents.record(connection, notification.alerts, now)

    def notifications(self, *, since: datetime | None = None) -> list[Received]:
        """The kept notifications received at ``since`` (in UTC) or later, newest first."""
        start = timestamp(since) if since else ""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, received_at, message FROM notifications WHERE received_at >= ? ORDER BY id DESC", (start,)
            ).fetchall()
        return [Received(number, datetime.fromisoformat(time), json.loads(message)) for number, time, message in rows]

    def firing(self) -> list[Alert]:
        """The alerts that are firing as far as is known, those heard of most recently first."""
        return self._alerts("firing", heard_since=timestamp(datetime.now(UTC) - FORGOTTEN_AFTER), limit=-1)

    def resolved(self, *, limit: int = 20) -> list[Alert]:
        """The alerts that ended, those heard of most recently first."""
        return self._alerts("resolved", heard_since="", limit=limit)

    def counts(self) -> Counts:
        """How many notifications ever came, how many alerts are firing, and when the last notification came."""
        with self._database.reading() as connection:
            received, last = connection.execute("SELECT max(id), max(received_at) FROM notifications").fetchone()
        return Counts(received or 0, len(self.firing()), as_time(last))

    def disk(self) -> tuple[int, int]:
        """Bytes that are free on the disk of the file, for its user, and all of them."""
        return self._database.disk()

    def _alerts(self, status: Status, *, heard_since: str, limit: int) -> list[Alert]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT alerts.message FROM alerts JOIN notifications ON notification_id = notifications.id "
                "WHERE status = ? AND received_at >= ? ORDER BY notification_id DESC LIMIT ?",
                (status, heard_since, limit),
            ).fetchall()
        return [Alert(**json.loads(message)) for (message,) in rows]
