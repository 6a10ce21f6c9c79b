"""The provider's own account of some calls, beside what was exported about them."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from genai_observability import signals

from instrumentation.tests.otlp_capture import Capture, values

_MODEL_OPERATIONS = {"chat", "embeddings"}


class Books:
    """What the provider has counted since this was made, and what was exported meanwhile."""

    def __init__(self, provider: str, capture: Capture) -> None:
        self.capture = capture
        self._url = f"{provider}/control/ledger"
        self._before = self._ledger()

    def counted(self, name: str) -> int:
        """One of the ledger's counts, such as ``calls``."""
        return int(self._ledger()[name]) - int(self._before[name])

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The attributes of each model call's span, with its trace."""
        spans = [{**values(span.attributes), "trace": span.trace_id} for span in self.capture.spans]
        return [span for span in spans if span.get(signals.OPERATION.name) in _MODEL_OPERATIONS]

    def hold(self, calls: int, attribution: dict[str, str]) -> None:
        """Each call was answered, and is in the spans, the request log and the metrics once, with all its tokens."""
        assert self.counted("calls") == self.counted("answers") == calls
        records = [values(record.attributes) for record in self.capture.records]
        logged = [record for record in records if record.get(signals.EVENT_NAME.name) == signals.CALL_EVENT]
        for found in (self.calls, logged):
            assert [call[signals.OUTCOME.name] for call in found] == ["success"] * calls
            assert all(attribution.items() <= call.items() for call in found)
            assert sum(call[signals.INPUT_TOKENS.name] for call in found) == self._tokens("input_tokens")
            assert sum(call.get(signals.OUTPUT_TOKENS.name, 0) for call in found) == self._tokens("output_tokens")
            assert sum(call[signals.COST.name] for call in found) == pytest.approx(self.cost)
        assert sum(point.count for point in self._points(signals.CALL_DURATION.name)) == calls
        tokens = sum(point.sum for point in self._points(signals.CALL_TOKENS.name))
        assert tokens == self._tokens("input_tokens") + self._tokens("output_tokens")
        assert sum(point.as_double for point in self._points(signals.CALL_COST.name)) == pytest.approx(self.cost)

    @property
    def cost(self) -> float:
        """What the provider charges, in US dollars."""
        return float(Decimal(self._ledger()["amount_usd"]) - Decimal(self._before["amount_usd"]))

    def _tokens(self, kind: str) -> int:
        return int(self._ledger()["usage"][kind]) - int(self._before["usage"][kind])

    def _points(self, name: str) -> list[Any]:
        """The last data points of a metric, whichever instrumentation sent them."""
        metrics = [metric for found in self.capture.metrics_by_instance(name).values() for metric in found]
        return [point for metric in metrics for point in (metric.histogram.data_points or metric.sum.data_points)]

    def _ledger(self) -> dict[str, Any]:
        ledger: dict[str, Any] = httpx.get(self._url).json()
        return ledger
