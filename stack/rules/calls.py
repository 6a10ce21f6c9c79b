"""Recording rules: how many calls, failures, tokens and dollars, and how long calls take, at several levels.

Their names do not change when a metric of the conventions is renamed. Dashboards and alerts read them.
"""

from dataclasses import dataclass

from genai_observability.signals import (
    CALL_COST,
    CALL_DURATION,
    CALL_TOKENS,
    FEATURE,
    OPERATION,
    OUTCOME,
    PROVIDER,
    REQUEST_MODEL,
    TEAM,
    TOKEN_TYPE,
    Attribute,
)

from stack.rules.model import Group, Recording
from stack.rules.promql import Match, count_within, labels, over, series, total
from stack.thresholds import Duration, Thresholds

WINDOW = "5m"
WINDOW_SECONDS = 300

FINISHED = Match(OUTCOME, "!=", "cancelled")
"""A call that the application cancelled is neither a success nor a failure: it counts in no share."""
FAILED = Match(OUTCOME, "=~", "error|timeout")
"""An error, everywhere in the rules. Refusals by a rate limit have a share and an alert of their own."""
RATE_LIMITED = Match(OUTCOME, "=", "rate_limited")
SUCCEEDED = Match(OUTCOME, "=", "success")

_QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


@dataclass(frozen=True, slots=True)
class Level:
    """A level of detail; ``name`` is the first part of the names of its rules."""

    name: str
    attributes: tuple[Attribute, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What the rules of this level are summed by."""
        return labels(*self.attributes)


LEVELS = (
    Level("job"),
    Level("job_operation", (OPERATION,)),
    Level("job_feature", (FEATURE,)),
    Level("job_team", (TEAM,)),
    Level("job_model", (PROVIDER, REQUEST_MODEL)),
)


def groups(_: Thresholds) -> tuple[Group, ...]:
    """One group a level."""
    # A longer interval than the alerts': these are the expensive rules, over every series, and each window is minutes.
    return tuple(
        Group(name=f"genai_{level.name}", interval=Duration("15s"), rules=_recordings(level)) for level in LEVELS
    )


def _recordings(level: Level) -> tuple[Recording, ...]:
    return (
        Recording(name=f"{level.name}:genai_calls:rate5m", expr=_rate(_calls(), level)),
        Recording(name=f"{level.name}:genai_calls_finished:increase5m", expr=_count(_calls(FINISHED), level)),
        *_share(level, "genai_calls_failed", FAILED),
        *_share(level, "genai_calls_rate_limited", RATE_LIMITED),
        *_durations(level),
        Recording(
            name=f"{level.name}:genai_tokens:rate5m",
            expr=total(
                over(lambda tokens: f"rate({tokens}[{WINDOW}])", CALL_TOKENS, part="sum"),
                (*level.labels, TOKEN_TYPE.label),
            ),
        ),
        Recording(name=f"{level.name}:genai_cost_usd:rate5m", expr=_rate(series(CALL_COST), level)),
        Recording(
            name=f"{level.name}:genai_cost_usd:increase1h",
            expr=total(count_within(series(CALL_COST), "1h"), level.labels),
        ),
    )


def _share(level: Level, name: str, which: Match) -> tuple[Recording, ...]:
    """How many of the calls, and which share; 0 where there is none, absent where there are no calls at all."""
    finished = f"{level.name}:genai_calls_finished:increase5m"
    counted = f"{level.name}:{name}:increase5m"
    return (
        Recording(name=counted, expr=f"{_count(_calls(which), level)}\nor {finished} * 0"),
        Recording(name=f"{level.name}:{name}:ratio5m", expr=f"{counted} / ({finished} > 0)"),
    )


def _durations(level: Level) -> tuple[Recording, ...]:
    """Quantiles of the successful calls, as a failure is often fast. The buckets are summed once for all quantiles."""
    buckets = f"{level.name}:genai_call_duration_seconds_bucket:rate5m"
    succeeded = series(CALL_DURATION, SUCCEEDED, part="bucket")
    return (
        Recording(name=buckets, expr=total(f"rate({succeeded}[{WINDOW}])", (*level.labels, "le"))),
        *(
            # "not a number", the quantile of no calls, is not >= 0 and leaves a gap.
            Recording(
                name=f"{level.name}:genai_call_duration_seconds:{name}_5m",
                expr=f"histogram_quantile({quantile}, {buckets}) >= 0",
            )
            for name, quantile in _QUANTILES.items()
        ),
    )


def _calls(*matches: Match) -> str:
    return series(CALL_DURATION, *matches, part="count")


def _rate(selector: str, level: Level) -> str:
    return total(f"rate({selector}[{WINDOW}])", level.labels)


def _count(selector: str, level: Level) -> str:
    return total(count_within(selector, WINDOW), level.labels)
