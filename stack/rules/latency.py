"""Alerts on slow answers, of the calls that people wait for and of the groups that have limits of their own."""

from collections.abc import Iterator
from dataclasses import dataclass

from genai_observability.signals import (
    CALL_DURATION,
    CALL_TIME_TO_FIRST_TOKEN,
    FEATURE,
    OPERATION,
    Metric,
)

from stack.reader import Name
from stack.rules.calls import SUCCEEDED, WINDOW, WINDOW_SECONDS
from stack.rules.errors import UNLESS_PROVIDER_DOWN
from stack.rules.model import Alert, Group, Recording, percent, worst_calls
from stack.rules.promql import JOB, Match, count_within, firing, labels, on, series, total
from stack.thresholds import (
    INTERACTIVE,
    Duration,
    Latency,
    Limit,
    Limits,
    OtherLatency,
    Severity,
    SlowBurst,
    Thresholds,
)

TRAFFIC = "traffic"
"""Label of the group of calls: interactive, or one of `latency_of`."""
MEASURE = "measure"
"""Label of what is too slow: a percentile of the whole call, or of the first token."""

_HIGH = "GenAILatencyHigh"
_BURST = "GenAILatencyBurst"
_BY = (*labels(OPERATION), TRAFFIC)
_CALLS = "job_traffic:genai_calls_succeeded:increase5m"
_CALLS_BUCKETS = "job_traffic:genai_call_duration_seconds_bucket:rate5m"
_STREAMS_BUCKETS = "job_traffic:genai_time_to_first_token_seconds_bucket:rate5m"
_STREAMS = "job_traffic:genai_streams:increase5m"
_USUAL = "job_traffic:genai_call_duration_seconds:p95_5m"


@dataclass(frozen=True, slots=True)
class _Measure:
    """What is held against a limit: ``name`` is its label, ``counted`` the number of calls behind it."""

    name: str
    recorded: str
    buckets: str
    quantile: str
    counted: str
    summary: str
    subject: str
    calls_needed: int = 1
    """As a multiple of ``min_calls``: the further out a percentile is, the more calls it takes."""


_OF_CALLS = f"{{{{ $labels.{OPERATION.label} }}}} calls of {{{{ $labels.job }}}} take more than"
# Ordered by what they say: where the p95 alerts, the others are the same fault.
_MEASURES = (
    _Measure(
        name="p95",
        recorded=_USUAL,
        buckets=_CALLS_BUCKETS,
        quantile="0.95",
        counted=_CALLS,
        summary=f"The slowest 5% of {_OF_CALLS}",
        subject="The 95th percentile of the successful calls",
    ),
    _Measure(
        name="p50",
        recorded="job_traffic:genai_call_duration_seconds:p50_5m",
        buckets=_CALLS_BUCKETS,
        quantile="0.5",
        counted=_CALLS,
        summary=f"Half of the {_OF_CALLS}",
        subject="The median of the successful calls",
    ),
    _Measure(
        name="p99",
        recorded="job_traffic:genai_call_duration_seconds:p99_5m",
        buckets=_CALLS_BUCKETS,
        quantile="0.99",
        counted=_CALLS,
        summary=f"The slowest 1% of {_OF_CALLS}",
        subject="The 99th percentile of the successful calls",
        calls_needed=5,
    ),
    _Measure(
        name="first_token",
        recorded="job_traffic:genai_time_to_first_token_seconds:p95_5m",
        buckets=_STREAMS_BUCKETS,
        quantile="0.95",
        counted=_STREAMS,
        summary=f"The slowest 5% of {{{{ $labels.{OPERATION.label} }}}} streams of {{{{ $labels.job }}}} "
        "begin only after",
        subject="The 95th percentile of the time to the first token of the streams",
    ),
)


@dataclass(frozen=True, slots=True)
class _Traffic:
    """A group of calls, its limits, and what selects its series: each list of conditions selects some of them."""

    name: str
    limits: Latency | OtherLatency
    selections: tuple[tuple[Match, ...], ...]

    def per_second(self, metric: Metric, window: str, *matches: Match) -> str:
        """The buckets of the group's calls within the window."""
        each = (
            f"rate({series(metric, *matches, *selection, part='bucket')}[{window}])" for selection in self.selections
        )
        # "or" takes a series only once, however many of the selections fit.
        return total("\n  or ".join(each), (*labels(OPERATION), "le"))

    def count(self, window: str) -> str:
        """The number of the group's successful calls within the window."""
        each = (
            count_within(series(CALL_DURATION, SUCCEEDED, *selection, part="count"), window)
            for selection in self.selections
        )
        return total("\n  or ".join(each), labels(OPERATION))


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """How long calls take by group, the percentiles with patience, and calls that are slow all of a sudden."""
    traffic = tuple(_traffic(thresholds))
    return (
        Group(
            name="genai_latency",
            interval=Duration("15s"),
            rules=(
                *(recording for each in traffic for recording in _buckets(each)),
                *_recordings(),
                *(alert for each in traffic for alert in _slow(each)),
            ),
        ),
        Group(
            name="genai_latency_fast",
            interval=Duration("5s"),
            rules=tuple(_burst(each, each.limits.burst) for each in traffic if each.limits.burst),
        ),
    )


def interactive(thresholds: Thresholds) -> tuple[Match, ...]:
    """What selects the calls that people wait for: those in no group with limits of its own."""
    *_, rest = _traffic(thresholds)
    return rest.selections[0]


def _traffic(thresholds: Thresholds) -> Iterator[_Traffic]:
    """The groups with limits of their own, each without the calls of those before it, and then all other calls."""
    before: tuple[Match, ...] = ()
    for name, limits in thresholds.latency_of.items():
        members = ((JOB, limits.services), (FEATURE, limits.features), (OPERATION, limits.operations))
        own = tuple((attribute, _any_of(names)) for attribute, names in members if names)
        yield _Traffic(str(name), limits, tuple((*before, Match(attribute, "=~", names)) for attribute, names in own))
        before += tuple(Match(attribute, "!~", names) for attribute, names in own)
    yield _Traffic(INTERACTIVE, thresholds.latency, (before,))


def _any_of(names: tuple[Name, ...]) -> str:
    # Of the characters of a name only the dot means something else in a pattern.
    return "|".join(name.replace(".", "[.]") for name in names)


def _buckets(traffic: _Traffic) -> tuple[Recording, ...]:
    """How many calls a second took how long; summed up once for all percentiles."""
    return (
        Recording(
            name=_CALLS_BUCKETS,
            expr=traffic.per_second(CALL_DURATION, WINDOW, SUCCEEDED),
            labels={TRAFFIC: traffic.name},
        ),
        Recording(
            name=_STREAMS_BUCKETS,
            expr=traffic.per_second(CALL_TIME_TO_FIRST_TOKEN, WINDOW),
            labels={TRAFFIC: traffic.name},
        ),
    )


def _recordings() -> tuple[Recording, ...]:
    """The numbers of calls and the percentiles, of all groups."""
    counts = {_CALLS: _CALLS_BUCKETS, _STREAMS: _STREAMS_BUCKETS}
    return (
        *(
            Recording(name=name, expr=f'sum without (le) ({buckets}{{le="+Inf"}}) * {WINDOW_SECONDS}')
            for name, buckets in counts.items()
        ),
        *(
            # "not a number", the quantile of no calls, is not >= 0 and leaves a gap.
            Recording(name=each.recorded, expr=f"histogram_quantile({each.quantile}, {each.buckets}) >= 0")
            for each in _MEASURES
        ),
    )


def _slow(traffic: _Traffic) -> Iterator[Alert]:
    """An alert for each limit of the group."""
    limits = {
        "p95": traffic.limits.p95,
        "p50": traffic.limits.p50,
        "p99": traffic.limits.p99,
        "first_token": traffic.limits.first_token,
    }
    for measure in _MEASURES:
        own = limits[measure.name]
        if isinstance(own, Limits):
            yield _high(traffic, measure, "warning", own.warning)
        if own:
            yield _high(traffic, measure, "critical", own.critical)


def _high(traffic: _Traffic, measure: _Measure, severity: Severity, limit: Limit) -> Alert:
    group = f'{{{TRAFFIC}="{traffic.name}"}}'
    expr = (
        # By operation, because many fast embeddings would hide slow chats.
        f"{measure.recorded}{group} > {limit.above:.15g}\n"
        f"and {measure.counted}{group} >= {traffic.limits.min_calls * measure.calls_needed}\n"
        f"unless {on(*_BY)} {firing(_BURST)}\n"
    )
    if measure.name != "p95":
        # What is slow at several percentiles alerts at one; the p95, which says the most, waits for no other.
        others = firing(_HIGH, f'severity="{severity}"', f'{MEASURE}!="{measure.name}"')
        expr += f"unless {on(*_BY)} {others}\n"
    return Alert(
        name=_HIGH,
        severity=severity,
        expr=expr + UNLESS_PROVIDER_DOWN,
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: providers have slow minutes. keep_firing_for: one window, so that a value near the limit is one "
        "alert.",
        labels={TRAFFIC: traffic.name, MEASURE: measure.name},
        summary=f"{measure.summary} {{{{ $value | humanizeDuration }}}}",
        description=f"{measure.subject} of 5 minutes is above {limit.above:,.15g} s, for {limit.for_} without a break.",
        impact="Whoever waits for these answers waits too long; some give up, or try again.",
        traces=worst_calls(),
    )


def _burst(traffic: _Traffic, burst: SlowBurst) -> Alert:
    limit = burst.critical
    recent = traffic.per_second(CALL_DURATION, "30s", SUCCEEDED)
    return Alert(
        name=_BURST,
        severity="critical",
        expr=f"1 - histogram_fraction(0, {burst.slower_than:.15g}, {recent}) > {limit.above:.15g}\n"
        f"and {traffic.count('30s')} >= {burst.min_calls}\n"
        # Calls that are always so slow are no sudden trouble; nothing is known yet of those of a new service.
        f'and {on(*labels(OPERATION))} min_over_time({_USUAL}{{{TRAFFIC}="{traffic.name}"}}[1h] offset 1m) '
        f"< {burst.slower_than:.15g}\n" + UNLESS_PROVIDER_DOWN,
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="No `for` by default: the 30 s of the window are the patience. keep_firing_for: the window of the "
        "percentiles, whose alert must not follow a burst that is over.",
        labels={TRAFFIC: traffic.name},
        summary=f"{{{{ $value | humanizePercentage }}}} of the {{{{ $labels.{OPERATION.label} }}}} calls of "
        f"{{{{ $labels.job }}}} suddenly take more than {burst.slower_than:.15g} s",
        description=f"Of the successful calls of the last 30 s, more than {percent(limit.above)} took longer than "
        f"{burst.slower_than:.15g} s; within the last hour 95% were faster. Users wait now.",
        impact="Users wait for their answers now; many give up, or try again.",
        traces=worst_calls(),
    )
