"""What several pages show of model calls: their outcomes, shares of them, and tables of single ones."""

from collections.abc import Sequence
from typing import Final

from genai_observability.signals import (
    CALL_DURATION,
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
    Attribute,
)

from stack.dashboards.expressions import call_rows, rate, request_log, share, total, where
from stack.dashboards.sdk import Builder, Panel
from stack.dashboards.style import (
    COUNT,
    DOLLARS,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SECONDS,
    Column,
    Lines,
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
    part = total(rate(CALL_DURATION, condition, part="count"), attribute)
    whole = total(rate(CALL_DURATION, FINISHED, part="count"), attribute)
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


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
