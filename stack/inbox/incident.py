"""What an incident is: its states, how grave it is, which alerts belong to it, and its clocks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from genai_observability.signals import FEATURE, PROVIDER

from stack.incidents import Clocks, Grave, IncidentRules, Sev

ENVIRONMENT = "deployment_environment_name"
MOST_NAMES = 100
"""Of services, alerts and so on that an incident remembers; a label can have any number of values."""


class State(StrEnum):
    """Where an incident is on its way."""

    DETECTED = "detected"
    ACKNOWLEDGED = "acknowledged"
    """Someone is on it."""
    MITIGATING = "mitigating"
    """A mitigation is in place and being watched."""
    RESOLVED = "resolved"


@dataclass(slots=True, kw_only=True)
class Firing:
    """One firing of one alert, from its start to its end."""

    id: int
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    started_at: datetime
    ended_at: datetime | None

    @property
    def name(self) -> str:
        """What the alert is called."""
        return self.labels.get("alertname", "an alert without a name")

    @property
    def summary(self) -> str:
        """What it says, in one line."""
        return self.annotations.get("summary") or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of an incident's log: a change of its state or grade, or a note."""

    at: datetime
    kind: str
    who: str
    text: str


@dataclass(slots=True, kw_only=True)
class Incident:
    """An incident without its alerts and log. Lists are sorted and without repetition; times are in UTC."""

    id: int
    state: State = State.DETECTED
    severity: Sev = Sev.SEV4
    severity_by: str = ""
    """Who has set the severity; empty while it follows from the alerts."""
    environment: str = ""
    services: list[str] = field(default_factory=list)
    providers: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    """The names of its alerts."""
    affected: list[list[str]] = field(default_factory=list)
    """Pairs of service and feature that alerts had; what is missing is empty."""
    critical: bool = False
    """Whether one of the alerts was."""
    detected_at: datetime
    """When the inbox was first told."""
    opened_at: datetime
    """The same, or when it was last reopened: the clocks begin here."""
    started_at: datetime
    """When its first alert began to fire."""
    joined_at: datetime
    """When its last alert came."""
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    mitigated_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str = ""
    """Empty where it was by itself."""
    public_text: str = ""
    public_at: datetime | None = None
    root_cause: str = ""
    contributing_factors: str = ""
    prevention: str = ""
    revision: int = 0
    """Counts the changes of the three above, so that nobody overwrites what he has not seen."""
    post_mortem_at: datetime | None = None
    """When cause and prevention were first both written down."""

    @property
    def title(self) -> str:
        """The alerts and the services in a few words."""
        return f"{_few(self.alerts) or 'Alert without a name'} · {_few(self.services) or 'no service'}"

    def takes(self, labels: Mapping[str, str], now: datetime, rules: IncidentRules) -> bool:
        """Whether an alert that fires now belongs to this incident."""
        if self.environment != labels.get(ENVIRONMENT, ""):
            return False
        if self.resolved_at and now - self.resolved_at > rules.grouping.reopened_within:
            return False
        if service_of(labels) in self.services:
            return True
        related = labels.get("alertname") in self.alerts or labels.get(PROVIDER.label) in self.providers
        return related and now - self.joined_at <= rules.grouping.across_services

    def join(self, labels: Mapping[str, str], started_at: datetime, now: datetime, rules: IncidentRules) -> None:
        """Make an alert part of it."""
        service, feature = service_of(labels), labels.get(FEATURE.label, "")
        for names, name in (
            (self.services, service),
            (self.providers, labels.get(PROVIDER.label, "")),
            (self.features, feature),
            (self.alerts, labels.get("alertname", "")),
        ):
            _add(names, name)
        if [service, feature] not in self.affected and len(self.affected) < MOST_NAMES:
            self.affected.append([service, feature])
        self.critical |= labels.get("severity") == "critical"
        self.started_at = min(self.started_at, started_at)
        self.joined_at = now
        if not self.severity_by:
            self.severity = min(self.severity, derived_severity(self, rules.severity))

    def become(self, state: State, now: datetime, *, who: str) -> None:
        """Change the state. A step that was left out counts as done now, unless nobody did anything."""
        if self.resolved_at:  # reopened: the clocks begin anew
            self.opened_at = now
            self.acknowledged_at = self.mitigated_at = self.resolved_at = None
            self.acknowledged_by = ""
        before = self.acknowledged_at
        reached = -1 if state is State.DETECTED else list(TIMES).index(state)
        for number, name in enumerate(TIMES.values()):
            if number > reached:
                setattr(self, name, None)
            elif getattr(self, name) is None and (who or number == reached):
                setattr(self, name, now)
        if self.acknowledged_at != before:
            self.acknowledged_by = who
        self.resolved_by = who if state is State.RESOLVED else ""
        self.state = state


TIMES = {
    State.ACKNOWLEDGED: "acknowledged_at",
    State.MITIGATING: "mitigated_at",
    State.RESOLVED: "resolved_at",
}
"""Where an incident keeps when it came to a state."""


def service_of(labels: Mapping[str, str]) -> str:
    """The service that an alert is about; empty where it names none."""
    return labels.get("service") or labels.get("job") or ""


def derived_severity(incident: Incident, rule: Grave) -> Sev:
    """SEV2 with a critical alert, else SEV4; a grade graver with many services or different alerts."""
    many = len(incident.services) >= rule.services or len(incident.alerts) >= rule.alerts
    if incident.critical:
        return Sev.SEV1 if many else Sev.SEV2
    return Sev.SEV3 if many else Sev.SEV4


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A step that is expected within a time: running until it is done."""

    name: str
    allowed: timedelta
    begun: datetime
    done: datetime | None

    def taken(self, now: datetime) -> timedelta:
        """How long it took, or has taken so far."""
        return (self.done or now) - self.begun

    def late(self, now: datetime) -> bool:
        """Whether it takes, or took, longer than allowed."""
        return self.taken(now) > self.allowed


def clocks(incident: Incident, allowed: Clocks) -> list[Clock]:
    """The clocks of an incident. What ends by itself needs no step any more, and stops all of them."""
    begun, end = incident.opened_at, incident.resolved_at
    found = [
        Clock(name="acknowledge", allowed=allowed.acknowledged, begun=begun, done=incident.acknowledged_at or end),
        Clock(name="mitigate", allowed=allowed.mitigated, begun=begun, done=incident.mitigated_at or end),
        Clock(name="resolve", allowed=allowed.resolved, begun=begun, done=end),
    ]
    if end and incident.severity in allowed.post_mortem_for:
        done = incident.post_mortem_at
        found.append(Clock(name="post-mortem", allowed=allowed.post_mortem, begun=end, done=done and max(done, end)))
    return found


def _add(names: list[str], name: str) -> None:
    if name and name not in names and len(names) < MOST_NAMES:
        names.append(name)
        names.sort()


def _few(names: Iterable[str], most: int = 3) -> str:
    names = [name if len(name) <= 80 else f"{name[:79]}…" for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
