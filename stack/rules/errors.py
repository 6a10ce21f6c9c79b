"""Alerts on calls that fail: providers that are down, errors and timeouts, refusals by a rate limit, no success at all.

All of them count calls, whose outcome is known once the client's own retries are exhausted.
"""

from genai_observability.signals import CALL_DURATION, CALLS_IN_FLIGHT, ERROR_TYPE, PROVIDER

from stack.rules.calls import FAILED, FINISHED, SUCCEEDED
from stack.rules.model import Alert, Group, Recording, percent, worst_calls
from stack.rules.promql import ENVIRONMENT, SERVICE, Match, count_within, firing, labels, on, series, total
from stack.thresholds import SEVERITIES, Duration, Severity, Share, Thresholds

# In the words of the clients' classes of errors and of HTTP: an answer of 5xx, none in time, or no connection. Errors
# of 4xx are for the caller to mend, also where all calls have them.
PROVIDERS_FAULT = Match(
    ERROR_TYPE, "=~", "(?i).*(server|connect|unavailable|overloaded|timeout|gateway|deadline).*|5.."
)
PROVIDER_DOWN = "GenAIProviderDown"
_PROVIDERS = (ENVIRONMENT, PROVIDER.label)
_BURST = "GenAIErrorBurst"
_NO_SUCCESS = "GenAINoSuccess"
_RATE_LIMITED = "GenAIRateLimited"
CALLS = "calls"
"""Label that an alert has where the calls are still waiting."""
_FAILED_NOW = "provider:genai_calls_failed_at_provider:ratio10s"
AFFECTED = "job:genai_calls_failed_provider_down:increase5m"
"""There while a provider is down that calls of the service fail at."""


def down(window: str, label: str) -> str:
    """The providers that were down within the window, each by its name in a label of one's own."""
    firing_lately = f"last_over_time({firing(PROVIDER_DOWN)}[{window}])"
    return f'label_replace({firing_lately}, "{label}", "$1", "{PROVIDER.label}", "(.*)")'


UNLESS_PROVIDER_DOWN = f"unless {on(*SERVICE)} {AFFECTED}"
"""Ends a query of an alert by service that a provider which is down explains."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """The alerts that must come within a minute, and those with patience."""
    return (
        # Every 2 s: applications export every 5 s, and a slower evaluation adds to the time until someone knows. In
        # this order, which is that of precedence: each rule sees the alerts of those above it.
        Group(
            name="genai_errors_fast",
            interval=Duration("2s"),
            rules=(*_provider_down(thresholds), _affected(), _burst(thresholds), *_no_success(thresholds)),
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


def _provider_down(thresholds: Thresholds) -> tuple[Recording, Alert]:
    limits = thresholds.provider_down
    least = limits.min_calls

    def failed(window: str) -> str:
        return _calls((FAILED, PROVIDERS_FAULT), window, _PROVIDERS)

    def finished(window: str) -> str:
        return _calls((FINISHED,), window, _PROVIDERS)

    return (
        # 10 s hold two exports, the least that tells how the calls in between ended. In a total outage that share is
        # reached as soon as an error burst's, whose window is longer.
        Recording(name=_FAILED_NOW, expr=f"{failed('10s')}\n/ ({finished('10s')} > 0)"),
        Alert(
            name=PROVIDER_DOWN,
            severity="critical",
            # At times the 10 s hold only one export, and the share is that of a moment before.
            expr=f"(\n  last_over_time({_FAILED_NOW}[5s]) > {limits.at_once:.15g}\n"
            f"  and {failed('20s')} >= {least}\n)\n"
            f"or (\n  {failed('1m')}\n  / {finished('1m')}\n  > {limits.within_minute:.15g}\n"
            f"  and {failed('1m')} >= {least}\n  unless {on(*_PROVIDERS)} {firing(_BURST)}\n)",
            for_=limits.for_,
            keep_firing_for=Duration("2m"),
            why="for: until the next export says the same, as a few calls can fail by chance; error bursts wait. "
            "keep_firing_for: longer than their window, so that none follows an outage that is over.",
            service=f"{{{{ $labels.{PROVIDER.label} }}}}",
            summary=f"The provider {{{{ $labels.{PROVIDER.label} }}}} is down: "
            "{{ $value | humanizePercentage }} of all calls to it fail",
            description="They end in server errors, timeouts or broken connections, of all services together. "
            "Users of what depends on it get no answer now.",
            impact="Users of every feature that calls this provider get no answer now.",
            traces=worst_calls(service=""),
        ),
    )


def _affected() -> Recording:
    failing = "job_model:genai_calls_failed:increase5m > 0"
    return Recording(
        name=AFFECTED, expr=total(f"\n  {failing}\n  and {on(*_PROVIDERS)} {firing(PROVIDER_DOWN)}\n", SERVICE)
    )


def _burst(thresholds: Thresholds) -> Alert:
    limit, least = thresholds.error_burst.critical, thresholds.error_burst.min_calls
    by = labels(PROVIDER)
    return Alert(
        name=_BURST,
        severity="critical",
        # Straight from the metric: a recorded value would be up to one evaluation older.
        expr=f"{_calls((FAILED,), '1m', by)}\n/ {_calls((FINISHED,), '1m', by)}\n> {limit.above:.15g}\n"
        f"and {_calls((FAILED,), '1m', by)} >= {least}\n"
        # Firing, or about to.
        f'unless {on(*_PROVIDERS)} ALERTS{{alertname="{PROVIDER_DOWN}"}}',
        for_=limit.for_,
        keep_firing_for=Duration("1m"),
        why="for: an outage of the provider shows with the next export. keep_firing_for: a fault that comes and "
        "goes is one.",
        summary="{{ $value | humanizePercentage }} of the model calls of {{ $labels.job }} to "
        f"{{{{ $labels.{PROVIDER.label} }}}} fail",
        description=f"Of the calls of the last minute, more than {percent(limit.above)} and at least {least} ended "
        "in an error or a timeout. Users get no answer now.",
        impact="Users of this service get errors instead of answers now.",
        traces=worst_calls(),
    )


def _no_success(thresholds: Thresholds) -> tuple[Alert, Alert]:
    least, seconds = thresholds.no_success.min_calls, thresholds.no_success.usually_within
    in_flight = series(CALLS_IN_FLIGHT)
    # A process that has just ended or begun has no sample in the one or the other.
    alive = f"last_over_time({in_flight}[20s]) and {in_flight} offset 2m"
    hanging = total(f"\n  min_over_time({in_flight}[2m]) and {alive}\n", SERVICE)
    refused = firing(_RATE_LIMITED, 'severity="critical"')
    failed = firing(_NO_SUCCESS, f'{CALLS}=""')
    unless = (
        f"unless {_calls((SUCCEEDED,), '2m')} > 0\n"
        # These have told of it already; an alert that has just ended still explains the 2 minutes.
        f"unless {on(*SERVICE)} last_over_time({firing(_BURST)}[2m])\n"
        f"unless {on(*SERVICE)} {refused}\n{UNLESS_PROVIDER_DOWN}"
    )
    why = "No `for`: the 2 minutes of the window are the patience."
    return (
        Alert(
            name=_NO_SUCCESS,
            severity="critical",
            expr=f"{_calls((FINISHED,), '2m')} >= {least}\n{unless}",
            why=why,
            summary='None of the last {{ $value | printf "%.0f" }} model calls of {{ $labels.job }} succeeded',
            description=f"For 2 minutes at least {least} calls were made and not one was answered: "
            "whatever depends on a model is down.",
            impact="Nobody gets an answer from this service: everything in it that needs a model is down.",
            traces=worst_calls(),
        ),
        Alert(
            name=_NO_SUCCESS,
            severity="critical",
            expr=f"{hanging} >= {least}\n"
            f"and {on(*SERVICE)} avg_over_time(job:genai_call_duration_seconds:p95_5m[1h]) < {seconds:.15g}\n{unless}\n"
            f"unless {on(*SERVICE)} {failed}",
            why=why,
            labels={CALLS: "waiting"},
            summary='{{ $value | printf "%.0f" }} model calls of {{ $labels.job }} wait, and none has succeeded for '
            "2 minutes",
            description=f"At least {least} calls have been waiting for 2 minutes and no other was answered, while 95% "
            f"of the calls of the last hour took less than {seconds:.15g} s: the provider hangs, or the way to it.",
            impact="Users of this service wait, and none of them gets an answer.",
        ),
    )


def _ratio(share: Share, severity: Severity) -> Alert:
    limit = share.at(severity)
    return Alert(
        name="GenAIErrorRatioHigh",
        severity=severity,
        expr=f"job:genai_calls_failed:ratio5m > {limit.above:.15g}\n"
        f"and job:genai_calls_failed:increase5m >= {share.min_calls}\n"
        # A burst stays in the window of 5 minutes when it is over: it has its own alert and needs no second one.
        f"unless {on(*SERVICE)} {firing(_BURST)}\nunless {on(*SERVICE)} {firing(_NO_SUCCESS)}\n{UNLESS_PROVIDER_DOWN}",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: small shares are worth a look only if they last. keep_firing_for: one window, so that a share near "
        "the threshold is one alert.",
        summary="{{ $value | humanizePercentage }} of the model calls of {{ $labels.job }} fail",
        description=f"Of the calls of 5 minutes, more than {percent(limit.above)} ended in an error or a timeout, "
        f"for {limit.for_} without a break.",
        impact="A part of this service's users gets errors instead of answers.",
        traces=worst_calls(),
    )


def _rate_limited(share: Share, severity: Severity) -> Alert:
    limit = share.at(severity)
    return Alert(
        name=_RATE_LIMITED,
        severity=severity,
        expr=f"job:genai_calls_rate_limited:ratio5m > {limit.above:.15g}\n"
        f"and job:genai_calls_rate_limited:increase5m >= {share.min_calls}",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: the window is most of the patience. keep_firing_for: a quota that refills every minute and runs dry "
        "again is one alert.",
        summary="{{ $value | humanizePercentage }} of the model calls of {{ $labels.job }} are refused by a rate limit",
        description=f"Of the calls of 5 minutes, more than {percent(limit.above)} were refused by the provider's rate "
        "limit, after the client's own retries.",
        impact="Users whose calls are refused get an error; the others wait longer.",
        traces=worst_calls(),
    )


def _calls(which: tuple[Match, ...], window: str, by: tuple[str, ...] = SERVICE) -> str:
    """The number of calls within the window, of each service unless said otherwise."""
    return total(count_within(series(CALL_DURATION, *which, part="count"), window), by)
