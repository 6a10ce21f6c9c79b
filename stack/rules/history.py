"""Recording rules: the growth of every counter and histogram, a minute at a time, for dashboards over many days.

Summed over all processes of a service, and once a minute instead of every few seconds: a month of a busy application
is read in a fraction of a second. The windows are ``anchored``, so that the minutes add up exactly.
"""

from typing import Final

from genai_observability.signals import (
    ENDPOINT,
    ERROR_TYPE,
    METRICS,
    OUTCOME,
    RESPONSE_MODEL,
    STEP_DURATION,
    TENANT,
    Attribute,
    Metric,
    Part,
)

from stack.rules.model import Group, Recording
from stack.rules.promql import labels, over, total
from stack.thresholds import Duration, Thresholds

WINDOW: Final = "1m"
WINDOW_SECONDS: Final = 60

_NOT_OF_BUCKETS: Final = (RESPONSE_MODEL, TENANT, ENDPOINT, ERROR_TYPE)
"""A histogram has a series a bucket: these labels would multiply them, and no panel shows a quantile by them."""
_NOT_OF_STEPS: Final = (OUTCOME,)
"""Nor by this of steps, whose times are shown whether they succeed or not."""


def name(metric: Metric, part: Part = "") -> str:
    """What the growth of a metric is recorded as: by its old name, so that a change of names leaves no gap."""
    return f"history:{metric.series(part)}:increase{WINDOW}"


def labels_of(metric: Metric, part: Part = "") -> tuple[Attribute, ...]:
    """The labels that are left, besides those of the service and, for buckets, their bound."""
    if part != "bucket":
        return metric.labels
    dropped = _NOT_OF_BUCKETS + (_NOT_OF_STEPS if metric is STEP_DURATION else ())
    return tuple(label for label in metric.labels if label not in dropped)


def groups(_: Thresholds) -> tuple[Group, ...]:
    """One group, a minute behind: what arrives later than that is in no minute."""
    rules = tuple(_growth(metric, part) for metric in METRICS if metric.kind != "gauge" for part in metric.parts)
    return (Group(name="genai_history", interval=Duration(WINDOW), behind=Duration("1m"), rules=rules),)


def _growth(metric: Metric, part: Part) -> Recording:
    by = (*labels(*labels_of(metric, part)), *(("le",) if part == "bucket" else ()))
    grown = over(lambda selector: f"increase({selector}[{WINDOW}] anchored)", metric, part=part)
    return Recording(name=name(metric, part), expr=total(grown, by))
