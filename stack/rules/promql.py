"""Pieces of PromQL in which every metric and label comes from the catalogue."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from genai_observability.signals import Attribute, Metric, Part

from stack import vocabulary

ENVIRONMENT = "deployment_environment_name"
SERVICE = ("job", ENVIRONMENT)
"""Labels that Prometheus gives every series of an application: its service.name and its environment, if any."""
JOB = Attribute(name="job", type="string", bounded=True, meaning="service.name, as Prometheus has it")


@dataclass(frozen=True, slots=True)
class Match:
    """A condition on a label."""

    attribute: Attribute
    operator: Literal["=", "!=", "=~", "!~"]
    value: str

    def __str__(self) -> str:
        return f'{self.attribute.label}{self.operator}"{self.value}"'


def series(metric: Metric, *matches: Match, part: Part = "") -> str:
    """A selector of the metric's series; ``part`` is needed for a histogram, and only there.

    Raises:
        ValueError: the metric lacks the part or a label, or one selector is not enough in the chosen names.
    """
    return vocabulary.selector(metric, *_conditions(metric, matches), part=part)


def over(make: Callable[[str], str], metric: Metric, *matches: Match, part: Part = "") -> str:
    """What ``make`` makes of a selector, for all of the metric's series; with the same errors but the last."""
    return vocabulary.over(make, metric, *_conditions(metric, matches), part=part)


def _conditions(metric: Metric, matches: tuple[Match, ...]) -> list[str]:
    for match in matches:
        if match.attribute not in (*metric.labels, JOB):
            raise ValueError(f"{metric.name} has no label {match.attribute.name}")
    return list(map(str, matches))


def labels(*attributes: Attribute) -> tuple[str, ...]:
    """The label names of attributes, below those of the service."""
    return (*SERVICE, *(attribute.label for attribute in attributes))


def total(expr: str, by: tuple[str, ...]) -> str:
    """The sum of an expression over everything but the labels in ``by``."""
    return f"sum by ({', '.join(by)}) ({expr})"


def count_within(selector: str, window: str) -> str:
    """By how much a counter grew within the window, up to Prometheus' extrapolation of a few per cent.

    That is right for shares and limits. A sum that must agree to the last cent takes the range ``anchored`` instead
    (https://prometheus.io/docs/prometheus/latest/querying/basics/), which promtool 3.15 cannot evaluate in rule tests.
    """
    return f"increase({selector}[{window}])"


def firing(alert: str, *conditions: str) -> str:
    """A selector of the alerts of a name that are firing, written by the rules evaluated so far."""
    return "ALERTS{" + ",".join((f'alertname="{alert}"', 'alertstate="firing"', *conditions)) + "}"


def firing_any(*names: str, conditions: tuple[str, ...] = ()) -> str:
    """Likewise of any of several names."""
    return "ALERTS{" + ",".join((f'alertname=~"{"|".join(names)}"', 'alertstate="firing"', *conditions)) + "}"


def on(*names: str) -> str:
    """The labels by which two sides of an operator are matched."""
    return f"on ({', '.join(names)})"


def unless_told(*alerts: str, by: tuple[str, ...] = SERVICE, conditions: tuple[str, ...] = (), within: str = "") -> str:
    """Silent where one of these alerts tells of the same, or told of it ``within`` a time."""
    told = firing_any(*alerts, conditions=conditions)
    return f"unless {on(*by)} " + (f"last_over_time({told}[{within}])" if within else told)


def count_from_first(selector: str, window: str) -> str:
    """The same, of events so rare that the first one counts.

    A series that did not exist before the window counts whole: ``increase`` misses the first event of a process that
    has run for longer than an hour, for which Prometheus no longer accepts the zero at its start. Only where the
    service was known before (``target_info`` is written for each of its processes): after a gap in Prometheus' own
    history every series is new.
    """
    new = f"last_over_time({selector}[{window}]) unless last_over_time({selector}[{window}] offset {window})"
    known = f"and on ({', '.join(SERVICE)}) last_over_time(target_info[{window}] offset {window})"
    return f"\n  ({new}\n   {known})\n  or {count_within(selector, window)}\n"


def at_most(bound: float) -> str:
    """The condition on the buckets of a histogram by which one of them, up to and with its bound, is chosen.

    Prometheus writes a whole number as 8 where metrics come by OTLP, and as 8.0 where it scrapes them.
    """
    return f'le=~"{bound:.15g}|{bound:.15g}[.]0"' if bound.is_integer() else f'le="{bound:.15g}"'
