"""The provider's own account of some calls, beside what was exported about them."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from genai_observability import signals
from genai_observability._record.read import MODEL_OPERATIONS
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from instrumentation.tests.otlp_capture import Capture, values


class Books:
    """What the provider has counted since this was made, and what was exported meanwhile."""

    def __init__(self, provider: str, capture: Capture) -> None:
        self.capture = capture
        self._url = f"{provider}/control/ledger"
        self._before = self._ledger()

    def counted(self, name: str) -> int:
        """One of the ledger's counts, such as ``calls``."""
        return int(self._ledger()[name]) - int(self._before[name])

    def spans(self, feature: str | None = None) -> list[dict[str, Any]]:
        """The attributes of each span, of one feature or of all, with its trace."""
        spans = [{**values(span.attributes), "trace": span.trace_id} for span in self.capture.spans]
        return [span for span in spans if feature in (None, span.get(signals.FEATURE.name))]

    def calls(self, feature: str | None = None) -> list[dict[str, Any]]:
        """The spans that are calls of a model."""
        return [span for span in self.spans(feature) if span.get(signals.OPERATION.name) in MODEL_OPERATIONS]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The attributes of each log record of this event, with its trace."""
        records = [{**values(record.attributes), "trace": record.trace_id} for record in self.capture.records]
        return [record for record in records if record.get(signals.EVENT_NAME.name) == event]

    def hold(self) -> None:
        """Each call was answered, and is in the spans, the request log and the metrics once, with all its tokens."""
        calls = self.counted("calls")
        assert calls == self.counted("answers") > 0
        for found in (self.calls(), self.logged(signals.CALL_EVENT)):
            assert [call[signals.OUTCOME.name] for call in found] == ["success"] * calls
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
        """The last data points of a metric from each process, whichever instrumentation sent them."""
        last: dict[tuple[str, str], list[Any]] = {}
        for body in self.capture.bodies.get("/v1/metrics", []):
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                resource = values(group.resource.attributes)
                metrics = [metric for scope in group.scope_metrics for metric in scope.metrics if metric.name == name]
                last[resource["service.name"], resource["service.instance.id"]] = metrics
        found = [metric for metrics in last.values() for metric in metrics]
        return [point for metric in found for point in (metric.histogram.data_points or metric.sum.data_points)]

    def _ledger(self) -> dict[str, Any]:
        ledger: dict[str, Any] = httpx.get(self._url).json()
        return ledger
