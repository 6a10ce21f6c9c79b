"""Alerts on tokens: the provider's rate limit nearly used up, sudden growth, and very many."""

from genai_observability.signals import CALL_TOKENS, PROVIDER, QUOTA_KIND, QUOTA_USED, REQUEST_MODEL

from stack.rules.calls import WINDOW_SECONDS
from stack.rules.model import Alert, Group, Recording, percent
from stack.rules.promql import SERVICE, count_within, firing, labels, on, over, series, total
from stack.thresholds import SEVERITIES, Duration, Limit, Severity, Thresholds

LAST_HOUR = "job:genai_tokens:increase1h"
_LAST_MINUTES = "job:genai_tokens:increase5m"


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """One group for what is measured in minutes, and one for the hour."""
    hourly = thresholds.hourly_tokens
    return (
        Group(
            name="genai_quota",
            interval=Duration("15s"),
            rules=tuple(_quota(thresholds, severity) for severity in SEVERITIES),
        ),
        Group(
            name="genai_tokens",
            interval=Duration("1m"),  # sums over an hour are expensive, and change slowly
            rules=(
                Recording(
                    name=LAST_HOUR,
                    expr=total(over(lambda tokens: count_within(tokens, "1h"), CALL_TOKENS, part="sum"), SERVICE),
                ),
                Recording(name=_LAST_MINUTES, expr=f"{total('job:genai_tokens:rate5m', SERVICE)} * {WINDOW_SECONDS}"),
                _spike(thresholds),
                _hourly("info", hourly.info),
                _hourly("warning", hourly.warning),
            ),
        ),
    )


def _quota(thresholds: Thresholds, severity: Severity) -> Alert:
    limit, by = thresholds.quota.at(severity), labels(PROVIDER, REQUEST_MODEL)
    return Alert(
        name="GenAIQuotaNearlyUsed",
        severity=severity,
        # The highest that any process was told: the limit is that of the account. The peak, as each of the limit's
        # periods, often a minute, begins with nothing used.
        expr=f"max by ({', '.join((*by, QUOTA_KIND.label))}) (max_over_time({series(QUOTA_USED)}[2m])) "
        f"> {limit.above:.15g}\n"
        f"and {on(*by)} job_model:genai_calls_finished:increase5m >= {thresholds.quota.min_calls}\n"
        # Calls are being refused already.
        f"unless {on(*SERVICE)} {firing('GenAIRateLimited')}",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: one busy minute needs nobody. keep_firing_for: traffic near the limit is one alert.",
        summary="{{ $labels.job }} uses {{ $value | humanizePercentage }} of its limit of "
        f"{{{{ $labels.{QUOTA_KIND.label} }}}} with {{{{ $labels.{REQUEST_MODEL.label} }}}}",
        description=f"More than {percent(limit.above)} of what the provider allows was used up at the peak of each "
        f"2 minutes, for {limit.for_} without a break. Beyond the limit calls are refused.",
        impact="Nobody yet; once the limit is reached, the provider refuses calls and users get errors.",
    )


def _spike(thresholds: Thresholds) -> Alert:
    limit, least = thresholds.token_spike.warning, thresholds.token_spike.min_tokens
    usual = "\n".join(
        f"unless {_LAST_MINUTES} <= {limit.above:.15g} * ({_LAST_MINUTES} offset {ago})" for ago in ("1d", "1w")
    )
    return Alert(
        name="GenAITokenSpike",
        severity="warning",
        # Only where there was an hour to take the mean of.
        expr=f"{_LAST_MINUTES} / ({LAST_HOUR} / 12) > {limit.above:.15g}\n"
        f"and {_LAST_MINUTES} >= {least}\nand ({_LAST_MINUTES} offset 1h) > 0\n{usual}",
        for_=limit.for_,
        keep_firing_for=Duration("10m"),
        why="for: one large job of a few minutes is no trend. keep_firing_for: the spike raises the mean that it is "
        "held against, and traffic near the limit is one alert.",
        summary="{{ $labels.job }} uses {{ $value | humanizePercentage }} of its usual tokens",
        description=f"The tokens of 5 minutes are at least {least:,} and more than {percent(limit.above)} of the mean "
        f"of the last hour, for {limit.for_} without a break, and there was no such growth at this time yesterday or a "
        "week ago.",
        impact="Users notice nothing yet; it costs money, and the provider's rate limit comes nearer.",
    )


def _hourly(severity: Severity, limit: Limit) -> Alert:
    return Alert(
        name="GenAIHourlyTokensHigh",
        severity=severity,
        expr=f"{LAST_HOUR} > {limit.above:.0f}",
        for_=limit.for_,
        keep_firing_for=Duration("30m"),
        why="The hour of the window is the patience. keep_firing_for: use near the threshold is one alert.",
        summary="{{ $labels.job }} used {{ $value | humanize }} tokens within an hour",
        description=f"More than {limit.above:,.0f} tokens, input and output, within the last hour.",
        impact="Users notice nothing; it costs money, and a part of the provider's rate limit.",
    )
