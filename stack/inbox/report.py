"""The post-incident report of an incident, or of any window of time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stack.inbox.evidence import Evidence, Scope, Stores
from stack.inbox.incident import Entry, Firing, Incident, State
from stack.inbox.incident_store import IncidentStore

LEAD = timedelta(minutes=5)
"""What was before the first alert belongs to its story: alerts need some time to fire."""
LONGEST = timedelta(days=30)
"""A longer one is no incident; and each store answers within seconds."""
STACK = "observability-stack"
"""The service of alerts about the stack's own servers, which make no model calls."""
_SIMILAR = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of the timeline."""

    at: datetime
    kind: str
    text: str
    who: str = ""
    incident: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """An earlier incident of the same kind."""

    incident: Incident
    alerts: list[str]
    """The names that both have."""
    same_service: bool
    how: str
    """What was said when it was resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is known. ``incident`` is None for a window."""

    scope: Scope
    made_at: datetime
    incident: Incident | None
    incidents: list[Incident]
    """Those within the window; just the one for a report of an incident."""
    timeline: list[Event]
    similar: list[Similar]
    evidence: Evidence


def scope_of(incident: Incident, now: datetime | None = None) -> Scope:
    """The window of an incident: from shortly before its first alert until its end, or now."""
    end = incident.resolved_at or now or datetime.now(UTC)
    services = tuple(service for service in incident.services if service != STACK)
    return Scope(
        start=max(incident.started_at - LEAD, end - LONGEST),
        end=end,
        services=services,
        environment=incident.environment,
    )


def of_incident(incident: Incident, store: IncidentStore, stores: Stores) -> Report:
    """The report of an incident, whether or not it is over."""
    scope = scope_of(incident)
    return Report(
        scope=scope,
        made_at=datetime.now(UTC),
        incident=incident,
        incidents=[incident],
        timeline=timeline(incident, store),
        similar=similar(incident, store),
        evidence=stores.gather(scope),
    )


def of_window(scope: Scope, store: IncidentStore, stores: Stores) -> Report:
    """The report of a window: with every incident that was open in it."""
    incidents = [
        incident
        for incident in store.within(scope.start, scope.end)
        if not scope.services or set(scope.services) & set(incident.services)
    ]
    events = [event for incident in incidents for event in timeline(incident, store)]
    return Report(
        scope=scope,
        made_at=datetime.now(UTC),
        incident=None,
        incidents=incidents,
        timeline=sorted(
            (event for event in events if scope.start <= event.at <= scope.end), key=lambda event: event.at
        ),
        similar=[],
        evidence=stores.gather(scope),
    )


def timeline(incident: Incident, store: IncidentStore) -> list[Event]:
    """Alerts, changes and notes in the order of time."""
    events = [
        *_of_alerts(incident, store.firings(incident.id)),
        *(_of_entry(incident, entry) for entry in store.log(incident.id)),
    ]
    return sorted(events, key=lambda event: event.at)


def _of_alerts(incident: Incident, firings: list[Firing]) -> Iterator[Event]:
    for firing in firings:
        grade = firing.labels.get("severity", "alert")
        yield Event(
            at=firing.started_at, kind="alert", text=f"{firing.name} ({grade}): {firing.summary}", incident=incident.id
        )
        if firing.ended_at:
            yield Event(at=firing.ended_at, kind="ended", text=f"{firing.name} ({grade}) ended", incident=incident.id)


def _of_entry(incident: Incident, entry: Entry) -> Event:
    return Event(at=entry.at, kind=entry.kind, text=entry.text, who=entry.who, incident=incident.id)


def similar(incident: Incident, store: IncidentStore) -> list[Similar]:
    """Earlier incidents with the same alerts: those that have the most in common first, of these the newest."""
    found = []
    for other in store.resolved(limit=500, before=incident.id):
        common = sorted(set(incident.alerts) & set(other.alerts))
        if common:
            share = len(common) / len(set(incident.alerts) | set(other.alerts))
            same_service = bool(set(incident.services) & set(other.services))
            found.append((same_service, share, other, common))
    best = sorted(found, key=lambda item: item[:2], reverse=True)[:_SIMILAR]
    return [
        Similar(incident=other, alerts=common, same_service=same_service, how=_how_resolved(other, store))
        for same_service, _, other, common in best
    ]


def _how_resolved(incident: Incident, store: IncidentStore) -> str:
    said = [
        entry.text.partition(": ")[2]
        for entry in store.log(incident.id)
        if entry.kind == "state" and entry.who and entry.text.startswith((State.MITIGATING, State.RESOLVED))
    ]
    words = "; ".join(text for text in said if text)
    ended = f"resolved by {incident.resolved_by}" if incident.resolved_by else "resolved by itself"
    return f"{ended}: {words}" if words else ended
