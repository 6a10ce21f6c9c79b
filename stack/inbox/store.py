"""What the inbox keeps, in one SQLite file: the newest notifications, and each alert as last heard of."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stack.inbox.notification import Alert, Notification, Status

KEPT_NOTIFICATIONS = 2000
"""Each firing alert repeats every hour, so this is days of a busy stack."""
FORGOTTEN_AFTER = timedelta(minutes=75)
"""Alertmanager repeats a firing alert every hour (`repeat_interval`). One that is not repeated has ended untold, for
example because the stack was stopped meanwhile."""
# Alertmanager gives a webhook 10 s or more: a locked file is waited for well below that, then it is told to retry.
_LOCK_TIMEOUT_S = 2.0

# An alert goes with the notification that last mentioned it: one rule bounds both tables.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT, received_at TEXT NOT NULL, message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS notifications_received_at ON notifications (received_at);
CREATE TABLE IF NOT EXISTS alerts (
    fingerprint TEXT PRIMARY KEY,
    notification_id INTEGER NOT NULL REFERENCES notifications ON DELETE CASCADE,
    status TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS alerts_notification_id ON alerts (notification_id);
"""


class StoreUnavailableError(Exception):
    """The file cannot be read or written now: a full disk, a locked or a damaged file."""


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
    """The notifications and alerts in the file ``path``, which survives a restart.

    Every method opens its own connection, so that threads share nothing and a repaired disk is used at once.
    All of them raise StoreUnavailableError.
    """

    def __init__(self, path: Path, *, kept: int = KEPT_NOTIFICATIONS) -> None:
        self._path = path
        self._kept = kept
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(f"The inbox cannot create {path.parent}: {error.strerror}.") from error
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # a reader of the page never makes the webhook wait
            connection.executescript(_SCHEMA)

    def add(self, notification: Notification) -> None:
        """Keep a notification, and forget the oldest ones beyond the limit."""
        received_at = _timestamp(datetime.now(UTC))
        with self._connection() as connection:
            row = connection.execute(
                "INSERT INTO notifications (received_at, message) VALUES (?, ?)", (received_at, notification.as_json())
            )
            for alert, message in zip(notification.alerts, json.loads(notification.as_json())["alerts"], strict=True):
                connection.execute(
                    "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?)",
                    (alert.fingerprint, row.lastrowid, alert.status, json.dumps(message)),
                )
            connection.execute(
                "DELETE FROM notifications WHERE id <= (SELECT max(id) FROM notifications) - ?", (self._kept,)
            )

    def notifications(self, *, since: datetime | None = None) -> list[Received]:
        """The kept notifications received at ``since`` (in UTC) or later, newest first."""
        start = _timestamp(since) if since else ""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT id, received_at, message FROM notifications WHERE received_at >= ? ORDER BY id DESC", (start,)
            ).fetchall()
        return [Received(number, datetime.fromisoformat(time), json.loads(message)) for number, time, message in rows]

    def firing(self) -> list[Alert]:
        """The alerts that are firing as far as is known, those heard of most recently first."""
        return self._alerts("firing", heard_since=_timestamp(datetime.now(UTC) - FORGOTTEN_AFTER), limit=-1)

    def resolved(self, *, limit: int = 20) -> list[Alert]:
        """The alerts that ended, those heard of most recently first."""
        return self._alerts("resolved", heard_since="", limit=limit)

    def counts(self) -> Counts:
        """How many notifications ever came, how many alerts are firing, and when the last notification came."""
        with self._connection() as connection:
            received, last = connection.execute("SELECT max(id), max(received_at) FROM notifications").fetchone()
        return Counts(received or 0, len(self.firing()), datetime.fromisoformat(last) if last else None)

    def disk(self) -> tuple[int, int]:
        """Bytes that are free on the disk of the file, for its user, and all of them."""
        try:
            usage = shutil.disk_usage(self._path.parent)
        except OSError as error:
            raise StoreUnavailableError(f"The inbox cannot measure {self._path.parent}: {error.strerror}.") from error
        return usage.free, usage.total

    def _alerts(self, status: Status, *, heard_since: str, limit: int) -> list[Alert]:
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT alerts.message FROM alerts JOIN notifications ON notification_id = notifications.id "
                "WHERE status = ? AND received_at >= ? ORDER BY notification_id DESC LIMIT ?",
                (status, heard_since, limit),
            ).fetchall()
        return [Alert(**json.loads(message)) for (message,) in rows]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection whose block is one transaction."""
        try:
            connection = sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT_S)
            try:
                connection.execute("PRAGMA foreign_keys = ON")
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"The inbox cannot use {self._path}: {error}.") from error


def _timestamp(time: datetime) -> str:
    """A time in UTC in the one form that sorts as text."""
    return time.isoformat(timespec="milliseconds")
