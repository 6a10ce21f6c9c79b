"""The overview: is it all right now, what is wrong, what does it cost, which calls were it."""

from genai_observability.signals import (
    CALL_COST,
    CALL_DURATION,
    CALL_TOKENS,
    CALL_TOKENS_DETAIL,
    ERROR_TYPE,
    FEATURE,
    OUTCOME,
    PROVIDER,
    REQUEST_MODEL,
    TEAM,
    TOKEN_TYPE,
)

from stack.dashboards import latency, quality
from stack.dashboards.attention import needs_attention
from stack.dashboards.calls import (
    FAILED,
    FIRING,
    NO_CALLS,
    OUTCOME_COLOURS,
    UNSUCCESSFUL,
    active_users,
    dearest_calls,
    failed_calls,
    legend,
    share_by,
    share_of,
    slowest_calls,
    token_rates,
    unpriced_calls,
)
from stack.dashboards.expressions import (
    RANGE,
    SERVICE,
    STEP,
    increase,
    rate,
    top,
    total,
    where,
)
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.style import (
    CALLS_PER_SECOND,
    COUNT,
    DOLLARS,
    GREEN,
    RED,
    SHARE,
    Column,
    Limits,
    Link,
    Metrics,
    course,
    figure,
    parts,
    ranking,
    rows,
)
from stack.thresholds import Thresholds


def dashboard(thresholds: Thresholds) -> Dashboard:
    """The page; the alerts' thresholds colour its numbers."""
    return page(
        uid="genai-overview",
        title="GenAI overview",
        description="The first page to open: from top to bottom it says whether anything is wrong now, where, who and "
        "what causes the cost, how good the answers are, and which single calls to look at.",
        source="stack/dashboards/overview.py",
        rows=[
            Row("Is it all right now?", _now(thresholds)),
            Row("Traffic and speed", _traffic(thresholds)),
            Row("What is wrong?", _trouble(thresholds)),
            Row("Who and what costs?", _cost()),
            Row("How good are the answers?", _quality(thresholds)),
            Row("Which calls?", [slowest_calls(), dearest_calls()]),
        ],
    )


def _now(thresholds: Thresholds) -> list[Builder[Panel]]:
    failures = Limits.of(thresholds.error_ratio)
    return [
        figure(
            Metrics(_calls_per_second(), "now"),
            Metrics(f"{_calls_per_second(ago='1w')} or vector(0)", "a week before"),
            title="Calls a second",
            description="Model calls a second, every outcome included, and those at the same time a week before. A "
            "sudden drop to nothing is as bad as errors: the application may not reach its provider, or its users "
            "not the application.",
            unit=CALLS_PER_SECOND,
            empty=NO_CALLS,
        ),
        figure(
            Metrics(share_of(FAILED)),
            title="Failed",
            description="Share of calls that ended in an error or a timeout, of those that were not cancelled. "
            "Orange and red from the thresholds of the alerts on. Next: Failures by type, then Failed calls below.",
            unit=SHARE,
            empty=NO_CALLS,
            limits=failures,
            decimals=1,
        ),
        latency.answered_within(thresholds, "p95", "Next: the latency page."),
        latency.first_token_within(thresholds),
        figure(
            Metrics(f"{total(increase(CALL_COST, window='1d'))} or vector(0)", "last 24 h", instant=True),
            Metrics(f"{total(increase(CALL_COST, window='1d', ago='1d'))} or vector(0)", "day before", instant=True),
            title="Cost today",
            description="Money spent on priced calls in the last 24 hours, and in the 24 hours before them, whatever "
            "the time range of the page. Calls without a known price are missing: see Calls without a price.",
            unit=DOLLARS,
            empty="No priced calls",
            decimals=2,
        ),
        active_users(),
        figure(
            Metrics(f"count({FIRING}) or vector(0)", instant=True),
            title="Firing alerts",
            description="Alerts that are firing now, on the applications and on the stack itself. "
            "Next: the table of alerts below.",
            unit=COUNT,
            empty="No alert rules are loaded",
            limits=Limits(warning=1, critical=3),
        ),
        figure(
            Metrics(f"max(job:genai_slo_burn_rate:ratio1h{{{SERVICE}}})"),
            title="Burn rate",
            description="How many times faster than allowed the objective that is worst off used up its error budget "
            "in the last hour: at 1 the budget lasts exactly its 30 days, from 14.4 on somebody is paged.",
            unit="suffix: ×",
            empty="No calls in the last hour, or no objectives: see stack/slos.yaml",
            limits=Limits(warning=1, critical=14.4),
            decimals=1,
            link=Link("Objectives", to="genai-slo"),
        ),
        needs_attention(width=10),
        rows(
            Metrics(_alerts()),
            title="Alerts in this time range",
            description="Every alert that fired within the time range, and whether it still does. "
            "The message of an alert in the inbox links to its runbook.",
            empty="No alert fired in this time range",
            columns=[
                Column("Value", "State", colours={"1": ("firing", RED), "0": ("resolved", GREEN)}),
                Column("alertname", "Alert"),
                Column("severity", "Severity"),
                Column("service", "Service"),
            ],
            sort_by="State",
            width=8,
            height=8,
        ),
        ranking(
            Metrics(share_by(PROVIDER, UNSUCCESSFUL), legend(PROVIDER), instant=True),
            title="Providers",
            description="Share of the calls to each provider that ended in an error, a timeout or a refusal, just now. "
            "Green is well. One provider alone: look at its status page, and fall back to another.",
            unit=SHARE,
            empty=NO_CALLS,
            limits=failures,
            largest=1,
            width=6,
            link=Link("Errors", to="genai-errors", choosing={"provider": PROVIDER}),
        ),
    ]


def _traffic(thresholds: Thresholds) -> list[Builder[Panel]]:
    return [
        course(
            Metrics(total(rate(CALL_DURATION, part="count"), OUTCOME), legend(OUTCOME)),
            title="Calls by outcome",
            description="Model calls a second. Everything that is not green did not give the user an answer; grey "
            "was cancelled by the application or the user.",
            unit=CALLS_PER_SECOND,
            empty=NO_CALLS,
            stacked=True,
            colours=OUTCOME_COLOURS,
        ),
        latency.durations(thresholds),
        latency.first_tokens(thresholds),
    ]


def _trouble(thresholds: Thresholds) -> list[Builder[Panel]]:
    failed = increase(CALL_DURATION, UNSUCCESSFUL, part="count")
    by_feature = share_by(FEATURE, UNSUCCESSFUL)
    return [
        ranking(
            Metrics(top(total(failed, OUTCOME, ERROR_TYPE)), legend(OUTCOME, ERROR_TYPE), instant=True),
            title="Failures by type",
            description="Number of calls without an answer, by outcome and class of the error. One type at one model "
            "points at the provider; one feature alone at the application.",
            unit=COUNT,
            empty="Nothing failed in this time range",
            width=12,
            colour=RED,
        ),
        course(
            Metrics(by_feature, legend(FEATURE)),
            title="Failed and refused, by feature",
            description="Share of each feature's calls that ended in an error, a timeout or a refusal. All features "
            "together: provider or network. One alone: its last change.",
            unit=SHARE,
            empty=NO_CALLS,
            width=12,
            limits=Limits.of(thresholds.error_ratio),
        ),
        failed_calls(),
    ]


def _cost() -> list[Builder[Panel]]:
    return [
        course(
            Metrics(total(increase(CALL_COST, window=STEP), REQUEST_MODEL), legend(REQUEST_MODEL)),
            title="Cost by model, over time",
            description="Money spent in the time that each bar stands for. The sum of all bars is the cost of the "
            "time range.",
            unit=DOLLARS,
            empty="No priced calls in this time range",
            width=12,
            stacked=True,
            bars=True,
        ),
        token_rates(),
        *(
            ranking(
                Metrics(top(total(increase(CALL_COST), attribute)), legend(attribute), instant=True),
                title=f"Cost by {name}",
                description=f"Money spent on priced calls in the time range, by {name}. {advice}",
                unit=DOLLARS,
                empty="No priced calls in this time range",
            )
            for attribute, name, advice in (
                (FEATURE, "feature", "`none` stands for calls without a feature: attribute them in the application."),
                (TEAM, "team", "`none` stands for calls without a team."),
                (REQUEST_MODEL, "model", "The cheapest saving is a smaller model for the most expensive feature."),
            )
        ),
        parts(
            Metrics(
                top(total(increase(CALL_DURATION, part="count"), REQUEST_MODEL)),
                legend(REQUEST_MODEL),
                instant=True,
            ),
            title="Calls by model",
            description="Which models the calls of the time range went to. A shift nobody planned changes cost, speed "
            "and quality at once.",
            unit=COUNT,
            empty=NO_CALLS,
        ),
        figure(
            Metrics(_tokens("input"), "input", instant=True),
            Metrics(_detail("cached"), "of which cached", instant=True),
            Metrics(_tokens("output"), "output", instant=True),
            Metrics(_detail("reasoning"), "of which reasoning", instant=True),
            title="Tokens",
            description="Tokens of the time range. Cached tokens are part of the input and cheaper; reasoning tokens "
            "are part of the output and paid like it.",
            unit=COUNT,
            empty="No tokens in this time range",
            width=8,
            height=8,
        ),
        unpriced_calls(),
    ]


def _quality(thresholds: Thresholds) -> list[Builder[Panel]]:
    return [
        quality.score_by_evaluation(thresholds),
        quality.scores_over_time(thresholds),
        latency.output_speed_by_model(),
    ]


def _calls_per_second(*, ago: str = "") -> str:
    return total(rate(CALL_DURATION, part="count", ago=ago))


def _alerts() -> str:
    """1 for what fires, 0 for what fired within the time range. ALERTS are Prometheus' and, by the inbox, Loki's."""
    by = "by (alertname, severity, service)"
    return f"max {by} ({FIRING}) or 0 * max {by} (max_over_time({FIRING}[{RANGE}]))"


def _tokens(kind: str) -> str:
    return total(increase(CALL_TOKENS, where(TOKEN_TYPE, "=", kind), part="sum"))


def _detail(kind: str) -> str:
    return f"{total(increase(CALL_TOKENS_DETAIL, where(TOKEN_TYPE, '=', kind)))} or vector(0)"
