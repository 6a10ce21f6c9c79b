"""Latency and streaming: what users wait for, where the time goes, and whether that is usual."""

from typing import Final, Literal

from genai_observability.signals import (
    CALL_DURATION,
    CALL_OUTPUT_RATE,
    CALL_PHASES,
    CALL_TIME_TO_FIRST_TOKEN,
    DURATION,
    FEATURE,
    OPERATION,
    OUTPUT_RATE,
    PHASE,
    PROVIDER,
    REQUEST_MODEL,
    STREAM_END,
    TIME_TO_FIRST_TOKEN,
)

from stack.dashboards.calls import NO_CALLS, SUCCEEDED, TRACE, WHO, legend, of, single, slowest_calls
from stack.dashboards.expressions import (
    SERVICE,
    STEP,
    quantile,
    rate,
    total,
    where,
)
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.sql import Sql, among, column, known, usage, usage_by
from stack.dashboards.style import (
    BLUE,
    COUNT,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SCORE,
    SECONDS,
    SHARE,
    TOKENS_PER_SECOND,
    Column,
    Limits,
    Link,
    Metrics,
    course,
    figure,
    heat,
    ranking,
    rows,
)
from stack.rules import baselines, calls
from stack.rules.latency import interactive
from stack.thresholds import Thresholds

_NO_ANSWERS: Final = "No successful calls in this time range"
_NO_STREAMS: Final = "No streamed answers in this time range"
_LEARNING: Final = "Nothing is learned yet: it takes some days with enough calls at this time of day"
_QUANTILES: Final = {"p50": (0.5, BLUE), "p95": (0.95, ORANGE), "p99": (0.99, PURPLE)}
_COLOURS: Final = {name: colour for name, (_, colour) in _QUANTILES.items()}
_MODELS: Final = next(level for level in calls.LEVELS if REQUEST_MODEL in level.attributes)
_LOST_STREAM: Final = among(STREAM_END, "broken", "abandoned", "unread", "cancelled")
_LOST_CALLS: Final = f"coalesce(sum(calls) FILTER (WHERE {_LOST_STREAM}), 0)"

_SLOW_STARTS: Final = (
    of(TIME_TO_FIRST_TOKEN, "First token", SECONDS),
    of(DURATION, "Duration", SECONDS),
    *WHO,
    TRACE,
)
_LOST_STREAMS: Final = (
    *WHO,
    Column(
        column(STREAM_END),
        "End",
        colours={
            "broken": ("broken", RED),
            "abandoned": ("abandoned", ORANGE),
            "unread": ("unread", ORANGE),
            "cancelled": ("cancelled", GREY),
        },
    ),
    of(TIME_TO_FIRST_TOKEN, "First token", SECONDS),
    of(DURATION, "Duration", SECONDS),
    of(OUTPUT_RATE, "Speed", TOKENS_PER_SECOND),
    TRACE,
)


def dashboard(thresholds: Thresholds) -> Dashboard:
    """The page; the alerts' thresholds colour its numbers."""
    return page(
        uid="genai-latency",
        title="GenAI latency and streaming",
        description="What users wait for: how long calls take and streamed answers take to begin, where the time goes, "
        "who is slow, and whether that is usual.",
        source="stack/dashboards/latency.py",
        rows=[
            Row("What do users wait for?", [*_figures(thresholds), *_courses(thresholds)]),
            Row("Where is it slow?", _where(thresholds)),
            Row("Is that usual?", _usual(thresholds)),
            Row("How do streams go?", _streams(thresholds)),
            Row("Which calls?", [slowest_calls(), _slow_starts()]),
            Row("How did it develop?", _trends(thresholds)),
        ],
    )


def answered_within(thresholds: Thresholds, name: Literal["p50", "p95", "p99"], advice: str) -> Builder[Panel]:
    """The time within which a share of the successful calls is answered, of the slowest kind of operation."""
    level, _ = _QUANTILES[name]
    limits = thresholds.latency
    of_alerts = {
        "p50": Limits.of(limits.p50),
        "p95": Limits.of(limits.p95),
        "p99": Limits(critical=limits.p99.critical.above),
    }
    return figure(
        Metrics(f"max({quantile(level, CALL_DURATION, SUCCEEDED, *_awaited(thresholds), by=(OPERATION,))})"),
        title=f"Latency {name}",
        description=f"{100 * level:.15g} % of the successful calls are answered within this time, for the slowest kind "
        "of operation that people wait for. What has limits of its own (latency_of in stack/thresholds.yaml) is "
        f"left out. Orange and red from the thresholds of the alerts on. {advice}",
        unit=SECONDS,
        empty=_NO_ANSWERS,
        limits=of_alerts[name],
        decimals=2,
    )


def first_token_within(thresholds: Thresholds) -> Builder[Panel]:
    """The time within which streamed answers begin, at the p95."""
    return figure(
        Metrics(f"max({quantile(0.95, CALL_TIME_TO_FIRST_TOKEN, *_awaited(thresholds), by=(OPERATION,))})"),
        title="First token p95",
        description="Of streamed answers, 95 % begin within this time: what a waiting person feels. Orange and "
        "red from the thresholds of the alerts on. Next: Slowest first tokens, on the page of latency.",
        unit=SECONDS,
        empty=_NO_STREAMS,
        limits=Limits.of(thresholds.latency.first_token),
        decimals=2,
    )


def durations(thresholds: Thresholds, *, width: int = 8) -> Builder[Panel]:
    """The course of the latency that people wait for."""
    return course(
        *(
            Metrics(quantile(level, CALL_DURATION, SUCCEEDED, *_awaited(thresholds)), name, exemplars=True)
            for name, (level, _) in _QUANTILES.items()
        ),
        title="Latency",
        description="How long the successful calls take that people wait for. The dashed lines are the thresholds "
        "of the alerts on the p95. A point of the graph marked as exemplar opens the trace of that call.",
        unit=SECONDS,
        empty=_NO_ANSWERS,
        width=width,
        limits=Limits.of(thresholds.latency.p95),
        colours=_COLOURS,
    )


def first_tokens(thresholds: Thresholds, *, width: int = 8) -> Builder[Panel]:
    """The course of the time until streamed answers begin."""
    return course(
        *(
            Metrics(quantile(level, CALL_TIME_TO_FIRST_TOKEN, *_awaited(thresholds)), name, exemplars=True)
            for name, (level, _) in _QUANTILES.items()
        ),
        title="Time to first token",
        description="How long streamed answers take to begin. When this grows and the output speed does not fall, "
        "calls wait at the provider; long prompts do the same. The dashed lines are the thresholds of the "
        "alerts on the p95.",
        unit=SECONDS,
        empty=_NO_STREAMS,
        width=width,
        limits=Limits.of(thresholds.latency.first_token),
        colours=_COLOURS,
    )


def output_speed_by_model() -> Builder[Panel]:
    """How fast the median answer of each model is written."""
    return course(
        Metrics(quantile(0.5, CALL_OUTPUT_RATE, by=(REQUEST_MODEL,)), legend(REQUEST_MODEL)),
        title="Output speed by model",
        description="Output tokens a second of the median call. When it falls for one model and not for others, "
        "its provider is busy.",
        unit=TOKENS_PER_SECOND,
        empty="No answers in this time range",
    )


def _figures(thresholds: Thresholds) -> list[Builder[Panel]]:
    limits, awaited = thresholds.latency, _awaited(thresholds)
    slow = limits.burst.slower_than
    within = f"sum by (le) ({rate(CALL_DURATION, SUCCEEDED, *awaited, part='bucket')})"
    return [
        answered_within(thresholds, "p50", "When this grows, everybody waits: look at the provider first."),
        answered_within(thresholds, "p95", "Next: Where the time goes, then by model and feature."),
        answered_within(thresholds, "p99", "When only this grows, few calls are slow: see Slowest calls."),
        first_token_within(thresholds),
        figure(
            Metrics(f"(1 - histogram_fraction(0, {slow:.15g}, {within})) >= 0"),
            title=f"Slower than {slow:.15g} s",
            description=f"Share of the successful calls that take longer than {slow:.15g} s: so many users wait too "
            "long. Red from the share on at which an alert calls it sudden.",
            unit=SHARE,
            empty=_NO_ANSWERS,
            limits=Limits(critical=limits.burst.critical.above),
            decimals=1,
        ),
        figure(
            Metrics(quantile(0.5, CALL_OUTPUT_RATE)),
            title="Output speed",
            description="Output tokens a second of the median call. People read about 5 to 10 a second: a slower "
            "stream makes them wait for each word. Next: Output speed by model.",
            unit=TOKENS_PER_SECOND,
            empty="No answers in this time range",
            decimals=0,
        ),
        figure(
            Sql(usage(f"{_LOST_CALLS} / sum(calls) AS share", known(STREAM_END))),
            title="Streams not completed",
            description="Share of the streams of the time range that broke, were cancelled, or that nobody read to the "
            "end. Next: Ends of streams below.",
            unit=SHARE,
            empty=_NO_STREAMS,
            decimals=1,
        ),
        figure(
            Metrics(f"max({_measure(baselines.OPERATIONS, 'times_usual')})"),
            title="Times the usual",
            description="The p95 of the last quarter of an hour, as a multiple of the most that is usual at this time "
            "of day and week, of the operation that is furthest above it. Orange from where an alert may come, if "
            "the spread of other days does not explain it. Next: Is that usual? below.",
            unit=SCORE,
            empty="Learning: it takes days",
            limits=Limits(warning=thresholds.unusual.latency.times),
            decimals=1,
        ),
    ]  # fmt: skip


def _courses(thresholds: Thresholds) -> list[Builder[Panel]]:
    calls_made = total(rate(CALL_DURATION, part="count"))
    return [
        durations(thresholds, width=12),
        first_tokens(thresholds, width=12),
        heat(
            Metrics(f"sum by (le) ({rate(CALL_DURATION, SUCCEEDED, part='bucket')})"),
            title="Durations",
            description="How many calls a second took how long: the darker, the more. Two bands are two kinds of "
            "calls, or a provider of which a part is slow, which no percentile shows.",
            unit=SECONDS,
            empty=_NO_ANSWERS,
        ),
        course(
            Metrics(
                f"{total(rate(CALL_PHASES), PHASE)} / on () group_left () ({calls_made} > 0)",
                legend(PHASE),
            ),
            title="Where the time goes",
            description="Mean seconds a call, by phase. provider: the model works; waiting: the same and the network, "
            "where the provider does not tell them apart; network: between us and it; retrying: refused attempts and "
            "pauses, see the errors page; preparing and reading: our own side, or a long answer arriving.",
            unit=SECONDS,
            empty="No calls with phases in this time range",
            width=12,
            stacked=True,
            link=Link("Errors and retries", to="genai-errors"),
        ),
    ]


def _where(thresholds: Thresholds) -> list[Builder[Panel]]:
    return [
        *(
            course(
                Metrics(
                    quantile(0.95, CALL_DURATION, SUCCEEDED, *_awaited(thresholds), by=(attribute,)),
                    legend(attribute),
                    exemplars=True,
                ),
                title=f"p95 by {name}",
                description=f"Within this time 95 % of the successful calls of each {name} are answered. {advice} "
                "The dashed lines are the thresholds of the alerts.",
                unit=SECONDS,
                empty=_NO_ANSWERS,
                limits=Limits.of(thresholds.latency.p95),
                link=Link(f"Errors of this {name}", to="genai-errors", choosing={name: attribute}),
            )
            for attribute, name, advice in (
                (REQUEST_MODEL, "model", "One model alone: move its features to another until it recovers."),
                (FEATURE, "feature", "One feature alone: its prompts or its answers have grown."),
                (PROVIDER, "provider", "All models of one provider: it is the provider; see its status page."),
            )
        ),
    ]


def _usual(thresholds: Thresholds) -> list[Builder[Panel]]:
    unusual = thresholds.unusual
    operations, by_feature = baselines.OPERATIONS, f"max by (job, {FEATURE.label})"
    most, spread = (
        f"last_over_time({_measure(operations, kind)}[{window}])"
        for kind, window in (("most_usual", "20m"), ("spread", "90m"))
    )
    too_much = f"{most} * clamp_min(1 + {unusual.z:.15g} * {spread}, {unusual.latency.times:.15g})"
    lines_of = {
        "now": _measure(operations, "now"),
        "usual": f"last_over_time({_measure(operations, 'usual')}[20m])",
        "too much": too_much,
    }
    by_operation = f"max by (job, {OPERATION.label})"
    return [
        course(
            Metrics(
                "\nor ".join(
                    f'label_replace({by_operation} ({expr}), "line", "{line}", "", "")'
                    for line, expr in lines_of.items()
                ),
                f"{{{{job}}}} · {legend(OPERATION)}, {{{{line}}}}",
            ),
            title="p95 against the usual",
            description="The p95 of a quarter of an hour; what is usual at this time of day, the median of the last 7 "
            "days; and from where on an alert calls it too much. It is drawn for operations with at least "
            f"{thresholds.learning.min_calls} calls in the quarter of an hour; docs/baselines.md explains how it is "
            "learned.",
            unit=SECONDS,
            empty=f"No operation has {thresholds.learning.min_calls} calls in a quarter of an hour",
            width=12,
        ),
        rows(
            *(
                Metrics(f"{by_feature} ({_measure(baselines.FEATURES, kind, where(FEATURE, '=~', '$feature'))})")
                for kind in ("now", "times_usual", "z")
            ),
            Metrics(
                f"{by_feature} (last_over_time("
                f"{_measure(baselines.FEATURES, 'usual', where(FEATURE, '=~', '$feature'))}[20m]))"
            ),
            title="Features against their usual",
            description="The p95 of each feature now and usually at this time of day; how many times the most that is "
            "usual it is, and how many standard deviations of other days that is away. Above "
            f"{unusual.latency.times:.15g} times and {unusual.z:.15g} deviations there is an alert.",
            empty=_LEARNING,
            columns=[
                Column(FEATURE.label, "Feature"),
                Column("job", "Service"),
                Column("Value #A", "Now", SECONDS),
                Column("Value #D", "Usual", SECONDS),
                Column("Value #B", "Times usual", SCORE),
                Column("Value #C", "Deviations", SCORE),
            ],
            sort_by="Times usual",
            height=8,
        ),
    ]


def _streams(thresholds: Thresholds) -> list[Builder[Panel]]:
    return [
        course(
            Metrics(
                quantile(0.95, CALL_TIME_TO_FIRST_TOKEN, *_awaited(thresholds), by=(REQUEST_MODEL,)),
                legend(REQUEST_MODEL),
                exemplars=True,
            ),
            title="First token p95 by model",
            description="How long the streamed answers of each model take to begin, at the p95. The dashed lines are "
            "the thresholds of the alerts.",
            unit=SECONDS,
            empty=_NO_STREAMS,
            limits=Limits.of(thresholds.latency.first_token),
        ),
        output_speed_by_model(),
        ranking(
            usage_by(STREAM_END, where=[known(STREAM_END)]),
            title="Ends of streams",
            description="How the streams of the time range ended. broken: by an error midway, the user saw half an "
            "answer. abandoned: the reader left midway. unread: nobody read it, and it was paid for. cancelled: by "
            "the application.",
            unit=COUNT,
            empty=_NO_STREAMS,
        ),
        rows(
            single(_LOST_STREAMS, _LOST_STREAM),
            title="Streams not completed",
            description="The latest of them; the trace shows what came before the end.",
            empty="Every stream was complete",
            columns=_LOST_STREAMS,
            sort_by="Time",
            width=24,
        ),
    ]


def _slow_starts() -> Builder[Panel]:
    return rows(
        single(_SLOW_STARTS, by=TIME_TO_FIRST_TOKEN),
        title="Slowest first tokens",
        description="The ten streams of the time range that took longest to begin; the trace shows whether they waited "
        "for us, for retries or for the provider.",
        empty=_NO_STREAMS,
        columns=_SLOW_STARTS,
        sort_by="First token",
    )


def _trends(thresholds: Thresholds) -> list[Builder[Panel]]:
    return [
        course(
            Metrics(
                f"avg_over_time({level.name}:genai_call_duration_seconds:p95_5m{{{SERVICE}}}[{STEP}:5m])",
                f"{{{{job}}}} · {legend(*level.attributes)}",
            ),
            title=f"p95 over 30 days, by {name}",
            description="The mean of the p95 of five minutes each, in steps of hours, whatever the time range of the "
            f"page. {advice} The dashed lines are the thresholds of the alerts for what people wait for.",
            unit=SECONDS,
            empty=NO_CALLS,
            width=12,
            last="30d",
            limits=Limits.of(thresholds.latency.p95),
        )
        for level, name, advice in (
            (baselines.OPERATIONS, "operation", "A slope is growth: of prompts, of answers, or of the load."),
            (_MODELS, "model", "A step is a change of the model, at us or at its provider."),
        )
    ]


def _awaited(thresholds: Thresholds) -> list[str]:
    """Selects the calls that the thresholds are for."""
    return [where(match.attribute, match.operator, match.value) for match in interactive(thresholds)]


def _measure(level: calls.Level, kind: str, *conditions: str) -> str:
    """Recorded by `stack.rules.baselines`: the p95 now, what is usual, and how far it is from that."""
    selected = ", ".join((SERVICE, 'measure="latency"', *conditions))
    return f"{level.name}:genai_measure:{kind}{{{selected}}}"
