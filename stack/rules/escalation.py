"""Alerts on what nobody seems to work on: critical alerts, which are told to the next people, and incidents.

Prometheus knows neither of silences nor of incidents. So an escalation carries all labels of its alert and, by
``alert_relabel_configs`` in prometheus.yml, reaches Alertmanager under the name of that alert: whatever silences or
inhibits the one does so to the other. The inbox silences escalations alone, by their label.
"""

from typing import Final

from stack.incidents import Sev
from stack.rules.model import Alert, Group
from stack.rules.promql import total
from stack.rules.stack_health import STACK
from stack.thresholds import Duration, Severity, Thresholds

ALERT: Final = "GenAIUnattended"
LEVELS: Final = ("1", "2")
"""Values of the label ``escalation``: after the first time, and after the second."""
UNACKNOWLEDGED: Final = "GenAIIncidentUnacknowledged"


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """One group: an alert a level, and those on incidents."""
    after = (thresholds.escalation.first, thresholds.escalation.second)
    rules = tuple(_unattended(thresholds, level, time) for level, time in zip(LEVELS, after, strict=True))
    late = (
        _unacknowledged("warning", (Sev.SEV1, Sev.SEV2), thresholds.incident_unacknowledged.grave),
        _unacknowledged("info", (Sev.SEV3, Sev.SEV4), thresholds.incident_unacknowledged.other),
    )
    return (Group(name="genai_escalation", interval=Duration("15s"), rules=(*rules, *late)),)


def _unattended(thresholds: Thresholds, level: str, after: Duration) -> Alert:
    # An escalation is an alert itself, and none of an escalation.
    critical = 'severity="critical",escalation=""'
    return Alert(
        name=ALERT,
        severity="critical",
        # The value is the time at which the fault began, in seconds since 1970.
        expr=f"max without (alertname) (label_replace(\n  ALERTS_FOR_STATE{{{critical}}}\n"
        f'  and ignoring (alertstate) ALERTS{{alertstate="firing",{critical}}},\n'
        '  "of", "$1", "alertname", "(.+)"\n))',
        for_=after,
        why="for: how long the people told first have to acknowledge it, or to end it.",
        service="{{ $labels.service }}",
        labels={"team": "{{ $labels.team }}", "escalation": level},
        summary=f"Unattended for more than {after}: {{{{ $labels.of }}}} of {{{{ $labels.service }}}}, "
        'which began at {{ (toTime $value).Format "2006-01-02 15:04" }} UTC',
        description="Nobody has acknowledged its incident in the inbox, nor silenced it; either ends these messages. "
        "What to do is in its own runbook: "
        f"{thresholds.links.runbooks.rstrip('/')}/{{{{ $labels.of }}}}",
        impact="Whoever suffers from {{ $labels.of }} still does: nobody seems to work on it.",
    )


def _unacknowledged(severity: Severity, grades: tuple[Sev, Sev], for_: Duration) -> Alert:
    return Alert(
        name=UNACKNOWLEDGED,
        severity=severity,
        expr=total(f'inbox_incidents_late{{step="acknowledge",severity=~"{"|".join(grades)}"}}', ("job",)) + " > 0",
        for_=for_,
        why="for: on top of the time that stack/incidents.yaml allows. A critical alert is escalated besides.",
        service=STACK,
        summary=f"Incidents of {' or '.join(grades)} that nobody has acknowledged in time: "
        '{{ $value | printf "%.0f" }}',
        description="Their alerts still fire, and nobody has taken them over, by the button in the inbox or its API.",
        impact="Whoever suffers from these incidents still does: nobody seems to work on them.",
    )
