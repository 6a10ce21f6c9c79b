"""What the catalogue is made of: attributes, metrics, and the series of a metric."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Settled = Literal["stable", "development", "proposed"]
"""How settled a name is in the conventions."""
Status = Settled | Literal["own"]
"""The same; ``own`` means that no convention covers it."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A named value on a span, a log record or a metric.

    ``bounded`` says whether the value may be a metric label. Users, sessions, conversations and request ids are
    unbounded: they are found on spans and in the request log only. ``settled`` is how settled the convention is.
    """

    name: str
    meaning: str
    type: Literal["string", "int", "double", "boolean", "string[]"] = "string"
    bounded: bool = False
    unit: str = ""
    settled: Settled = "development"

    @property
    def label(self) -> str:
        """The name as a Prometheus label or a Loki structured-metadata key, in which dots become underscores."""
        return self.name.replace(".", "_")


Part = Literal["", "bucket", "sum", "count"]
"""Which series of a metric: for a histogram one of its three kinds, else all."""


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument. ``buckets`` are the upper bounds of a histogram, in the metric's unit."""

    name: str
    unit: str
    labels: tuple[Attribute, ...]
    meaning: str
    buckets: tuple[float, ...] = ()
    kind: Literal["counter", "histogram", "gauge"] = "counter"
    settled: Settled = "development"

    @property
    def prometheus(self) -> str:
        """The metric's base name in Prometheus (a histogram's series add ``_bucket``, ``_sum`` and ``_count``).

        Prometheus' OTLP receiver puts underscores for dots, then adds the unit and, for a counter, ``_total``:
        https://prometheus.io/docs/guides/opentelemetry/#utf-8
        """
        total = "total" if self.kind == "counter" else ""
        return "_".join(filter(None, (self.name.replace(".", "_"), _UNIT_SUFFIXES.get(self.unit), total)))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that it has."""
        return ("bucket", "sum", "count") if self.kind == "histogram" else ("",)

    def series(self, part: Part = "") -> str:
        """The name of its series in Prometheus; ``part`` is needed for a histogram, and only there.

        Raises:
            ValueError: it does not have the part.
        """
        if part not in self.parts:
            raise ValueError(f"{self.name} is a {self.kind}: {part!r} is no part of it")
        return f"{self.prometheus}_{part}" if part else self.prometheus

    def labels_of(self, attributes: Mapping[str, object]) -> dict[str, str]:
        """Those of the attributes that are labels of this metric, as text."""
        return {label.name: str(attributes[label.name]) for label in self.labels if label.name in attributes}


@dataclass(frozen=True, slots=True)
class Place:
    """Some series of a metric: those with the labels ``only``, which stand for the labels ``means`` of another one."""

    metric: Metric
    part: Part = ""
    only: tuple[tuple[Attribute, str], ...] = ()
    means: tuple[tuple[Attribute, str], ...] = ()

    @property
    def series(self) -> str:
        """Their name in Prometheus."""
        return self.metric.series(self.part)


def status_of(named: Attribute | Metric) -> Status:
    """How settled a name is: those of this package have a prefix of their own."""
    return "own" if named.name.startswith(("app.", "genai_observability.")) else named.settled


_UNIT_SUFFIXES: Final = {"s": "seconds", "{token}/s": "per_second", "1": "ratio"}
