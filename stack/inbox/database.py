"""The inbox's SQLite file: its tables, and one transaction on it."""

import json
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

# Alertmanager gives a webhook 10 s or more: a locked file is waited for well below that, then it is told to retry.
_LOCK_TIMEOUT_S = 2.0

# Only ever added to, so that an older inbox can still use a file that a newer one has written.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT, received_at TEXT NOT NULL, message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS notifications_received_at ON notifications (received_at);
-- An alert goes with the notification that last mentioned it: one rule bounds both tables.
CREATE TABLE IF NOT EXISTS alerts (
    fingerprint TEXT PRIMARY KEY,
    notification_id INTEGER NOT NULL REFERENCES notifications ON DELETE CASCADE,
    status TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS alerts_notification_id ON alerts (notification_id);

CREATE TABLE IF NOT EXISTS incidents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, detected_at TEXT NOT NULL, resolved_at TEXT, document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS incidents_resolved_at ON incidents (resolved_at);
-- One firing of one alert, from its start to its end.
CREATE TABLE IF NOT EXISTS firings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id INTEGER NOT NULL REFERENCES incidents ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    heard_at TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS firings_fingerprint ON firings (fingerprint, started_at);
CREATE INDEX IF NOT EXISTS firings_incident_id ON firings (incident_id);
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id INTEGER NOT NULL REFERENCES incidents ON DELETE CASCADE,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    who TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_incident_id ON entries (incident_id);
-- How long the steps of all incidents took, those forgotten since included: counts by bucket.
CREATE TABLE IF NOT EXISTS durations (step TEXT PRIMARY KEY, counts TEXT NOT NULL, sum REAL NOT NULL);
-- Of the escalation of an incident's alerts, in Alertmanager: `silence` is its id there.
CREATE TABLE IF NOT EXISTS silences (
    incident_id INTEGER NOT NULL REFERENCES incidents ON DELETE CASCADE,
    alertname TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    silence TEXT NOT NULL,
    PRIMARY KEY (incident_id, alertname, service, environment)
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class StoreUnavailableError(Exception):
    """The file cannot be read or written now: a full disk, a locked or a damaged file."""


class Database:
    """The file ``path``, which survives a restart.

    Every transaction opens its own connection, so that threads share nothing and a repaired disk is used at once.
    All methods raise StoreUnavailableError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(f"The inbox cannot create {path.parent}: {error.strerror}.") from error
        with self.reading() as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # a reader of the page never makes the webhook wait
            connection.executescript(_SCHEMA)
        self.token = self.fact("token", secrets.token_urlsafe(32))
        """What a form of one of our own pages has to send along; the same after a restart."""

    def fact(self, name: str, default: object) -> str:
        """Something that is decided once and kept."""
        with self.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, str(default)))
            (value,) = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(value)

    def disk(self) -> tuple[int, int]:
        """Bytes that are free on the disk of the file, for its user, and all of them."""
        try:
            usage = shutil.disk_usage(self._path.parent)
        except OSError as error:
            raise StoreUnavailableError(f"The inbox cannot measure {self._path.parent}: {error.strerror}.") from error
        return usage.free, usage.total

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection whose block is one transaction, which may yet write."""
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

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The same, with nobody else writing between what is read and what is written."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection


def timestamp(time: datetime) -> str:
    """A time in UTC in the one form that sorts as text."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def as_time(text: str | None) -> datetime | None:
    """What ``timestamp`` has written."""
    return datetime.fromisoformat(text) if text else None


def compact(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
