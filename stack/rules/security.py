"""Alerts on signs of attacks and leaks in calls."""

from genai_observability.signals import CALL_DURATION, FEATURE, SECURITY_FINDINGS, SECURITY_KIND

from stack.rules.calls import FINISHED
from stack.rules.model import Alert, Group, Recording, percent
from stack.rules.promql import SERVICE, Match, count_from_first, count_within, labels, series, total
from stack.thresholds import SEVERITIES, Duration, FindingBurst, Severity, Thresholds

_CALLS = "job:genai_calls_finished:increase10m"
_SETTLED = "1d] offset 30m"
"""The day to compare with, without the last half hour, in which a burst may have begun."""
_LEAST_SAMPLES = 360
"""6 hours, of one sample a minute."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """One group: prompt injections, personal data, leaks of the system prompt."""
    rules: tuple[Recording | Alert, ...] = (
        Recording(name=_CALLS, expr=total(count_within(series(CALL_DURATION, FINISHED, part="count"), "10m"), SERVICE)),
        *_findings("prompt_injection"),
        *_findings("pii"),
        *(_injection(thresholds.prompt_injection, severity) for severity in SEVERITIES),
        *(_personal_data(thresholds.personal_data, severity) for severity in SEVERITIES),
        *(_leak(thresholds, severity) for severity in SEVERITIES),
    )
    return (Group(name="genai_security", interval=Duration("1m"), rules=rules),)


def share_of_calls(kind: str) -> str:
    """What the share of the calls with findings of a kind, over 10 minutes, is recorded as."""
    return f"job:genai_findings_{kind}:ratio10m"


def _findings(kind: str) -> tuple[Recording, ...]:
    """How many, and the share of the calls; 0 where there is none, absent where there are no calls."""
    found = count_within(series(SECURITY_FINDINGS, Match(SECURITY_KIND, "=", kind)), "10m")
    name = f"job:genai_findings_{kind}"
    return (
        Recording(name=f"{name}:increase10m", expr=f"{total(found, SERVICE)}\nor {_CALLS} * 0"),
        Recording(name=share_of_calls(kind), expr=f"{name}:increase10m / ({_CALLS} > 0)"),
    )


def _injection(burst: FindingBurst, severity: Severity) -> Alert:
    limit = burst.at(severity)
    name = "job:genai_findings_prompt_injection"
    return Alert(
        name="GenAIPromptInjectionBurst",
        severity=severity,
        # Without a history it counts as it is: an attack does not wait for a day.
        expr=f"{name}:ratio10m > {limit.above:.15g}\nand {name}:increase10m >= {burst.min_calls}\n"
        f"unless {name}:ratio10m <= {burst.times_usual:.15g} * avg_over_time({name}:ratio10m[{_SETTLED})",
        for_=limit.for_,
        keep_firing_for=Duration("15m"),
        why="No `for` by default: the window is the patience. keep_firing_for: who tries once tries again.",
        summary="{{ $value | humanizePercentage }} of the model calls of {{ $labels.job }} look like prompt injections",
        description=f"Of the calls of 10 minutes, more than {percent(limit.above)} and at least {burst.min_calls} have "
        "phrases in them that are meant to override the instructions of the model, from users or from tools.",
        impact="Somebody tries to make the model give away data or misuse tools; whether it worked is not known.",
    )


def _personal_data(burst: FindingBurst, severity: Severity) -> Alert:
    limit = burst.at(severity)
    name = "job:genai_findings_pii"
    day = f"{name}:ratio10m[{_SETTLED}"
    return Alert(
        name="GenAIPersonalDataBurst",
        severity=severity,
        expr=f"{name}:ratio10m > {limit.above:.15g}\nand {name}:increase10m >= {burst.min_calls}\n"
        f"and {name}:ratio10m > {burst.times_usual:.15g} * avg_over_time({day})\n"
        f"and count_over_time({day}) >= {_LEAST_SAMPLES}",
        for_=limit.for_,
        keep_firing_for=Duration("15m"),
        why="for: one long conversation is no burst. keep_firing_for: one and a half windows.",
        summary="{{ $value | humanizePercentage }} of the model calls of {{ $labels.job }} carry personal data",
        description=f"Of the calls of 10 minutes, more than {percent(limit.above)}, at least {burst.min_calls} and "
        f"more than {burst.times_usual:.15g} times the usual share have e-mail addresses, numbers of cards or the like "
        "in prompt or answer.",
        impact="Personal data of people goes to the provider, and perhaps into answers to others.",
    )


def _leak(thresholds: Thresholds, severity: Severity) -> Alert:
    limit = thresholds.system_prompt_leak.at(severity)
    found = count_from_first(series(SECURITY_FINDINGS, Match(SECURITY_KIND, "=", "system_prompt_leak")), "10m")
    return Alert(
        name="GenAISystemPromptLeak",
        severity=severity,
        expr=f"{total(found, labels(FEATURE))} > {limit.above:.15g}",
        for_=limit.for_,
        keep_firing_for=Duration("30m"),
        why="No `for`: the first one counts. keep_firing_for: who has found the way will use it again.",
        summary=f'{{{{ $value | printf "%.0f" }}}} answers of {{{{ $labels.{FEATURE.label} }}}} in '
        "{{ $labels.job }} quote the system prompt",
        description="Within 10 minutes, answers repeated a passage of the system prompt word for word: users have read "
        "what was not meant for them.",
        impact="Users have read instructions, and perhaps secrets, that were not meant for them.",
    )
