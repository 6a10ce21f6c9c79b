"""Alerts on what applications could not tell: telemetry that the package had to leave out."""

from genai_observability.signals import DROPPED

from stack.rules.model import Alert, Group
from stack.rules.promql import Match, count_from_first, labels, series, total
from stack.thresholds import Duration, Severity, Thresholds

(_KIND,) = DROPPED.labels
_HARMLESS = "label|content"
"""The call is counted and recorded all the same, with less detail."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """One group: what was dropped."""
    rules = (
        _dropped(thresholds, "info", Match(_KIND, "=~", _HARMLESS)),
        _dropped(thresholds, "warning", Match(_KIND, "!~", _HARMLESS)),
    )
    return (Group(name="genai_telemetry", interval=Duration("15s"), rules=rules),)


def _dropped(thresholds: Thresholds, severity: Severity, which: Match) -> Alert:
    limit = thresholds.telemetry_dropped.warning
    return Alert(
        name="GenAITelemetryDropped",
        severity=severity,
        expr=f"{total(count_from_first(series(DROPPED, which), '15m'), labels(_KIND))} > {limit.above:.15g}",
        for_=limit.for_,
        keep_firing_for=Duration("15m"),
        why="No `for`: what is lost is lost. keep_firing_for: short of room now and then is one alert.",
        summary=f'{{{{ $labels.job }}}} left out {{{{ $value | printf "%.0f" }}}} items of telemetry of the kind '
        f"{{{{ $labels.{_KIND.label} }}}}",
        description=(
            "Within 15 minutes. The calls are counted and priced, with less detail."
            if severity == "info"
            else "Within 15 minutes. What dashboards and reports show of the service lacks them."
        ),
        impact="Nobody; dashboards show less detail."
        if severity == "info"
        else "Users notice nothing; what is counted of the service is too little, sums of money among it.",
    )
