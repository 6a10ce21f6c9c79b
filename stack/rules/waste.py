"""Alerts on work that is done twice, elsewhere or not at all, and on shifts in what is used."""

from genai_observability.signals import (
    BREAKER_NAME,
    BREAKER_STATE,
    BREAKERS,
    CACHE_NAME,
    CACHE_REQUESTS,
    CACHE_RESULT,
    CALL_RETRIES,
    FALLBACK_FROM_MODEL,
    FALLBACK_FROM_PROVIDER,
    FALLBACKS,
    FEATURE,
    PROVIDER,
    QUEUE_DEPTH,
    QUEUE_NAME,
    REQUEST_MODEL,
    Attribute,
)

from stack.rules.errors import AFFECTED, UNLESS_PROVIDER_DOWN, down
from stack.rules.model import Alert, Group, Recording, percent
from stack.rules.promql import ENVIRONMENT, SERVICE, Match, count_within, firing, firing_any, labels, on, series, total
from stack.thresholds import SEVERITIES, Duration, Severity, Thresholds

_CALLS = "job:genai_calls_finished:increase5m"
_CACHE = "job_cache:genai_cache_requests:increase30m"
HIT_RATE = "job_cache:genai_cache_hits:ratio30m"
"""Series of the share of a cache's requests that it answered within half an hour."""
_SERVICE = ", ".join(SERVICE)


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """What is going on now, every 15 s; what is compared with earlier days, every minute or less."""
    now = (
        *(_retry_storm(thresholds, severity) for severity in SEVERITIES),
        *(_fallback_storm(thresholds, severity) for severity in SEVERITIES),
        *(_breaker_open(thresholds, severity) for severity in SEVERITIES),
        *(_queue_deep(thresholds, severity) for severity in SEVERITIES),
    )
    # A change of model is told of on its day. After 8 days the week to compare with knows nothing else.
    changed = f"unless {on(*labels(REQUEST_MODEL))} last_over_time({firing('GenAIModelChanged')}[8d])"
    shifts = (
        *_shift(thresholds, "model", PROVIDER, REQUEST_MODEL, told=changed),
        *_shift(thresholds, "feature", FEATURE),
    )
    return (
        Group(name="genai_waste", interval=Duration("15s"), rules=now),
        Group(name="genai_caches", interval=Duration("1m"), rules=_cache_hit_rate(thresholds)),
        Group(name="genai_usage_shifts", interval=Duration("5m"), rules=shifts),
    )


def _retry_storm(thresholds: Thresholds, severity: Severity) -> Alert:
    storm = thresholds.retry_storm
    limit = storm.at(severity)
    retries = total(count_within(series(CALL_RETRIES), "5m"), SERVICE)
    # Calls that fail in the end are the fault itself. This one is for retries that still hide it.
    known = firing_any("GenAIErrorBurst", "GenAIErrorRatioHigh", "GenAINoSuccess", "GenAIRateLimited")
    return Alert(
        name="GenAIRetryStorm",
        severity=severity,
        expr=f"{retries}\n/ ({_CALLS} > 0)\n> {limit.above:.15g}\nand {retries} >= {storm.min_retries}\n"
        f"unless on ({_SERVICE}) {known}\n{UNLESS_PROVIDER_DOWN}",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: a provider's hiccup is what retries are for. keep_firing_for: one window.",
        summary='Each model call of {{ $labels.job }} is retried {{ $value | printf "%.1f" }} times',
        description=f"The client library made more than {limit.above:,.15g} further attempts for each call, over 5 "
        "minutes. Calls still succeed, later and with more load on the provider.",
        impact="Users get their answers late, and the retries keep the provider from recovering.",
    )


def _fallback_storm(thresholds: Thresholds, severity: Severity) -> Alert:
    storm = thresholds.fallback_storm
    limit = storm.at(severity)
    fallbacks = total(count_within(series(FALLBACKS), "5m"), labels(FALLBACK_FROM_PROVIDER, FALLBACK_FROM_MODEL))
    return Alert(
        name="GenAIFallbackStorm",
        severity=severity,
        expr=f"{fallbacks}\n/ on ({_SERVICE}) group_left () ({_CALLS} > 0)\n> {limit.above:.15g}\n"
        f"and {fallbacks} >= {storm.min_calls}\n"
        # Evading a provider that is down is what fallbacks are for, whoever of the service's calls still tries it.
        f"unless {on(ENVIRONMENT, FALLBACK_FROM_PROVIDER.label)} {down('5m', FALLBACK_FROM_PROVIDER.label)}\n"
        f"unless on ({_SERVICE}) last_over_time({AFFECTED}[5m])",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: a fallback is meant to bridge minutes. keep_firing_for: one window.",
        summary=f"{{{{ $value | humanizePercentage }}}} of the model calls of {{{{ $labels.job }}}} evade "
        f"{{{{ $labels.{FALLBACK_FROM_MODEL.label} }}}}",
        description=f"More than {percent(limit.above)} of the calls of 5 minutes went to another model than was meant: "
        "at another price and of another quality.",
        impact="Users get answers of another quality, speed and price; if the second choice fails too, they get none.",
    )


def _breaker_open(thresholds: Thresholds, severity: Severity) -> Alert:
    opened = series(BREAKERS, Match(BREAKER_STATE, "=", "open"))
    return Alert(
        name="GenAICircuitBreakerOpen",
        severity=severity,
        # Within a minute: it half opens now and then, to find out whether it may close.
        expr=f"max by ({', '.join(labels(BREAKER_NAME))}) (max_over_time({opened}[1m])) == 1",
        for_=getattr(thresholds.circuit_breaker_open, severity),
        keep_firing_for=Duration("2m"),
        why="for: it opens to give a provider a rest. keep_firing_for: it closes and opens again while a fault lasts.",
        summary=f"The circuit breaker {{{{ $labels.{BREAKER_NAME.label} }}}} of {{{{ $labels.job }}}} is open",
        description="At least one process of the service makes no calls to what the breaker protects, for "
        f"{getattr(thresholds.circuit_breaker_open, severity)} or longer.",
        impact="Whatever depends on what the breaker protects gets an error or a substitute at once.",
    )


def _queue_deep(thresholds: Thresholds, severity: Severity) -> Alert:
    limit = thresholds.queue_depth.at(severity)
    return Alert(
        name="GenAIQueueDeep",
        severity=severity,
        expr=f"{total(series(QUEUE_DEPTH), labels(QUEUE_NAME))} > {limit.above:.15g}",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: a queue is there to fill up for a while. keep_firing_for: a depth near the threshold is one alert.",
        summary=f'{{{{ $value | printf "%.0f" }}}} items wait in the queue {{{{ $labels.{QUEUE_NAME.label} }}}} of '
        "{{ $labels.job }}",
        description=f"More than {limit.above:,.15g} items, for {limit.for_} without a break: work comes faster than it "
        "is done.",
        impact="Users get their results later than they should; a queue that only grows ends in lost work.",
    )


def _cache_hit_rate(thresholds: Thresholds) -> tuple[Recording | Alert, ...]:
    drop = thresholds.cache_hit_rate_drop
    by = labels(CACHE_NAME)
    # A false hit was counted as a hit before: it is no third kind of answer.
    asked = series(CACHE_REQUESTS, Match(CACHE_RESULT, "=~", "hit|miss"))
    hits = series(CACHE_REQUESTS, Match(CACHE_RESULT, "=", "hit"))
    # The half hour before is left out, and 6 hours must have been busy enough to know what is usual.
    day = f"{HIT_RATE}[1d] offset 30m"
    usual = f"(avg_over_time({day}) >= {drop.min_usual:.15g} and count_over_time({day}) >= 360)"

    def alert(severity: Severity) -> Alert:
        limit = drop.info if severity == "info" else drop.warning
        return Alert(
            name="GenAICacheHitRateDrop",
            severity=severity,
            expr=f"{HIT_RATE} < {1 - limit.above:.15g} * {usual}",
            for_=limit.for_,
            keep_firing_for=Duration("15m"),
            why="for: 30 minutes of a window change slowly. keep_firing_for: a rate near the limit is one alert.",
            summary=f"The cache {{{{ $labels.{CACHE_NAME.label} }}}} of {{{{ $labels.job }}}} answers only "
            "{{ $value | humanizePercentage }} of its requests",
            description=f"The hit rate of 30 minutes is more than {percent(limit.above)} below its mean of the day "
            "before: what the cache answered is now paid for, and waited for.",
            impact="Users wait longer, and what the cache answered is now paid for.",
        )

    return (
        Recording(name=_CACHE, expr=f"{total(count_within(asked, '30m'), by)} >= {drop.min_requests}"),
        Recording(name=HIT_RATE, expr=f"({total(count_within(hits, '30m'), by)} or {_CACHE} * 0) / {_CACHE}"),
        alert("info"),
        alert("warning"),
    )


def _shift(thresholds: Thresholds, what: str, *attributes: Attribute, told: str = "") -> tuple[Recording | Alert, ...]:
    """A share that grew; the others shrank by as much, which is no news of its own."""
    shift = thresholds.usage_shift
    level, calls = f"job_{what}", f"job_{what}:genai_calls:increase1d"
    share = f"{level}:genai_calls:share1d"
    every_day = f"{share}[7d:1d] offset 1d"
    named = "".join(f" {{{{ $labels.{attribute.label} }}}}" for attribute in attributes[-1:])
    return (
        Recording(name=calls, expr=f"sum_over_time({level}:genai_calls:rate5m[1d:5m]) * 300"),
        Recording(
            name=share,
            expr=f"{calls} / on ({_SERVICE}) group_left () ({total(calls, SERVICE)} >= {shift.min_calls})",
        ),
        Alert(
            name="GenAIUsageShift",
            severity="info",
            # What is new had no share before. 3 days of a service must be known, whatever it used.
            expr=f"{share} - (avg_over_time({every_day}) or {share} * 0) > {shift.info.above:.15g}\n"
            f"and on ({_SERVICE}) max by ({_SERVICE}) (count_over_time({every_day})) >= 3"
            + (f"\n{told}" if told else ""),
            for_=shift.info.for_,
            keep_firing_for=Duration("6h"),
            why="for and keep_firing_for: it compares days, and nobody has to hurry.",
            labels={"shift": what},
            summary=f"The {what}{named} has {{{{ $value | humanizePercentage }}}} more of the calls of "
            "{{ $labels.job }} than before",
            description=f"Its share in the calls of 24 hours grew by more than {percent(shift.info.above)} of all "
            "calls, against the days of the week before.",
            impact="Nobody as such; another mix has another price, quality and speed.",
        ),
    )
