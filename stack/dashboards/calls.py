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
    Attribute,
)

from stack.dashboards.expressions import increase, rate, share, shares, top, total, where
from stack.dashboards.sdk import Builder, Panel
from stack.dashboards.sql import Sql, among, column, records, users
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
    Link,
    Metrics,
    course,
    figure,
    ranking,
    rows,
)
from stack.usage.columns import CALLS, Table

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

WITHOUT_ANSWER: Final = among(OUTCOME, "error", "timeout", "rate_limited")
"""The same as UNSUCCESSFUL, in SQL."""


def of(attribute: Attribute, title: str, unit: str = "", *, table: Table = CALLS) -> Column:
    """A column of a table whose rows come from the warehouse."""
    return Column(column(attribute, table), title, unit)


TIME: Final = Column(CALLS.time, "Time")
ABOUT: Final = (of(FEATURE, "Feature"), of(REQUEST_MODEL, "Model"))
"""What a call was for, and which model it asked."""
WHO: Final = (TIME, *ABOUT)
TRACE: Final = Column("trace_id", "Trace", links_to_trace=True)
ENDED: Final = of(OUTCOME, "Outcome")

_FAILED: Final = (
    *WHO,
    of(TEAM, "Team"),
    ENDED,
    of(ERROR_TYPE, "Error"),
    of(ERROR_MESSAGE, "Message"),
    TRACE,
)
_SLOWEST: Final = (of(DURATION, "Duration", SECONDS), *WHO, ENDED, TRACE)
_DEAREST: Final = (
    of(COST, "Cost", DOLLARS),
    *WHO,
    of(INPUT_TOKENS, "Tokens in", COUNT),
    of(OUTPUT_TOKENS, "Tokens out", COUNT),
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


def single(
    columns: Sequence[Column], *where: str, by: Attribute | None = None, most: int = 10, table: Table = CALLS
) -> Sql:
    """Records with what the columns of a table show of them: the latest, or those with most of something."""
    fields = [each.field for each in columns]
    return records(fields, *where, by=column(by, table) if by else "", most=most, table=table)


def slowest_calls(width: int = 12) -> Builder[Panel]:
    """A table."""
    return rows(
        single(_SLOWEST, by=DURATION),
        title="Slowest calls",
        description="The ten slowest of all calls in the time range; the trace shows where the time went.",
        empty=NO_CALLS,
        columns=_SLOWEST,
        sort_by="Duration",
        width=width,
    )


def dearest_calls(width: int = 12) -> Builder[Panel]:
    """A table."""
    return rows(
        single(_DEAREST, by=COST),
        title="Dearest calls",
        description="The ten dearest of all priced calls in the time range: usually long prompts, or long answers of "
        "a large model.",
        empty="No priced calls in this time range",
        columns=_DEAREST,
        sort_by="Cost",
        width=width,
    )


def failed_calls(width: int = 24) -> Builder[Panel]:
    """A table."""
    return rows(
        single(_FAILED, WITHOUT_ANSWER),
        title="Failed calls",
        description="The latest calls without an answer; the trace id opens the trace.",
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


def active_users(width: int = 3) -> Builder[Panel]:
    """A figure."""
    return figure(
        users("nullif(count(*), 0) AS users"),
        title="Active users",
        description="Different users with at least one call in the time range, each counted once, however many they "
        "are. A user is known by a hash only.",
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
