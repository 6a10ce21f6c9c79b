"""The public status: what users may know of the incidents, and nothing else of them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import Final

from stack.inbox.incident import Incident, State
from stack.inbox.incident_store import IncidentStore
from stack.incidents import Component, StatusPage

DAYS: Final = 90


class Level(IntEnum):
    """How well a component works; the higher the worse."""

    UNKNOWN = 0
    OPERATIONAL = 1
    DEGRADED = 2
    OUTAGE = 3

    @property
    def word(self) -> str:
        """The level as it is shown."""
        return "no data" if self is Level.UNKNOWN else self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentStatus:
    """A component now, and on each of the last days, the oldest first."""

    name: str
    level: Level
    days: list[tuple[date, Level]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIncident:
    """An incident in public words."""

    components: list[str]
    level: Level
    text: str
    began: datetime
    updated: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole page."""

    title: str
    level: Level
    components: list[ComponentStatus]
    current: list[PublicIncident]
    past: list[PublicIncident]
    made_at: datetime


def status(store: IncidentStore, page: StatusPage, now: datetime | None = None) -> Status:
    """The status of all components."""
    now = now or datetime.now(UTC)
    days = [now.date() - timedelta(days=ago) for ago in reversed(range(DAYS))]
    incidents = store.within(datetime.combine(days[0], datetime.min.time(), UTC), now)
    told = [(incident, *public) for incident in incidents if (public := _public(incident, page))]
    components = [
        _component(name, [(incident, level) for incident, names, level in told if name in names], days, store)
        for name in _names(page)
    ]
    shown = [_in_public(incident, names, level) for incident, names, level in reversed(told)]
    return Status(
        title=page.title,
        level=max(component.level for component in components),
        components=components,
        current=[each for each in shown if not each.ended],
        past=[each for each in shown if each.ended],
        made_at=now,
    )


def _component(
    name: str, incidents: list[tuple[Incident, Level]], days: list[date], store: IncidentStore
) -> ComponentStatus:
    current = (level for incident, level in incidents if not incident.resolved_at)
    return ComponentStatus(
        name=name,
        level=max(current, default=Level.OPERATIONAL),
        days=[(day, _level_of(day, incidents, store.since.date())) for day in days],
    )


def _names(page: StatusPage) -> list[str]:
    return [component.name for component in page.components.values()] or [page.overall]


def _public(incident: Incident, page: StatusPage) -> tuple[list[str], Level] | None:
    """The components that an incident affects, and how; None where the public is not told."""
    if incident.severity in page.outage:
        level = Level.OUTAGE
    elif incident.severity in page.degraded:
        level = Level.DEGRADED
    else:
        return None
    if page.components:
        names = [str(each.name) for each in page.components.values() if _affects(incident, each)]
    else:
        names = [str(page.overall)] if any(service not in page.without for service, _ in incident.affected) else []
    return (names, level) if names else None


def _affects(incident: Incident, component: Component) -> bool:
    return any(service in component.services or feature in component.features for service, feature in incident.affected)


def _level_of(day: date, incidents: list[tuple[Incident, Level]], since: date) -> Level:
    """The worst of a day in UTC."""
    levels = [
        level
        for incident, level in incidents
        if incident.detected_at.date() <= day and (incident.resolved_at is None or day <= incident.resolved_at.date())
    ]
    return max(levels, default=Level.OPERATIONAL if day >= since else Level.UNKNOWN)


def _in_public(incident: Incident, names: list[str], level: Level) -> PublicIncident:
    times = (incident.detected_at, incident.public_at, incident.acknowledged_at, incident.mitigated_at)
    return PublicIncident(
        components=names,
        level=level,
        text=incident.public_text or _sentence(incident, names),
        began=incident.detected_at,
        updated=max(time for time in (*times, incident.resolved_at) if time),
        ended=incident.resolved_at,
    )


def _sentence(incident: Incident, names: list[str]) -> str:
    what = ", ".join(names)
    match incident.state:
        case State.RESOLVED:
            return f"A problem with {what} is resolved."
        case State.MITIGATING:
            return f"A problem with {what} is being fixed; we are watching the result."
        case State.ACKNOWLEDGED:
            return f"We are working on a problem with {what}."
        case State.DETECTED:
            return f"We are investigating a problem with {what}."


def as_json(found: Status) -> dict[str, object]:
    """The same for programs."""
    return {
        "title": found.title,
        "status": found.level.word,
        "updated_at": _time(found.made_at),
        "components": [
            {
                "name": component.name,
                "status": component.level.word,
                "days": [{"day": day.isoformat(), "status": level.word} for day, level in component.days],
            }
            for component in found.components
        ],
        "current_incidents": [_incident_as_json(each) for each in found.current],
        "past_incidents": [_incident_as_json(each) for each in found.past],
    }


def _incident_as_json(incident: PublicIncident) -> dict[str, object]:
    return {
        "components": incident.components,
        "status": incident.level.word,
        "text": incident.text,
        "began_at": _time(incident.began),
        "updated_at": _time(incident.updated),
        "ended_at": incident.ended and _time(incident.ended),
    }


def _time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
