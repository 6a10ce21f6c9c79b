"""Alerts on alerts: a critical one that fires on while nobody has silenced it is told to the next people.

Prometheus does not know of silences. So an escalation carries all labels of its alert and, by ``alert_relabel_configs``
in prometheus.yml, reaches Alertmanager under the name of that alert: whatever silences or inhibits the one does so to
the other.
"""

from typing import Final

from stack.rules.model import Alert, Group
from stack.thresholds import Duration, Thresholds

ALERT: Final = "GenAIUnattended"
LEVELS: Final = ("1", "2")
"""Values of the label ``escalation``: after the first time, and after the second."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """One group: an alert a level."""
    after = (thresholds.escalation.first, thresholds.escalation.second)
    rules = tuple(_unattended(thresholds, level, time) for level, time in zip(LEVELS, after, strict=True))
    return (Group(name="genai_escalation", interval=Duration("15s"), rules=rules),)


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
        why="for: how long the people told first have to silence it, or to end it.",
        service="{{ $labels.service }}",
        labels={"team": "{{ $labels.team }}", "escalation": level},
        summary=f"Unattended for more than {after}: {{{{ $labels.of }}}} of {{{{ $labels.service }}}}, "
        'which began at {{ (toTime $value).Format "2006-01-02 15:04" }} UTC',
        description="Nobody has silenced it. Whoever takes it over does, which ends these messages as well. "
        "What to do is in its own runbook: "
        f"{thresholds.links.runbooks.rstrip('/')}/{{{{ $labels.of }}}}",
        impact="Whoever suffers from {{ $labels.of }} still does: nobody seems to work on it.",
    )
