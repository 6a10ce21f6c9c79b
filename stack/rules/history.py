"""Recording rules: the growth of every counter and histogram, a minute at a time, for dashboards over many days.

Summed over all processes of a service, and once a minute instead of every few seconds: a month of a busy application
is read in a fraction of a second. The windows are ``anchored``, so that the minutes add up exactly.
"""

from typing import Final, Literal

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
)

from stack.rules.model import Group, Recording
from stack.rules.promql import labels, series, total
from stack.thresholds import Duration, Thresholds

WINDOW: Final = "1m"
WINDOW_SECONDS: Final = 60

_NOT_OF_BUCKETS: Final = (RESPONSE_MODEL, TENANT, ENDPOINT, ERROR_TYPE)
"""A histogram has a series a bucket: these labels would multiply them, and no panel shows a quantile by them."""
_NOT_OF_STEPS: Final = (OUTCOME,)
"""Nor by this of steps, whose times are shown whether they succeed or not."""


Part = Literal["", "bucket", "sum", "count"]
_PARTS: Final[tuple[Part, ...]] = ("bucket", "sum", "count")
_WHOLE: Final[tuple[Part, ...]] = ("",)


def name(metric: Metric, part: str = "") -> str:
    """What the growth of a metric, or of a part of a histogram, is recorded as."""
    return f"history:{_base(metric, part)}:increase{WINDOW}"


def labels_of(metric: Metric, part: str = "") -> tuple[Attribute, ...]:
    """The labels that are left, besides those of the service and, for buckets, their bound."""
    if part != "bucket":
        return metric.labels
    dropped = _NOT_OF_BUCKETS + (_NOT_OF_STEPS if metric is STEP_DURATION else ())
    return tuple(label for label in metric.labels if label not in dropped)


def groups(_: Thresholds) -> tuple[Group, ...]:
    """One group, a minute behind: what arrives later than that is in no minute."""
    rules = tuple(
        _growth(metric, part)
        for metric in METRICS
        if metric.kind != "gauge"
        for part in (_PARTS if metric.kind == "histogram" else _WHOLE)
    )
    return (Group(name="genai_history", interval=Duration(WINDOW), behind=Duration("1m"), rules=rules),)


def _growth(metric: Metric, part: Part) -> Recording:
    by = (*labels(*labels_of(metric, part)), *(("le",) if part == "bucket" else ()))
    grown = f"increase({series(metric, part=part)}[{WINDOW}] anchored)"
    return Recording(name=name(metric, part), expr=total(grown, by))


def _base(metric: Metric, part: str) -> str:
    return f"{metric.prometheus}_{part}" if part else metric.prometheus
