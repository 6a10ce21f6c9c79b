"""Errors and reliability: what fails, whose fault it is, and what keeps it from the users."""

from typing import Final

from genai_observability.signals import (
    BREAKER_NAME,
    BREAKER_STATE,
    BREAKERS,
    CALL_DURATION,
    CALL_PHASES,
    CALL_RETRIES,
    CALLS_IN_FLIGHT,
    ERROR_TYPE,
    FALLBACK_FROM_MODEL,
    FALLBACK_REASON,
    FALLBACK_TO_MODEL,
    FALLBACKS,
    FEATURE,
    FINISH_REASONS,
    OUTCOME,
    PHASE,
    PROVIDER,
    QUEUE_DEPTH,
    QUEUE_NAME,
    REFUSED,
    REQUEST_MODEL,
    Attribute,
)

from stack.clients.logs import SERVICE, SEVERITY
from stack.clients.loki import label
from stack.dashboards import error_lines
from stack.dashboards.calls import (
    FAILED,
    FINISHED,
    NO_CALLS,
    OUTCOME_COLOURS,
    RATE_LIMITED,
    TRACE,
    UNSUCCESSFUL,
    failed_calls,
    legend,
    share_by,
    share_of,
)
from stack.dashboards.expressions import (
    STEP,
    increase,
    quantile,
    rate,
    recorded,
    series,
    share,
    top,
    total,
    where,
)
from stack.dashboards.page import Row, page
from stack.dashboards.providers import AT_PROVIDER, NOT_AT_PROVIDER, providers
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.sql import column, known, usage_by, users
from stack.dashboards.style import (
    COUNT,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SECONDS,
    SHARE,
    Column,
    Limits,
    Lines,
    Link,
    Metrics,
    course,
    figure,
    ranking,
    rows,
)
from stack.thresholds import Thresholds

_NOTHING_FAILED: Final = "Nothing failed in this time range"
_NO_RETRIES: Final = "No calls with retries in this time range"
_RETRIES: Final = "suffix: a call"
_OPEN: Final = where(BREAKER_STATE, "=", "open")
_STATES: Final = {"open": ("open", RED), "half_open": ("half open", ORANGE), "closed": ("closed", GREEN)}
_WITHOUT_ANSWER: Final = {name: colour for name, colour in OUTCOME_COLOURS.items() if name != "success"}


def dashboard(thresholds: Thresholds) -> Dashboard:
    """The page; the alerts' thresholds colour its numbers."""
    return page(
        uid="genai-errors",
        title="GenAI errors and reliability",
        description="What fails and whose fault it is, where it fails, what retries, fallbacks and circuit breakers do "
        "against it, and which calls it were.",
        source="stack/dashboards/errors.py",
        rows=[
            Row("What fails, and whose fault is it?", [*_figures(thresholds), *_faults(thresholds)]),
            Row("Where does it fail?", _where(thresholds)),
            Row("What is done against it?", _remedies(thresholds)),
            Row("Which calls, and what did the application say?", [failed_calls(), _lines(), *_ends()]),
            Row("How did it develop?", [_days(thresholds)]),
        ],
    )


def _figures(thresholds: Thresholds) -> list[Builder[Panel]]:
    finished = rate(CALL_DURATION, FINISHED, part="count")
    return [
        figure(
            Metrics(share_of(FAILED)),
            title="Failed",
            description="Share of calls that ended in an error or a timeout, after the client's own retries, of those "
            "that were not cancelled. Orange and red from the thresholds of the alerts on. Next: Whose fault.",
            unit=SHARE,
            empty=NO_CALLS,
            limits=Limits.of(thresholds.error_ratio),
            decimals=1,
        ),
        figure(
            Metrics(share_of(RATE_LIMITED)),
            title="Rate limited",
            description="Share of calls that the provider refused because of its rate limit. Next: spread the load, "
            "ask for a higher limit, or move a feature to another model.",
            unit=SHARE,
            empty=NO_CALLS,
            limits=Limits.of(thresholds.rate_limited),
            decimals=1,
        ),
        figure(
            Metrics(share_of(where(OUTCOME, "=", "timeout"))),
            title="Timed out",
            description="Share of calls without an answer in the time that the application waits for one; part of the "
            "failed ones. Either the provider is slow, or the time too short: compare with the latency.",
            unit=SHARE,
            empty=NO_CALLS,
            limits=Limits.of(thresholds.error_ratio),
            decimals=1,
            link=Link("Latency", to="genai-latency"),
        ),
        figure(
            users("nullif(count(*), 0) AS users", "failed > 0"),
            title="Users affected",
            description="Different users with at least one call without an answer in the time range. Few users with "
            "many failures point at what these users do; many users at the service.",
            unit=COUNT,
            empty="None",
        ),
        figure(
            Metrics(share(rate(CALL_RETRIES), rate(CALL_DURATION, part="count"))),
            title="Retries",
            description="Further attempts of the client library for each call. They hide trouble of the provider for "
            "a while, and add to its load. Orange and red from the thresholds of the alerts on.",
            unit=_RETRIES,
            empty=NO_CALLS,
            limits=Limits.of(thresholds.retry_storm),
            decimals=2,
        ),
        figure(
            Metrics(share(rate(FALLBACKS), finished)),
            title="Fallbacks",
            description="Calls that went to another model or provider than was meant, as a share of all calls: "
            "answers at another price and of another quality. Orange and red from the thresholds of the alerts on.",
            unit=SHARE,
            empty=NO_CALLS,
            limits=Limits.of(thresholds.fallback_storm),
            decimals=1,
        ),
        figure(
            Metrics(f"count(max by ({BREAKER_NAME.label}) ({series(BREAKERS, _OPEN)}) == 1) or vector(0)"),
            title="Open breakers",
            description="Circuit breakers that are open in at least one process: what they protect is not called at "
            "all. Red from the first one. Next: Circuit breakers below.",
            unit=COUNT,
            empty="No circuit breakers",
            limits=Limits(critical=1),
        ),
        figure(
            Metrics(f"max(sum by ({QUEUE_NAME.label}) ({series(QUEUE_DEPTH)}))"),
            title="Waiting in a queue",
            description="What waits in the longest queue of the application. It grows when answers come more slowly "
            "than questions. Orange and red from the thresholds of the alerts on.",
            unit=COUNT,
            empty="No queues are reported",
            limits=Limits.of(thresholds.queue_depth),
        ),
    ]


def _faults(thresholds: Thresholds) -> list[Builder[Panel]]:
    def counted(fault: str, *conditions: str) -> str:
        grown = increase(CALL_DURATION, *conditions, part="count", window=STEP)
        return f'label_replace(sum({grown}), "fault", "{fault}", "", "")'

    faults = (
        counted("provider", FAILED, AT_PROVIDER),
        counted("rate limit", RATE_LIMITED),
        counted("request", FAILED, NOT_AT_PROVIDER),
    )
    failed = increase(CALL_DURATION, UNSUCCESSFUL, part="count")
    unanswered = where(OUTCOME, "!=", "success")
    return [
        providers(thresholds),
        ranking(
            Metrics(top(total(failed, OUTCOME, ERROR_TYPE)), legend(OUTCOME, ERROR_TYPE), instant=True),
            title="Failures by type",
            description="Number of calls without an answer, by outcome and class of the error. One type at one model "
            "points at the provider; one feature alone at the application.",
            unit=COUNT,
            empty=_NOTHING_FAILED,
            width=12,
            colour=RED,
        ),
        course(
            Metrics("\nor ".join(faults), "{{fault}}"),
            title="Whose fault",
            description="Calls without an answer, in the time that each bar stands for. provider: server errors, "
            "timeouts and broken connections; wait, or use another one. rate limit: more was asked than was bought. "
            "request: the provider rejects what it is sent; a key, a parameter or a prompt of ours is wrong.",
            unit=COUNT,
            empty=_NOTHING_FAILED,
            stacked=True,
            bars=True,
            colours={"provider": RED, "rate limit": PURPLE, "request": ORANGE},
        ),
        course(
            Metrics(total(increase(CALL_DURATION, unanswered, part="count", window=STEP), OUTCOME), legend(OUTCOME)),
            title="Calls without an answer",
            description="In the time that each bar stands for, by outcome. Cancelled ones ended by the application or "
            "its user are no failures; many of them mean that people do not wait.",
            unit=COUNT,
            empty=_NOTHING_FAILED,
            stacked=True,
            bars=True,
            colours=_WITHOUT_ANSWER,
        ),
        course(
            Metrics(quantile(0.5, CALL_DURATION, UNSUCCESSFUL, by=(OUTCOME,)), legend(OUTCOME), exemplars=True),
            title="Time until calls failed",
            description="Half of the calls without an answer ended within this time, by outcome. Milliseconds are a "
            "refusal; the longest a client waits is a provider that hangs. A point marked as exemplar opens the trace "
            "of that call.",
            unit=SECONDS,
            empty=_NOTHING_FAILED,
            colours=_WITHOUT_ANSWER,
        ),
    ]


def _where(thresholds: Thresholds) -> list[Builder[Panel]]:
    return [
        course(
            Metrics(share_by(attribute, UNSUCCESSFUL), legend(attribute)),
            title=f"Failed and refused, by {name}",
            description=f"Share of the calls of each {name} that ended in an error, a timeout or a refusal. {advice} "
            "The dashed lines are the thresholds of the alerts on errors.",
            unit=SHARE,
            empty=NO_CALLS,
            limits=Limits.of(thresholds.error_ratio),
            link=Link(f"Latency of this {name}", to="genai-latency", choosing={name: attribute}),
        )
        for attribute, name, advice in (
            (PROVIDER, "provider", "One provider: it is down or refuses us."),
            (REQUEST_MODEL, "model", "One model: it is overloaded, or was switched off."),
            (FEATURE, "feature", "One feature alone: its last change."),
        )
    ]


def _remedies(thresholds: Thresholds) -> list[Builder[Panel]]:
    retrying = total(rate(CALL_PHASES, where(PHASE, "=", "retrying")), PROVIDER)
    changed = total(increase(FALLBACKS), FALLBACK_FROM_MODEL, FALLBACK_TO_MODEL, FALLBACK_REASON)
    return [
        course(
            Metrics(f"{total(rate(CALL_RETRIES), REQUEST_MODEL)} / {_calls_by(REQUEST_MODEL)}", legend(REQUEST_MODEL)),
            title="Retries by model",
            description="Further attempts of the client library for each call. Calls still succeed, later. The dashed "
            "lines are the thresholds of the alerts.",
            unit=_RETRIES,
            empty=_NO_RETRIES,
            limits=Limits.of(thresholds.retry_storm),
        ),
        course(
            Metrics(f"{retrying} / {_calls_by(PROVIDER)}", legend(PROVIDER)),
            title="Time lost to retries",
            description="Mean seconds that each call spends on refused attempts and on waiting for the next one: what "
            "retries cost the users. Fewer retries, or a fallback, may serve them better.",
            unit=SECONDS,
            empty=_NO_RETRIES,
        ),
        ranking(
            Metrics(
                top(changed),
                f"{{{{{FALLBACK_FROM_MODEL.label}}}}} → {{{{{FALLBACK_TO_MODEL.label}}}}} ({legend(FALLBACK_REASON)})",
                instant=True,
            ),
            title="Fallbacks",
            description="Calls that went to another model than was meant, from which to which and why. They keep the "
            "service up; look at their cost and quality if they stay.",
            unit=COUNT,
            empty="No call went to another model than was meant",
            colour=ORANGE,
            link=Link("Cost", to="genai-cost"),
        ),
        rows(
            Metrics(f"max by (job, {BREAKER_NAME.label}, {BREAKER_STATE.label}) ({series(BREAKERS)}) == 1"),
            title="Circuit breakers",
            description="The state of each now. open: nothing is called, errors or substitutes come at once. half "
            "open: some calls find out whether it may close. Processes of one service can differ.",
            empty="No circuit breakers are reported: call genai_observability.circuit_breaker()",
            columns=[
                Column(BREAKER_STATE.label, "State", colours=_STATES),
                Column(BREAKER_NAME.label, "Breaker"),
                Column("job", "Service"),
            ],
            sort_by="State",
            width=8,
            height=8,
        ),
        course(
            Metrics(total(series(QUEUE_DEPTH), QUEUE_NAME), legend(QUEUE_NAME)),
            title="Queues",
            description="What waits in each queue of the application. A queue that never empties needs more workers, "
            "or a higher rate limit. The dashed lines are the thresholds of the alerts.",
            unit=COUNT,
            empty="No queues are reported: call genai_observability.queue_depth()",
            limits=Limits.of(thresholds.queue_depth),
        ),
        course(
            Metrics(total(series(CALLS_IN_FLIGHT), REQUEST_MODEL), legend(REQUEST_MODEL)),
            title="Calls in flight",
            description="Calls that have begun and not ended. When they pile up while none ends, the provider hangs, "
            "before any error says so.",
            unit=COUNT,
            empty=NO_CALLS,
        ),
    ]


def _ends() -> list[Builder[Panel]]:
    return [
        ranking(
            usage_by(FINISH_REASONS, where=[known(FINISH_REASONS)]),
            title="Finish reasons",
            description="Why answers ended. stop: the model was done. length: it was cut off, raise the limit of "
            "output tokens. content_filter: what was asked or answered is not allowed. tool_calls: it wants a tool.",
            unit=COUNT,
            empty="No answers in this time range",
            width=12,
        ),
        ranking(
            usage_by(FEATURE, REQUEST_MODEL, where=[column(REFUSED)]),
            title="Declined answers",
            description="Answers that the model declined, or a content filter ended, by feature and model. To the "
            "metrics they are successes; to the user they are not. Many after a new prompt: the prompt.",
            unit=COUNT,
            empty="No answer was declined in this time range",
            width=12,
            colour=ORANGE,
        ),
    ]


def _lines() -> Builder[Panel]:
    return rows(
        Lines(error_lines.expr(), error_lines.MOST),
        title="Errors in the application's log",
        description=f"The latest {error_lines.MOST} lines of the level ERROR or worse that the application itself "
        "logged, from the log store. A line that was logged inside of a request leads to its trace.",
        empty="No such line: an application sends its log with instrument(logs=True)",
        columns=[
            Column(error_lines.TIME, "Time (UTC)"),
            Column(label(SERVICE), "Service"),
            Column(label(SEVERITY), "Level"),
            Column(error_lines.MESSAGE, "Message"),
            TRACE,
        ],
        sort_by="Time (UTC)",
        most=error_lines.MOST,
        width=24,
    )


def _days(thresholds: Thresholds) -> Builder[Panel]:
    finished = recorded(CALL_DURATION, FINISHED, part="count", window="1d")
    return course(
        *(
            Metrics(share(recorded(CALL_DURATION, condition, part="count", window="1d"), finished), name)
            for name, condition in (("failed", FAILED), ("rate limited", RATE_LIMITED))
        ),
        title="Failed and refused, by day",
        description="Shares of the calls of each of the last 30 days, whatever the time range of the page. The dashed "
        "lines are the thresholds of the alerts on errors. A step is a release, of ours or of the provider.",
        unit=SHARE,
        empty="No calls within 30 days",
        width=24,
        stacked=True,
        bars=True,
        last="30d",
        limits=Limits.of(thresholds.error_ratio),
        colours={"failed": RED, "rate limited": PURPLE},
        link=Link("Objectives", to="genai-slo"),
    )


def _calls_by(attribute: Attribute) -> str:
    return f"({total(rate(CALL_DURATION, part='count'), attribute)} > 0)"
