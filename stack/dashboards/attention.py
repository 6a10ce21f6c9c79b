"""The table of what changed most: this time range against the one before it, feature by feature."""

from collections.abc import Iterator, Sequence
from typing import Final

from genai_observability.signals import (
    CALL_COST,
    CALL_DURATION,
    CALL_TOKENS,
    EVALUATIONS,
    FEATURE,
    Attribute,
    Metric,
    Part,
)

from stack.dashboards.calls import FINISHED, SUCCEEDED, UNSUCCESSFUL
from stack.dashboards.expressions import RANGE, increase, total
from stack.dashboards.sdk import Builder, Panel
from stack.dashboards.style import Column, Link, Metrics, rows

_WORSE: Final = 1.3
"""From how many times on a change is shown: traffic alone moves by less."""
_LEAST_CALLS: Final = 20
"""In each of the two time ranges; the shares, times and scores of fewer are chance."""

_WHAT: Final = Attribute(name="what", type="string", bounded=True, meaning="What changed, and how")
_PAGE: Final = Attribute(name="page", type="string", bounded=True, meaning="Uid of the page that says why")
_TO: Final = '${__data.fields["page"]}'
"""What the table's column of that name says, which it does not show."""


def needs_attention(width: int) -> Builder[Panel]:
    """The table. Every change is written as how many times worse it is, so that a rise and a fall can be compared."""
    calls = _finished()
    changes = "\nor ".join(_labelled(what, page, worse) for what, page, worse in _changes(calls))
    enough = "".join(f"\nand on ({FEATURE.label}) ({each} > {_LEAST_CALLS})" for each in calls)
    return rows(
        Metrics(f"topk(10, (\n{changes}\n){enough})"),
        title="Needs attention",
        description="What changed most since the time range before this one, by feature: 2 × for a cost that doubled "
        f"or a score that halved. Changes of less than {_WORSE:.15g} × and of fewer than {_LEAST_CALLS} calls are left "
        "out. Click on what changed: the page opens for that feature.",
        empty="Nothing changed much since the time range before this one, or there is none to compare with",
        columns=[
            Column("Value", "Worse", unit="suffix: ×"),
            Column(_WHAT.label, "What", link=Link("Why?", to=_TO, choosing={"feature": FEATURE})),
            Column(FEATURE.label, "Feature"),
        ],
        sort_by="Worse",
        width=width,
        height=8,
    )


def _finished() -> list[str]:
    """The calls of each feature, now and before."""
    return [total(increase(CALL_DURATION, FINISHED, part="count", ago=ago), FEATURE) for ago in _TIMES]


def _changes(calls: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """What changed, the page to look at, and how many times worse it is."""

    def compared(now: str, before: str, least: float) -> str:
        """The smallest value that counts as one keeps a rise from nothing finite."""
        return f"clamp_min({now}, {least:.15g}) / clamp_min({before}, {least:.15g}) > {_WORSE:.15g}"

    cost = [total(increase(CALL_COST, ago=ago), FEATURE) for ago in _TIMES]
    yield "Cost rose", "genai-cost", compared(cost[0], cost[1], 0.01)
    tokens = [total(increase(CALL_TOKENS, part="sum", ago=ago), FEATURE) for ago in _TIMES]
    yield "Tokens rose", "genai-tokens", compared(tokens[0], tokens[1], 1)
    failed = [total(increase(CALL_DURATION, UNSUCCESSFUL, part="count", ago=ago), FEATURE) for ago in _TIMES]
    shares = [f"({part} / {whole})" for part, whole in zip(failed, calls, strict=True)]
    shares[1] = f"({shares[1]} or 0 * {calls[1]})"  # nothing failed before
    yield "Failures rose", "genai-errors", compared(shares[0], shares[1], 0.02)
    slow = [_mean(CALL_DURATION, SUCCEEDED, ago=ago) for ago in _TIMES]  # a quantile over a month takes too long here
    yield "Latency rose", "genai-latency", compared(slow[0], slow[1], 0.1)
    scores = [_mean(EVALUATIONS, ago=ago) for ago in _TIMES]
    yield "Scores fell", "genai-quality", compared(scores[1], scores[0], 0.05)
    # How many times more or fewer, by asking for both only once.
    yield "Calls rose or fell", "genai-overview", f"exp(abs(ln({calls[0]} / {calls[1]}))) > {_WORSE:.15g}"


_TIMES: Final = ("", RANGE)
"""This time range, and the one before it."""
_PARTS: Final[tuple[Part, Part]] = ("sum", "count")


def _mean(metric: Metric, *conditions: str, ago: str) -> str:
    sums = (total(increase(metric, *conditions, part=part, ago=ago), FEATURE) for part in _PARTS)
    return f"({' / '.join(sums)})"


def _labelled(what: str, page: str, worse: str) -> str:
    result = f'label_replace({worse}, "{_WHAT.label}", "{what}", "", "")'
    return f'label_replace({result}, "{_PAGE.label}", "{page}", "", "")'
