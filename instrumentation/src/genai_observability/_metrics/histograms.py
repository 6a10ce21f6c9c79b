"""Histograms of bounded labels, with exemplars where panels show them."""

from typing import Final

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram

from genai_observability._metrics.labels import Labels, More

_NO_TRACE: Final = Context()


class LabelledHistogram:
    """A histogram that leaves out what is below zero."""

    def __init__(self, instrument: Histogram, *, exemplars: bool) -> None:
        """Record in this one, with exemplars or without."""
        self._instrument = instrument
        self._exemplars = exemplars

    def record(self, value: float, labels: Labels, context: Context, more: More = ()) -> None:
        """Record a finite value; ``more`` are labels besides, of one of a few values each."""
        if value >= 0:
            values = {**labels.values, **dict(more)} if more else labels.values
            self._instrument.record(value, values, context if self._exemplars else _NO_TRACE)
