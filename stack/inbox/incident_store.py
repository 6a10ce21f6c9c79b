"""Keeps the incidents: puts alerts into them, resolves those whose alerts have ended, and records what people do."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_type_hints

from stack.inbox.database import Database, StoreUnavailableError, as_time, compact, timestamp
from stack.inbox.incident import TIMES, Entry, Firing, Incident, State
from stack.inbox.notification import FORGOTTEN_AFTER, Alert, parse_time
from stack.incidents import IncidentRules, Sev

KEPT_INCIDENTS: Final = 2000
"""Twenty a day fill the status page's 90 days."""
MOST_OPEN: Final = 200
"""So many at once are one disaster, or garbage: what fits none of them then joins the newest."""
KEPT_FIRINGS: Final = 500
"""Of one incident: of an alert that flaps for days, the first firings are forgotten."""
MOST_ENTRIES: Final = 500
"""In the log of one incident."""

# The steps' targets (5, 15 and 60 min) are among the bounds, so that a share kept in time can be read off exactly.
BUCKETS: Final = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)

_EARLIEST = timedelta(days=30)
"""A start longer ago than this, such as the year 1, is none."""
_MOST_LABELS = 64
_LONGEST_VALUE = 1000


class NoIncidentError(Exception):
    """There is no incident of this number; the message is a sentence for the user."""

    def __init__(self, number: int) -> None:
        super().__init__(f"There is no incident {number}. The list is at /incidents.")


class ConflictError(Exception):
    """The incident has changed, so that this can no longer be done; the message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long a step took: ``counts`` by bucket, the last one without a bound, and their sum in seconds."""

    counts: list[int]
    sum: float


class IncidentStore:
    """The incidents in the inbox's file. All methods raise StoreUnavailableError.

    Whatever reads the incidents first resolves those that have ended meanwhile, so no clock has to run for that.
    """

    def __init__(self, database: Database, rules: IncidentRules, *, kept: int = KEPT_INCIDENTS) -> None:
        self._database = database
        self._rules = rules
        self._kept = kept
        with database.writing() as connection:
            self.since = self._begin(connection)
            """From when on incidents are known."""

    # --- What the alerts do ------------------------------------------------------------------------------------------

    def record(self, connection: sqlite3.Connection, alerts: Iterable[Alert], now: datetime) -> None:
        """Put alerts that were just received into incidents, within the caller's transaction."""
        self._settle(connection, now)
        for alert in alerts:
            if alert.status == "resolved":
                self._end(connection, alert, now)
            elif alert.labels.get("severity") in self._rules.alerts:
                self._fire(connection, alert, now)
        self._settle(connection, now)
        connection.execute(
            "DELETE FROM incidents WHERE resolved_at IS NOT NULL AND id <= (SELECT max(id) FROM incidents) - ?",
            (self._kept,),
        )

    def _fire(self, connection: sqlite3.Connection, alert: Alert, now: datetime) -> None:
        started_at = _plausible(alert.startsAt, now)
        known = connection.execute(
            "SELECT id, incident_id, ended_at FROM firings WHERE fingerprint = ? "
            "AND (ended_at IS NULL OR started_at = ?) ORDER BY ended_at IS NULL DESC, id DESC LIMIT 1",
            (alert.fingerprint, timestamp(started_at)),
        ).fetchone()
        if known and known[2] is None:
            connection.execute("UPDATE firings SET heard_at = ? WHERE id = ?", (timestamp(now), known[0]))
            return
        labels = _bounded(alert.labels)
        incident = self._incident_for(connection, labels, started_at, now)
        before = incident.severity if incident.alerts else None
        incident.join(labels, started_at, now, self._rules)
        _save(connection, incident)
        if before and incident.severity != before:
            _log(connection, incident, now, "severity", "", f"{incident.severity}, from {before}: more came")
        if known and known[1] == incident.id:
            connection.execute(
                "UPDATE firings SET ended_at = NULL, heard_at = ? WHERE id = ?", (timestamp(now), known[0])
            )
            return
        connection.execute(
            "DELETE FROM firings WHERE incident_id = ? AND ended_at IS NOT NULL AND id NOT IN "
            "(SELECT id FROM firings WHERE incident_id = ? ORDER BY id DESC LIMIT ?)",
            (incident.id, incident.id, KEPT_FIRINGS - 1),
        )
        (kept,) = connection.execute("SELECT count(*) FROM firings WHERE incident_id = ?", (incident.id,)).fetchone()
        if kept < KEPT_FIRINGS:  # so many that fire at once show what is wrong as well as all would
            connection.execute(
                "INSERT INTO firings (incident_id, fingerprint, started_at, heard_at, labels, annotations) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    incident.id, alert.fingerprint, timestamp(started_at), timestamp(now),
                    compact(labels), compact(_bounded(alert.annotations)),
                ),
            )  # fmt: skip

    def _incident_for(
        self, connection: sqlite3.Connection, labels: dict[str, str], started_at: datetime, now: datetime
    ) -> Incident:
        since = timestamp(now - self._rules.grouping.reopened_within)
        rows = connection.execute(
            "SELECT document FROM incidents WHERE resolved_at IS NULL OR resolved_at >= ? "
            "ORDER BY resolved_at IS NOT NULL, id",
            (since,),
        )
        open_: list[Incident] = []
        for incident in map(_incident, rows):
            if incident.takes(labels, now, self._rules):
                if incident.resolved_at:
                    incident.become(State.DETECTED, now, who="")
                    _log(connection, incident, now, "state", "", "reopened: it fires again")
                return incident
            if not incident.resolved_at:
                open_.append(incident)
        if len(open_) >= MOST_OPEN:
            return open_[-1]
        incident = Incident(
            id=0,
            environment=labels.get("deployment_environment_name", ""),
            detected_at=now,
            opened_at=now,
            started_at=started_at,
            joined_at=now,
        )
        row = connection.execute("INSERT INTO incidents (detected_at, document) VALUES (?, '{}')", (timestamp(now),))
        incident.id = row.lastrowid or 0
        _log(connection, incident, now, "state", "", State.DETECTED)
        return incident

    def _end(self, connection: sqlite3.Connection, alert: Alert, now: datetime) -> None:
        ended_at = min(max(_plausible(alert.endsAt, now), _plausible(alert.startsAt, now)), now)
        connection.execute(
            "UPDATE firings SET ended_at = ?, heard_at = ? WHERE fingerprint = ? AND ended_at IS NULL",
            (timestamp(ended_at), timestamp(now), alert.fingerprint),
        )

    def _settle(self, connection: sqlite3.Connection, now: datetime) -> None:
        """Resolve what has ended. An alert that is no longer repeated ended when it was last heard of."""
        connection.execute(
            "UPDATE firings SET ended_at = heard_at WHERE ended_at IS NULL AND heard_at < ?",
            (timestamp(now - FORGOTTEN_AFTER),),
        )
        rows = connection.execute(
            "SELECT document, max(ended_at) FROM incidents JOIN firings ON incident_id = incidents.id "
            "WHERE resolved_at IS NULL GROUP BY incidents.id HAVING count(*) = count(ended_at) AND max(ended_at) <= ?",
            (timestamp(now - self._rules.grouping.resolved_after),),
        ).fetchall()
        for document, ended_at in rows:
            incident = _incident((document,))
            last_step = incident.mitigated_at or incident.acknowledged_at or incident.opened_at
            end = max(datetime.fromisoformat(ended_at) + self._rules.grouping.resolved_after, last_step)
            self._become(connection, incident, State.RESOLVED, end, who="")
            _log(connection, incident, end, "state", "", "resolved: all its alerts have ended")

    def _become(
        self, connection: sqlite3.Connection, incident: Incident, state: State, now: datetime, *, who: str
    ) -> None:
        before = {step: getattr(incident, name) for step, name in TIMES.items()}
        incident.become(state, now, who=who)
        _save(connection, incident)
        for step, name in TIMES.items():
            done = getattr(incident, name)
            if done and done != before[step]:
                _observe(connection, step, (done - incident.opened_at).total_seconds())

    # --- What people do ----------------------------------------------------------------------------------------------

    def set_state(self, number: int, state: State, *, who: str, note: str = "") -> None:
        """Acknowledge, mitigate, resolve or, with any but ``resolved``, reopen an incident.

        Raises:
            NoIncidentError: there is none of this number.
            ConflictError: it is in that state already.
        """
        with self._database.writing() as connection:
            now = datetime.now(UTC)
            incident = self._current(connection, number, now)
            if incident.state is state:
                raise ConflictError(f"Incident {number} is {state} already.")
            self._become(connection, incident, state, now, who=who)
            _log(connection, incident, now, "state", who, f"{state}: {note}" if note else state)

    def set_severity(self, number: int, severity: Sev, *, who: str) -> None:
        """Set the severity, which then stays.

        Raises:
            NoIncidentError: there is none of this number.
            ConflictError: its log is full.
        """
        with self._database.writing() as connection:
            now = datetime.now(UTC)
            incident = self._current(connection, number, now)
            incident.severity, incident.severity_by = severity, who
            _save(connection, incident)
            _log(connection, incident, now, "severity", who, severity)

    def add_note(self, number: int, text: str, *, who: str) -> None:
        """Add a note to the log.

        Raises:
            NoIncidentError: there is none of this number.
            ConflictError: its log is full.
        """
        with self._database.writing() as connection:
            now = datetime.now(UTC)
            _log(connection, self._current(connection, number, now), now, "note", who, text)

    def set_public_text(self, number: int, text: str, *, who: str) -> None:
        """Set what the status page says; nothing leaves it to a general sentence.

        Raises:
            NoIncidentError: there is none of this number.
            ConflictError: its log is full.
        """
        with self._database.writing() as connection:
            now = datetime.now(UTC)
            incident = self._current(connection, number, now)
            incident.public_text, incident.public_at = text, now
            _save(connection, incident)
            _log(connection, incident, now, "public", who, text or "the general sentence")

    def set_post_mortem(
        self, number: int, *, root_cause: str, factors: str, prevention: str, revision: int, who: str
    ) -> None:
        """Write the post-mortem; done once it has a cause and a prevention.

        Raises:
            NoIncidentError: there is none of this number.
            ConflictError: somebody else has written it since ``revision``, or its log is full.
        """
        with self._database.writing() as connection:
            now = datetime.now(UTC)
            incident = self._current(connection, number, now)
            if incident.revision != revision:
                raise ConflictError(
                    f"Somebody else has changed the post-mortem of incident {number} meanwhile: "
                    "keep a copy of your text, load the page again and put it in."
                )
            incident.root_cause, incident.contributing_factors, incident.prevention = root_cause, factors, prevention
            incident.revision += 1
            written = bool(root_cause and prevention)
            incident.post_mortem_at = (incident.post_mortem_at or now) if written else None
            _save(connection, incident)
            _log(connection, incident, now, "post-mortem", who, "written" if written else "begun")

    # --- What can be asked -------------------------------------------------------------------------------------------

    def get(self, number: int) -> Incident:
        """One incident.

        Raises:
            NoIncidentError: there is none of this number.
        """
        self._settle_now()
        with self._database.reading() as connection:
            return self._load(connection, number)

    def open(self) -> list[Incident]:
        """Those not resolved, the gravest first, of these the oldest."""
        self._settle_now()
        with self._database.reading() as connection:
            rows = connection.execute("SELECT document FROM incidents WHERE resolved_at IS NULL ORDER BY id").fetchall()
        return sorted(map(_incident, rows), key=lambda incident: incident.severity)

    def resolved(self, *, limit: int, before: int | None = None) -> list[Incident]:
        """Those resolved, newest first; ``before`` leaves out that number and later ones."""
        self._settle_now()
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT document FROM incidents WHERE resolved_at IS NOT NULL AND (? IS NULL OR id < ?) "
                "ORDER BY id DESC LIMIT ?",
                (before, before, limit),
            ).fetchall()
        return [_incident(row) for row in rows]

    def within(self, start: datetime, end: datetime) -> list[Incident]:
        """Those that were open at some time from ``start`` to ``end``, oldest first."""
        self._settle_now()
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT document FROM incidents WHERE detected_at <= ? AND (resolved_at IS NULL OR resolved_at >= ?) "
                "ORDER BY id",
                (timestamp(end), timestamp(start)),
            ).fetchall()
        return [_incident(row) for row in rows]

    def firings(self, number: int) -> list[Firing]:
        """The alerts of an incident, in the order in which they came."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, fingerprint, labels, annotations, started_at, ended_at FROM firings "
                "WHERE incident_id = ? ORDER BY started_at, id",
                (number,),
            ).fetchall()
        return [
            Firing(
                id=row[0],
                fingerprint=row[1],
                labels=json.loads(row[2]),
                annotations=json.loads(row[3]),
                started_at=datetime.fromisoformat(row[4]),
                ended_at=as_time(row[5]),
            )
            for row in rows
        ]

    def log(self, number: int) -> list[Entry]:
        """The log of an incident, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT at, kind, who, text FROM entries WHERE incident_id = ? ORDER BY at, id", (number,)
            ).fetchall()
        return [Entry(at=datetime.fromisoformat(at), kind=kind, who=who, text=text) for at, kind, who, text in rows]

    def with_alert(self, fingerprint: str) -> int | None:
        """The number of the newest incident that an alert is part of."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT max(incident_id) FROM firings WHERE fingerprint = ?", (fingerprint,))
            number: int | None = row.fetchone()[0]
        return number

    def firing_counts(self) -> dict[int, int]:
        """How many alerts fire, by the number of each open incident."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT incidents.id, count(firings.id) FROM incidents LEFT JOIN firings "
                "ON incident_id = incidents.id AND ended_at IS NULL WHERE resolved_at IS NULL GROUP BY incidents.id"
            ).fetchall()
        return dict(rows)

    def ever(self) -> int:
        """How many incidents there have been."""
        with self._database.reading() as connection:
            (number,) = connection.execute("SELECT max(id) FROM incidents").fetchone()
        return number or 0

    def durations(self) -> dict[State, Histogram]:
        """How long the steps of all incidents took."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT step, counts, sum FROM durations").fetchall()
        found = {step: Histogram(json.loads(counts), total) for step, counts, total in rows}
        return {step: found.get(step, Histogram([0] * (len(BUCKETS) + 1), 0)) for step in TIMES}

    # --- The file ----------------------------------------------------------------------------------------------------

    def _begin(self, connection: sqlite3.Connection) -> datetime:
        """In a file from before there were incidents, make them of the notifications that it has kept."""
        row = connection.execute("SELECT value FROM facts WHERE name = 'incidents_since'").fetchone()
        if row:
            return datetime.fromisoformat(row[0])
        since = datetime.now(UTC)
        for received_at, message in connection.execute(
            "SELECT received_at, message FROM notifications ORDER BY id"
        ).fetchall():
            time = datetime.fromisoformat(received_at)
            since = min(since, time)
            self.record(connection, [Alert(**alert) for alert in json.loads(message)["alerts"]], time)
        connection.execute("INSERT INTO facts VALUES ('incidents_since', ?)", (timestamp(since),))
        return since

    def _settle_now(self) -> None:
        # A full disk or a locked file is no reason not to show what is there.
        with suppress(StoreUnavailableError), self._database.writing() as connection:
            self._settle(connection, datetime.now(UTC))

    def _current(self, connection: sqlite3.Connection, number: int, now: datetime) -> Incident:
        self._settle(connection, now)
        return self._load(connection, number)

    @staticmethod
    def _load(connection: sqlite3.Connection, number: int) -> Incident:
        row = connection.execute("SELECT document FROM incidents WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise NoIncidentError(number)
        return _incident(row)


_HINTS: Final = get_type_hints(Incident)


def _incident(row: tuple[str]) -> Incident:
    """What ``_save`` has written, by this version or an older one, which knew fewer fields."""
    document: dict[str, Any] = json.loads(row[0])
    values = {}
    for each in fields(Incident):
        if each.name in document:
            values[each.name] = _read(document[each.name], _HINTS[each.name])
        elif each.default is MISSING and each.default_factory is MISSING:
            raise sqlite3.DatabaseError(f"an incident has no {each.name}")
    return Incident(**values)


def _read(value: Any, kind: Any) -> Any:
    if kind in (State, Sev):
        return kind(value)
    if kind in (datetime, datetime | None):
        return as_time(value)
    return value


def _save(connection: sqlite3.Connection, incident: Incident) -> None:
    document = {
        name: timestamp(value) if isinstance(value, datetime) else value for name, value in asdict(incident).items()
    }
    connection.execute(
        "UPDATE incidents SET resolved_at = ?, document = ? WHERE id = ?",
        (document["resolved_at"], compact(document), incident.id),
    )


def _log(connection: sqlite3.Connection, incident: Incident, at: datetime, kind: str, who: str, text: str) -> None:
    (count,) = connection.execute("SELECT count(*) FROM entries WHERE incident_id = ?", (incident.id,)).fetchone()
    if count >= MOST_ENTRIES:
        if who and kind != "state":
            raise ConflictError(f"The log of incident {incident.id} is full: it has {MOST_ENTRIES} entries.")
        # An incident must be resolvable, whatever was written: the oldest entry makes room.
        connection.execute(
            "DELETE FROM entries WHERE id = (SELECT min(id) FROM entries WHERE incident_id = ?)", (incident.id,)
        )
    connection.execute(
        "INSERT INTO entries (incident_id, at, kind, who, text) VALUES (?, ?, ?, ?, ?)",
        (incident.id, timestamp(at), kind, who, text),
    )


def _observe(connection: sqlite3.Connection, step: State, seconds: float) -> None:
    row = connection.execute("SELECT counts, sum FROM durations WHERE step = ?", (step,)).fetchone()
    counts, total = (json.loads(row[0]), row[1]) if row else ([0] * (len(BUCKETS) + 1), 0.0)
    counts[sum(seconds > bound for bound in BUCKETS)] += 1
    connection.execute("INSERT OR REPLACE INTO durations VALUES (?, ?, ?)", (step, compact(counts), total + seconds))


def _plausible(text: str, now: datetime) -> datetime:
    """A time of an alert; now, where it lies in the future or ages ago."""
    time = parse_time(text)
    return time if now - _EARLIEST <= time <= now else now


def _bounded(texts: dict[str, str]) -> dict[str, str]:
    """Of labels or annotations what is kept: enough for any real alert, and little of a monster."""
    kept = list(texts.items())[:_MOST_LABELS]
    return {name[:_LONGEST_VALUE]: value[:_LONGEST_VALUE] for name, value in kept}
