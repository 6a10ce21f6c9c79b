"""Alerts on slow answers."""

from genai_observability.signals import CALL_DURATION, OPERATION

from stack.rules.calls import SUCCEEDED
from stack.rules.model import Alert, Group
from stack.rules.promql import count_within, labels, series, total
from stack.thresholds import SEVERITIES, Duration, Severity, Thresholds


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """One group: the p95."""
    rules = tuple(_p95(thresholds, severity) for severity in SEVERITIES)
    return (Group(name="genai_latency", interval=Duration("15s"), rules=rules),)


def _p95(thresholds: Thresholds, severity: Severity) -> Alert:
    latency = thresholds.latency_p95
    limit = latency.at(severity)
    succeeded = count_within(series(CALL_DURATION, SUCCEEDED, part="count"), "5m")
    return Alert(
        name="GenAILatencyHigh",
        severity=severity,
        # By operation, because many fast embeddings would hide slow chats.
        expr=f"job_operation:genai_call_duration_seconds:p95_5m > {limit.above:g}\n"
        f"and {total(succeeded, labels(OPERATION))} >= {latency.min_calls}",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: providers have slow minutes. keep_firing_for: one window, so that a p95 near the limit is one alert.",
        summary=f"The slowest 5% of {{{{ $labels.{OPERATION.label} }}}} calls of {{{{ $labels.job }}}} take more than "
        "{{ $value | humanizeDuration }}",
        description=f"The 95th percentile of the successful calls of 5 minutes is above {limit.above:g} s, "
        f"for {limit.for_} without a break.",
    )
