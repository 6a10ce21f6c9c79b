"""Alerts on calls that fail: errors and timeouts, refusals by a rate limit, and no success at all."""

from genai_observability.signals import CALL_DURATION

from stack.rules.calls import FAILED, FINISHED, SUCCEEDED
from stack.rules.model import Alert, Group, percent
from stack.rules.promql import SERVICE, Match, count_within, series, total
from stack.thresholds import SEVERITIES, Duration, Severity, Share, Thresholds


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """The alerts that must come within a minute, and those with patience."""
    return (
        # Every 5 s, as often as applications export: a slower evaluation adds to the time until someone knows.
        Group(
            name="genai_errors_fast",
            interval=Duration("5s"),
            rules=(_burst(thresholds), _no_success(thresholds)),
        ),
        Group(
            name="genai_errors",
            interval=Duration("15s"),
            rules=(
                *(_ratio(thresholds.error_ratio, severity) for severity in SEVERITIES),
                *(_rate_limited(thresholds.rate_limited, severity) for severity in SEVERITIES),
            ),
        ),
    )


def _burst(thresholds: Thresholds) -> Alert:
    limit, least = thresholds.error_burst.critical, thresholds.error_burst.min_calls
    return Alert(
        name="GenAIErrorBurst",
        severity="critical",
        # Straight from the metric: a recorded value would be up to one evaluation older.
        expr=f"{_calls(FAILED, '1m')}\n/ {_calls(FINISHED, '1m')}\n> {limit.above:g}\n"
        f"and {_calls(FAILED, '1m')} >= {least}",
        for_=limit.for_,
        keep_firing_for=Duration("1m"),
        why="No `for` by default: the window is the patience. keep_firing_for: a fault that comes and goes is one.",
        summary="{{ $value | humanizePercentage }} of the model calls of {{ $labels.job }} fail",
        description=f"Of the calls of the last minute, more than {percent(limit.above)} and at least {least} ended "
        "in an error or a timeout. Users get no answer now.",
    )


def _no_success(thresholds: Thresholds) -> Alert:
    least = thresholds.no_success.min_calls
    return Alert(
        name="GenAINoSuccess",
        severity="critical",
        expr=f"{_calls(FINISHED, '2m')} >= {least}\nunless {_calls(SUCCEEDED, '2m')} > 0",
        why="No `for`: the 2 minutes of the window are the patience.",
        summary='None of the last {{ $value | printf "%.0f" }} model calls of {{ $labels.job }} succeeded',
        description=f"For 2 minutes at least {least} calls were made and not one was answered: "
        "whatever depends on a model is down.",
    )


def _ratio(share: Share, severity: Severity) -> Alert:
    limit = share.at(severity)
    return Alert(
        name="GenAIErrorRatioHigh",
        severity=severity,
        expr=f"job:genai_calls_failed:ratio5m > {limit.above:g}\n"
        f"and job:genai_calls_failed:increase5m >= {share.min_calls}\n"
        # A burst stays in the window of 5 minutes when it is over: it has its own alert and needs no second one.
        f'unless on ({", ".join(SERVICE)}) ALERTS{{alertname="GenAIErrorBurst",alertstate="firing"}}',
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: small shares are worth a look only if they last. keep_firing_for: one window, so that a share near "
        "the threshold is one alert.",
        summary="{{ $value | humanizePercentage }} of the model calls of {{ $labels.job }} fail",
        description=f"Of the calls of 5 minutes, more than {percent(limit.above)} ended in an error or a timeout, "
        f"for {limit.for_} without a break.",
    )


def _rate_limited(share: Share, severity: Severity) -> Alert:
    limit = share.at(severity)
    return Alert(
        name="GenAIRateLimited",
        severity=severity,
        expr=f"job:genai_calls_rate_limited:ratio5m > {limit.above:g}\n"
        f"and job:genai_calls_rate_limited:increase5m >= {share.min_calls}",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: the window is most of the patience. keep_firing_for: a quota that refills every minute and runs dry "
        "again is one alert.",
        summary="{{ $value | humanizePercentage }} of the model calls of {{ $labels.job }} are refused by a rate limit",
        description=f"Of the calls of 5 minutes, more than {percent(limit.above)} were refused by the provider's rate "
        "limit, after the client's own retries.",
    )


def _calls(which: Match, window: str) -> str:
    """The number of calls of each service within the window."""
    return total(count_within(series(CALL_DURATION, which, part="count"), window), SERVICE)
