"""Silences the escalation of an incident from the moment that somebody has acknowledged it until it is resolved.

What Alertmanager has is compared with the incidents after each change, message and scrape, which is every 10 s. So what
it could not be told is told once it is back, an alert that joins later is covered too, and a silence ends with its
incident, or where that opens anew.
"""

import sqlite3
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx

from stack.inbox.database import Database, StoreUnavailableError
from stack.inbox.incident import ENVIRONMENT, Incident
from stack.inbox.incident_store import IncidentStore
from stack.inbox.words import clock, length

LONGEST: Final = timedelta(hours=24)
"""From the acknowledgement on. Who has been at it for longer is at something else."""
_TIMEOUT_S: Final = 3.0
"""Somebody waits for the page."""


@dataclass(frozen=True, slots=True, order=True)
class _Alert:
    """What an escalation is known by: it has the name and the labels of its alert."""

    name: str
    service: str
    environment: str


class Silences:
    """The silences that the inbox has put into the Alertmanager at ``url``."""

    def __init__(self, database: Database, incidents: IncidentStore, url: str) -> None:
        self._database = database
        self._incidents = incidents
        self._url = f"{url.rstrip('/')}/api/v2"
        self._client = httpx.Client(
            timeout=_TIMEOUT_S, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._one_at_a_time = threading.Lock()
        self._trouble = ""
        self._ended: set[str] = set()
        """By somebody in Alertmanager, who has the last word."""

    def bring_up_to_date(self, *, wait: bool = False) -> None:
        """Put what is missing and end what is over. Does nothing while another thread does it, unless told to wait."""
        if not self._one_at_a_time.acquire(blocking=wait):
            return
        try:
            self._trouble = ""
            # The next scrape tries again.
            with suppress(StoreUnavailableError):
                self._compare()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):  # or something else answers
            self._trouble = "Alertmanager cannot be reached, or refuses the silence."
        finally:
            self._one_at_a_time.release()

    def told(self, incident: Incident) -> str:
        """A sentence on the escalation of an incident; empty where there is nothing to say."""
        wanted = self._wanted(incident)
        if not wanted:
            return ""
        until = _until(incident)
        if until <= datetime.now(UTC):
            return f"The escalation goes on: it is silenced for {length(LONGEST)} at most."
        with self._database.reading() as connection:
            kept = _kept(connection).get(incident.id, {})
        if wanted - kept.keys():
            return f"The escalation goes on. {self._trouble or 'It is about to be silenced.'}"
        if self._ended & set(kept.values()):
            return "The escalation goes on: its silence was ended in Alertmanager."
        return f"The escalation is silenced until {clock(until)}."

    def _compare(self) -> None:
        taken = {incident.id: incident for incident in self._incidents.open() if incident.acknowledged_at}
        with self._database.reading() as connection:
            kept = _kept(connection)
        states = self._states() if kept else {}
        for number, silences in kept.items():
            for alert, silence in list(silences.items()):
                if number not in taken or silence not in states:  # it is over, or Alertmanager has lost its data
                    if states.get(silence) in ("active", "pending"):
                        self._end(silence)
                    with self._database.writing() as connection:
                        _forget(connection, number, alert)
                    del silences[alert]
        self._ended = {silence for silence, state in states.items() if state == "expired"}
        for number, incident in taken.items():
            if _until(incident) > datetime.now(UTC):
                for alert in sorted(self._wanted(incident) - kept.get(number, {}).keys()):
                    silence = self._put(incident, alert)
                    with self._database.writing() as connection:
                        _keep(connection, number, alert, silence)

    def _wanted(self, incident: Incident) -> set[_Alert]:
        """The critical alerts of an incident that somebody is on: only these are escalated."""
        if not incident.acknowledged_at or incident.resolved_at:
            return set()
        labels = [firing.labels for firing in self._incidents.firings(incident.id)]
        return {
            _Alert(each.get("alertname", ""), each.get("service", ""), each.get(ENVIRONMENT, ""))
            for each in labels
            if each.get("severity") == "critical"
        }

    def _put(self, incident: Incident, alert: _Alert) -> str:
        equal = {"alertname": alert.name, "service": alert.service, ENVIRONMENT: alert.environment}
        # A label that is empty here is one that the alert lacks.
        matchers = [{"name": name, "value": value, "isRegex": False} for name, value in equal.items()]
        body = {
            "matchers": [*matchers, {"name": "escalation", "value": ".+", "isRegex": True}],
            "startsAt": datetime.now(UTC).isoformat(),
            "endsAt": _until(incident).isoformat(),
            "createdBy": incident.acknowledged_by,
            "comment": f"Incident {incident.id} of the inbox: acknowledged by {incident.acknowledged_by}.",
        }
        answer = self._client.post(f"{self._url}/silences", json=body).raise_for_status()
        return str(answer.json()["silenceID"])

    def _states(self) -> dict[str, str]:
        """Of all silences in Alertmanager, which forgets those that ended days ago."""
        answer = self._client.get(f"{self._url}/silences").raise_for_status()
        return {each["id"]: each["status"]["state"] for each in answer.json()}

    def _end(self, silence: str) -> None:
        self._client.delete(f"{self._url}/silence/{silence}").raise_for_status()


def _until(incident: Incident) -> datetime:
    return (incident.acknowledged_at or incident.opened_at) + LONGEST


def _kept(connection: sqlite3.Connection) -> dict[int, dict[_Alert, str]]:
    """Alertmanager's names of the silences, by incident and alert."""
    found: dict[int, dict[_Alert, str]] = {}
    for number, name, service, environment, silence in connection.execute(
        "SELECT incident_id, alertname, service, environment, silence FROM silences"
    ):
        found.setdefault(number, {})[_Alert(name, service, environment)] = silence
    return found


def _keep(connection: sqlite3.Connection, number: int, alert: _Alert, silence: str) -> None:
    connection.execute(
        "INSERT INTO silences VALUES (?, ?, ?, ?, ?)", (number, alert.name, alert.service, alert.environment, silence)
    )


def _forget(connection: sqlite3.Connection, number: int, alert: _Alert) -> None:
    connection.execute(
        "DELETE FROM silences WHERE incident_id = ? AND alertname = ? AND service = ? AND environment = ?",
        (number, alert.name, alert.service, alert.environment),
    )
