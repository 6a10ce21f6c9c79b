"""Pieces of PromQL in which every name comes from the catalogue and every variable of the page is obeyed.

Windows that follow the page's time range are read from the series themselves up to a day, which is exact to the last
call, and from their growth as `stack.rules.history` records it beyond, which is fast. `RECENT` decides.
"""

from collections.abc import Callable, Iterator
from typing import Final, Literal

from genai_observability.signals import FEATURE, PROVIDER, REQUEST_MODEL, TEAM, Attribute, Metric, Part

from stack import vocabulary
from stack.rules import history

RATE: Final = "$__rate_interval"
"""The shortest window that surely holds enough samples, chosen by Grafana from the time range."""
RANGE: Final = "$__range"
"""The whole time range of the page."""
STEP: Final = "$__interval"
"""From one point of a graph to the next."""

ENVIRONMENT: Final = Attribute(
    name="deployment.environment.name", type="string", bounded=True, meaning="Where the application runs"
)
FILTERS: Final = {"feature": FEATURE, "team": TEAM, "provider": PROVIDER, "model": REQUEST_MODEL}
"""The variables of a page besides service and environment, and what each narrows down. All matches what lacks it."""

VARIABLES: Final = ("environment", "service", *FILTERS)
"""All that a reader can choose on a page, from left to right."""

ALL: Final = {name: "'|.+|'" if name == "service" else "'|.*|'" for name in VARIABLES}
"""What stands for All, in three languages. To PromQL and LogQL it is a regular expression that matches everything (a
quote, anything, or a quote); of services, of which Loki wants one that is not empty, what is not empty. To SQL it is a
text in quotes, which a query can recognise."""

SERVICE: Final = 'job=~"$service", deployment_environment_name=~"$environment"'
"""The conditions on the service, which every series of an application has."""

RECENT: Final = "recent"
"""A variable that nobody sees: it matches every service where the page shows a day or less, and else none."""
MOST_RECENT_SECONDS: Final = 90_000
"""A day, and the hour that is between two switches of the clock."""

_FOLLOW: Final = (RATE, RANGE, STEP)


def where(attribute: Attribute, operator: Literal["=", "!=", "=~", "!~"], value: str) -> str:
    """A condition on a label."""
    return f'{attribute.label}{operator}"{value}"'


def series(metric: Metric, *conditions: str, part: Part = "") -> str:
    """The selected series of a metric; ``part`` is for a histogram.

    Raises:
        ValueError: the part does not fit the metric, or one selector is not enough in the chosen names.
    """
    return vocabulary.selector(metric, *_chosen(metric.labels, conditions), part=part, separator=", ")


def ruled(name: str, *conditions: str, labels: tuple[Attribute, ...] = ()) -> str:
    """The selected series of a recording rule, which keeps these labels besides those of the service."""
    return _selected(name, labels, conditions)


def rate(metric: Metric, *conditions: str, part: Part = "", window: str = RATE, ago: str = "") -> str:
    """Growth a second. ``anchored`` sees the first event of a series, which plain ``rate`` misses."""
    offset = f" offset {ago}" if ago else ""
    recent = _recent(lambda selector: f"rate({selector}[{window}] anchored{offset})", metric, conditions, part)
    # Where the page shows more than a day, a step is whole minutes, as the recorded windows are.
    past = f"sum_over_time({_past(metric, conditions, part)}[{STEP}]{offset}) / ($__interval_ms / 1000)"
    return f"({recent} or {past})"


def increase(metric: Metric, *conditions: str, part: Part = "", window: str = RANGE, ago: str = "") -> str:
    """Exact growth within a window, as counts and money need it; ``ago`` looks at an earlier window.

    A window of its own, such as 1d, is for a day or less; for more there is ``recorded``.
    """
    offset = f" offset {ago}" if ago else ""

    def grown(selector: str) -> str:
        return f"increase({selector}[{window}] anchored{offset})"

    if window not in _FOLLOW:
        return _over(grown, metric, conditions, part)
    recent = _recent(grown, metric, conditions, part)
    return f"({recent} or sum_over_time({_past(metric, conditions, part)}[{window}]{offset}))"


def recorded(metric: Metric, *conditions: str, part: Part = "", window: str, ago: str = "") -> str:
    """Growth within a window of many days, to the minute; what grew in the last two minutes is not in it yet."""
    offset = f" offset {ago}" if ago else ""
    return f"sum_over_time({_recorded(metric, conditions, part)}[{window}]{offset})"


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


def shares(part: str, whole: str) -> str:
    """The same of each group, where both are totals by the same attributes."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(
    level: float,
    metric: Metric,
    *conditions: str,
    by: tuple[Attribute, ...] = (),
    window: str = RATE,
    ago: str = "",
) -> str:
    """A quantile of a histogram, to within a bucket; the comparison drops the NaN of a time without traffic.

    ``window`` is for the growth of the buckets: ``RATE`` for a graph, ``RANGE`` for one value of the whole time, which
    can be that of an earlier one.
    """
    grouping = ", ".join(["le", *(attribute.label for attribute in by)])
    if window == RATE:
        buckets = rate(metric, *conditions, part="bucket")
    else:
        buckets = increase(metric, *conditions, part="bucket", window=window, ago=ago)
    return f"histogram_quantile({level}, sum by ({grouping}) ({buckets})) >= 0"


def _recent(make: Callable[[str], str], metric: Metric, conditions: tuple[str, ...], part: Part) -> str:
    return _over(make, metric, (*conditions, f'job=~"${RECENT}"'), part)


def _past(metric: Metric, conditions: tuple[str, ...], part: Part) -> str:
    return _recorded(metric, (*conditions, f'job!~"${RECENT}"'), part)


def _recorded(metric: Metric, conditions: tuple[str, ...], part: Part) -> str:
    dropped = set(metric.labels) - set(history.labels_of(metric, part))
    for label in dropped:
        if any(condition.startswith(label.label) for condition in conditions):
            raise ValueError(f"{metric.name} is recorded without {label.name}")
    return _selected(history.name(metric, part), metric.labels, conditions)


def _selected(name: str, labels: tuple[Attribute, ...], conditions: tuple[str, ...]) -> str:
    return f"{name}{{{', '.join(_chosen(labels, conditions))}}}"


def _over(make: Callable[[str], str], metric: Metric, conditions: tuple[str, ...], part: Part) -> str:
    return vocabulary.over(make, metric, *_chosen(metric.labels, conditions), part=part, separator=", ")


def _chosen(labels: tuple[Attribute, ...], conditions: tuple[str, ...]) -> list[str]:
    """The page's choices, and these conditions."""
    return [SERVICE, *_filters(labels), *conditions]


def _filters(known: tuple[Attribute, ...]) -> Iterator[str]:
    """Those of the page's choices that the labels or fields make possible."""
    return (where(attribute, "=~", f"${variable}") for variable, attribute in FILTERS.items() if attribute in known)
