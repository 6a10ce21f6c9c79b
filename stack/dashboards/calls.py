"""What several pages show of model calls: their outcomes, shares of them, and tables of single ones."""

from collections.abc import Sequence
from typing import Final

from genai_observability.signals import (
    CALL_DURATION,
    CALL_TOKENS,
    CALLS_UNPRICED,
    COST,
    DURATION,
    ERROR_MESSAGE,
    ERROR_TYPE,
    FEATURE,
    INPUT_TOKENS,
    OUTCOME,
    OUTPUT_TOKENS,
    REQUEST_MODEL,
    TEAM,
    TOKEN_TYPE,
    UNPRICED,
    USER_HASH,
    Attribute,
)

from stack.dashboards.expressions import RANGE, call_rows, increase, rate, request_log, share, shares, top, total, where
from stack.dashboards.sdk import Builder, Panel
from stack.dashboards.style import (
    BLUE,
    COUNT,
    DOLLARS,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SECONDS,
    TOKENS_PER_SECOND,
    Column,
    Lines,
    Link,
    Logs,
    Metrics,
    course,
    figure,
    ranking,
    rows,
)

FINISHED: Final = where(OUTCOME, "!=", "cancelled")
FAILED: Final = where(OUTCOME, "=~", "error|timeout")
RATE_LIMITED: Final = where(OUTCOME, "=", "rate_limited")
SUCCEEDED: Final = where(OUTCOME, "=", "success")
UNSUCCESSFUL: Final = where(OUTCOME, "=~", "error|timeout|rate_limited")

OUTCOME_COLOURS: Final = {
    "success": GREEN,
    "error": RED,
    "timeout": ORANGE,
    "rate_limited": PURPLE,
    "cancelled": GREY,
}

FIRING: Final = 'ALERTS{alertstate="firing",alertname!="GenAIWatchdog"}'
"""Prometheus' own series of its alerts, without the dead man's switch, which always fires."""

NO_CALLS: Final = "No calls in this time range"

LATEST: Final = 1000
"""Records that a table looks at: Loki gives the newest ones, in no other order."""

TIME: Final = Column("time", "Time (UTC)")
WHO: Final = (TIME, Column(FEATURE.label, "Feature"), Column(REQUEST_MODEL.label, "Model"))
TRACE: Final = Column("trace_id", "Trace", links_to_trace=True)
ENDED: Final = Column(OUTCOME.label, "Outcome")

_FAILED: Final = (
    *WHO,
    Column(TEAM.label, "Team"),
    ENDED,
    Column(ERROR_TYPE.label, "Error"),
    Column(ERROR_MESSAGE.label, "Message"),
    TRACE,
)
_SLOWEST: Final = (Column(DURATION.label, "Duration", SECONDS), *WHO, ENDED, TRACE)
_DEAREST: Final = (
    Column(COST.label, "Cost", DOLLARS),
    *WHO,
    Column(INPUT_TOKENS.label, "Tokens in", COUNT),
    Column(OUTPUT_TOKENS.label, "Tokens out", COUNT),
    TRACE,
)


def legend(*attributes: Attribute) -> str:
    """The values of labels as the name of a series."""
    return " · ".join(f"{{{{{attribute.label}}}}}" for attribute in attributes)


def share_of(condition: str) -> str:
    """The share of the calls that a condition is true of, among those that were not cancelled."""
    return share(
        rate(CALL_DURATION, condition, part="count"),
        rate(CALL_DURATION, FINISHED, part="count"),
    )


def share_by(attribute: Attribute, condition: str) -> str:
    """The same by an attribute; 0 for the groups that have none, so that their lines are there."""
    return shares(
        total(rate(CALL_DURATION, condition, part="count"), attribute),
        total(rate(CALL_DURATION, FINISHED, part="count"), attribute),
    )


def lines(records: str, columns: Sequence[Column], *, newest: int = LATEST) -> Lines:
    """The newest records, with what the columns of a table show of them."""
    return Lines(call_rows(records, *(column.field for column in columns)), newest)


def slowest_calls(width: int = 12) -> Builder[Panel]:
    """A table."""
    return rows(
        lines(request_log(), _SLOWEST),
        title="Slowest calls",
        description="The slowest of the latest 1,000 calls of the time range, from the request log; the trace "
        "shows where the time went.",
        empty=NO_CALLS,
        columns=_SLOWEST,
        sort_by="Duration",
        width=width,
    )


def dearest_calls(width: int = 12) -> Builder[Panel]:
    """A table."""
    return rows(
        lines(request_log(where(COST, "!=", "")), _DEAREST),
        title="Dearest calls",
        description="The dearest of the latest 1,000 priced calls of the time range, from the request log: "
        "usually long prompts, or long answers of a large model.",
        empty="No priced calls in this time range",
        columns=_DEAREST,
        sort_by="Cost",
        width=width,
    )


def failed_calls(width: int = 24) -> Builder[Panel]:
    """A table."""
    return rows(
        lines(request_log(UNSUCCESSFUL), _FAILED, newest=10),
        title="Failed calls",
        description="The latest calls without an answer, from the request log; the trace id opens the trace.",
        empty="Nothing failed in this time range",
        columns=_FAILED,
        sort_by=TIME.title,
        width=width,
    )


def unpriced_calls(width: int = 8) -> Builder[Panel]:
    """A ranking."""
    return ranking(
        Metrics(
            top(total(increase(CALLS_UNPRICED), REQUEST_MODEL, UNPRICED)),
            legend(REQUEST_MODEL, UNPRICED),
            instant=True,
        ),
        title="Calls without a price",
        description="Calls whose cost is not known and therefore missing from every sum of money. unknown_model: no "
        "price table has it, add its price. no_usage: the answer reported no tokens; streams need include_usage.",
        unit=COUNT,
        empty="Every call has a price",
        width=width,
        colour=ORANGE,
    )


def users(*conditions: str) -> str:
    """The number of different users with a call that the conditions are true of."""
    known = request_log(where(USER_HASH, "!=", ""), *conditions)
    # Summed by user before it is counted: else Loki would hold a series for each call.
    return f"count(sum by ({USER_HASH.label}) (count_over_time({known} [{RANGE}])))"


def active_users(width: int = 3) -> Builder[Panel]:
    """A figure."""
    return figure(
        Logs(users()),
        title="Active users",
        description="Different users with at least one call in the time range, counted one by one in the request log: "
        "up to 100,000 of them, and the longer the range, the slower. A user is known by a hash only.",
        unit=COUNT,
        empty="No calls with a user",
        width=width,
        link=Link("Users", to="genai-users"),
    )


def token_rates(width: int = 12) -> Builder[Panel]:
    """A course."""
    return course(
        Metrics(total(rate(CALL_TOKENS, part="sum"), TOKEN_TYPE), legend(TOKEN_TYPE)),
        title="Tokens, in and out",
        description="Tokens a second. Input grows with prompts and retrieved documents, output with answers; a "
        "token of output usually costs several times one of input.",
        unit=TOKENS_PER_SECOND,
        empty="No tokens in this time range",
        width=width,
        stacked=True,
        colours={"input": BLUE, "output": PURPLE},
        link=Link("Tokens and quota", to="genai-tokens"),
    )
