"""Alerts on money: too much of it, and calls of which the price is not known."""

from genai_observability.signals import CALLS_UNPRICED, PROVIDER, REQUEST_MODEL, UNPRICED

from stack.rules.model import Alert, Group
from stack.rules.promql import count_within, labels, series, total
from stack.thresholds import SEVERITIES, Duration, Severity, Thresholds


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """One group: hourly cost and unpriced models."""
    rules = (*(_hourly(thresholds, severity) for severity in SEVERITIES), _unpriced())
    return (Group(name="genai_cost", interval=Duration("15s"), rules=rules),)


def _hourly(thresholds: Thresholds, severity: Severity) -> Alert:
    limit = thresholds.hourly_cost.at(severity)
    return Alert(
        name="GenAIHourlyCostHigh",
        severity=severity,
        expr=f"job:genai_cost_usd:increase1h > {limit.above:g}",
        for_=limit.for_,
        keep_firing_for=Duration("10m"),
        why="The hour of the window is the patience. keep_firing_for: spending near the threshold is one alert.",
        summary='{{ $labels.job }} spent ${{ $value | printf "%.2f" }} on model calls within an hour',
        description=f"More than ${limit.above:g} within the last hour. Calls without a known price come on top.",
    )


def _unpriced() -> Alert:
    unpriced = series(CALLS_UNPRICED)
    # A series that did not exist an hour ago counts whole: `increase` misses the first call of a process that has run
    # for more than an hour, for which Prometheus no longer accepts the zero at its start.
    new = f"last_over_time({unpriced}[1h]) unless last_over_time({unpriced}[1h] offset 1h)"
    return Alert(
        name="GenAIUnpricedModel",
        severity="warning",
        expr=total(f"\n  ({new})\n  or {count_within(unpriced, '1h')}\n", labels(PROVIDER, REQUEST_MODEL, UNPRICED))
        + " > 0",
        why="No `for`: the first call counts. The hour of the window keeps it firing while the model is in use.",
        summary=f"Calls of {{{{ $labels.{REQUEST_MODEL.label} }}}} by {{{{ $labels.job }}}} have no price: "
        '{{ $value | printf "%.0f" }} within an hour',
        description=f"Their cost is missing from every sum of money (reason: {{{{ $labels.{UNPRICED.label} }}}}). "
        "unknown_model: the price table lacks the model. no_usage: the answer reported no tokens. "
        "no_price: the table lacks a kind of usage or the service tier.",
    )
