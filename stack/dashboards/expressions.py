"""Pieces of PromQL and LogQL in which every name comes from the catalogue and every variable of the page is obeyed."""

from collections.abc import Iterator
from typing import Final, Literal

from genai_observability.signals import CALL_EVENT, EVENT_NAME, FEATURE, REQUEST_MODEL, TEAM, Attribute, Metric

RATE: Final = "$__rate_interval"
"""The shortest window that surely holds enough samples, chosen by Grafana from the time range."""
RANGE: Final = "$__range"
"""The whole time range of the page."""
STEP: Final = "$__interval"
"""From one point of a graph to the next."""

FILTERS: Final = {"feature": FEATURE, "team": TEAM, "model": REQUEST_MODEL}
"""The variables of every page besides `service`, and what each narrows down. What a call lacks is matched by All."""


def where(attribute: Attribute, operator: Literal["=", "!=", "=~", "!~"], value: str) -> str:
    """A condition on a label, written alike in both languages."""
    return f'{attribute.label}{operator}"{value}"'


def series(metric: Metric, *conditions: str, part: str = "") -> str:
    """The selected series of a metric; ``part`` (bucket, sum or count) is for a histogram.

    Raises:
        ValueError: the metric lacks a label that the page selects by, or the part does not fit it.
    """
    if bool(part) is not (metric.kind == "histogram"):
        raise ValueError(f"{metric.name} is a {metric.kind}: {part!r} is no part of it")
    if missing := [attribute.name for attribute in FILTERS.values() if attribute not in metric.labels]:
        raise ValueError(f"{metric.name} has no label {missing[0]}")
    name = f"{metric.prometheus}_{part}" if part else metric.prometheus
    matchers = ", ".join(['job=~"$service"', *_page(), *conditions])
    return f"{name}{{{matchers}}}"


def rate(selector: str, window: str = RATE) -> str:
    """Growth a second. ``anchored`` sees the first event of a series, which plain ``rate`` misses."""
    return f"rate({selector}[{window}] anchored)"


def increase(selector: str, window: str = RANGE, *, ago: str = "") -> str:
    """Exact growth within a window, as counts and money need it; ``ago`` looks at an earlier window."""
    offset = f" offset {ago}" if ago else ""
    return f"increase({selector}[{window}] anchored{offset})"


def total(expr: str, *by: Attribute) -> str:
    """The sum, by some attributes. Calls without the attribute are named, so that no money hides in an empty label."""
    result = f"sum by ({', '.join(attribute.label for attribute in by)}) ({expr})" if by else f"sum({expr})"
    for attribute in by:
        result = f'label_replace({result}, "{attribute.label}", "none", "{attribute.label}", "")'
    return result


def top(expr: str, count: int = 7) -> str:
    """The largest values above zero, largest first."""
    return f"sort_desc(topk({count}, {expr} > 0))"


def share(part: str, whole: str) -> str:
    """A part of a whole: 0 where nothing of it happened, nothing at all where there was no traffic."""
    return f"(sum({part}) or vector(0)) / (sum({whole}) > 0)"


def quantile(level: float, metric: Metric, *conditions: str, by: tuple[Attribute, ...] = ()) -> str:
    """A quantile of a histogram, to within a bucket; the comparison drops the NaN of a time without traffic."""
    grouping = ", ".join(["le", *(attribute.label for attribute in by)])
    buckets = rate(series(metric, *conditions, part="bucket"))
    return f"histogram_quantile({level}, sum by ({grouping}) ({buckets})) > 0"


def request_log(*conditions: str) -> str:
    """The selected records of the request log."""
    return " | ".join(['{service_name=~"$service"}', where(EVENT_NAME, "=", CALL_EVENT), *_page(), *conditions])


def call_rows(records: str, *fields: str) -> str:
    """Some fields of the records, and their time in UTC as text: what a table shows of a call."""
    moment = 'label_format time=`{{ __timestamp__ | date "2006-01-02 15:04:05" }}`'
    return f"{records} | {moment} | keep {', '.join(fields)}"


def _page() -> Iterator[str]:
    return (where(attribute, "=~", f"${variable}") for variable, attribute in FILTERS.items())
