"""What this project's package has recorded of the calls, counted in each place that it goes to."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from genai_observability import signals
from genai_observability._record.read import MODEL_OPERATIONS
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from instrumentation.clients.providers import Figures
from instrumentation.tests.otlp_capture import Capture, values


class Recorded:
    """The counts of one program's telemetry."""

    def __init__(self, capture: Capture) -> None:
        records = [values(record.attributes) for record in capture.records]
        self._records = [each for each in records if each.get(signals.EVENT_NAME.name) == signals.CALL_EVENT]
        self._spans = [each for each in (values(span.attributes) for span in capture.spans) if _counts(each)]
        self._capture = capture

    def figures(self) -> dict[str, Figures]:
        """All calls, by the place where they were counted."""
        return {
            "call records": _summed(self._records),
            "spans": _summed(self._spans),
            "metrics": _of_metrics(self._capture),
        }

    def by_name(self) -> dict[str, Counter[str]]:
        """The number of calls of each name, by the place."""
        places = {"call records": self._records, "spans": self._spans}
        return {
            place: Counter(str(each.get(signals.FEATURE.name)) for each in found) for place, found in places.items()
        }


def _counts(span: dict[str, Any]) -> bool:
    return span.get(signals.OPERATION.name) in MODEL_OPERATIONS and signals.DUPLICATE_OF.name not in span


def _named(calls: Iterable[dict[str, Any]]) -> Counter[str]:
    return Counter(str(call.get(signals.FEATURE.name)) for call in calls)


def _summed(calls: list[dict[str, Any]]) -> Figures:
    return Figures(
        calls=len(calls),
        input_tokens=sum(call.get(signals.INPUT_TOKENS.name, 0) for call in calls),
        output_tokens=sum(call.get(signals.OUTPUT_TOKENS.name, 0) for call in calls),
        cost=sum(call.get(signals.COST.name, 0.0) for call in calls),
    )


def _of_metrics(capture: Capture) -> Figures:
    """Of every instrumentation's metrics of these names: whoever queries them adds them all up."""
    durations, tokens, costs = (
        _series(capture, metric.name) for metric in (signals.CALL_DURATION, signals.CALL_TOKENS, signals.CALL_COST)
    )
    by_type = Counter[str]()
    for attributes, point in tokens:
        by_type[attributes[signals.TOKEN_TYPE.name]] += round(point.sum)
    return Figures(
        calls=sum(point.count for _, point in durations),
        input_tokens=by_type["input"],
        output_tokens=by_type["output"],
        cost=sum(point.as_double for _, point in costs),
    )


def _series(capture: Capture, name: str) -> Iterable[tuple[dict[str, Any], Any]]:
    """The attributes and the last point of each series of a metric."""
    requests = (ExportMetricsServiceRequest.FromString(body) for body in capture.bodies.get("/v1/metrics", []))
    resources = (resource for request in requests for resource in request.resource_metrics)
    found: dict[str, tuple[dict[str, Any], Any]] = {}
    for scoped in (scoped for resource in resources for scoped in resource.scope_metrics):
        for metric in (metric for metric in scoped.metrics if metric.name == name):
            for point in getattr(metric, str(metric.WhichOneof("data"))).data_points:
                attributes = values(point.attributes)
                found[f"{scoped.scope.name} {sorted(attributes.items())}"] = (attributes, point)
    return found.values()
