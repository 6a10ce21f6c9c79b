"""An OTLP endpoint over HTTP that decodes and keeps what it is sent."""

import gzip
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.serving import Listening


def values(attributes: Iterable[Any]) -> dict[str, Any]:
    """OTLP key-values as a dictionary."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


class Capture(Listening):
    """Keeps the raw bodies by path, and decodes them on demand; takes ``delay`` seconds for each."""

    def __init__(self, port: int = 0, *, delay: float = 0.0) -> None:
        """Listen on a port of the loopback interface, by default any that is free."""
        self._delay = delay
        self.bodies: dict[str, list[bytes]] = {}
        super().__init__(ThreadingHTTPServer(("127.0.0.1", port), self._handler()))

    @property
    def everything(self) -> bytes:
        return b"".join(body for bodies in self.bodies.values() for body in bodies)

    @property
    def spans(self) -> list[Any]:
        return [span for group in self._resource_spans() for scope in group.scope_spans for span in scope.spans]

    @property
    def scopes(self) -> dict[str, list[Any]]:
        """The spans of each instrumentation scope."""
        found: dict[str, list[Any]] = {}
        for group in self._resource_spans():
            for scope in group.scope_spans:
                found.setdefault(scope.scope.name, []).extend(scope.spans)
        return found

    @property
    def resources(self) -> list[dict[str, Any]]:
        return [values(group.resource.attributes) for group in self._resource_spans()]

    @property
    def records(self) -> list[Any]:
        requests = [ExportLogsServiceRequest.FromString(body) for body in self.bodies.get("/v1/logs", [])]
        groups = (group for request in requests for group in request.resource_logs)
        return [record for group in groups for scope in group.scope_logs for record in scope.log_records]

    @property
    def metrics(self) -> list[Any]:
        requests = [ExportMetricsServiceRequest.FromString(body) for body in self.bodies.get("/v1/metrics", [])]
        groups = (group for request in requests for group in request.resource_metrics)
        return [metric for group in groups for scope in group.scope_metrics for metric in scope.metrics]

    def metrics_by_instance(self, name: str) -> dict[str, list[Any]]:
        """What each instance of a service said last of a metric."""
        found: dict[str, list[Any]] = {}
        for body in self.bodies.get("/v1/metrics", []):
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                instance = values(group.resource.attributes)["service.instance.id"]
                metrics = [metric for scope in group.scope_metrics for metric in scope.metrics if metric.name == name]
                if metrics:
                    found[instance] = metrics
        return found

    def _resource_spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies.get("/v1/traces", [])]
        return [group for request in requests for group in request.resource_spans]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bodies, delay = self.bodies, self._delay

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections stay open between exports, as those to the Collector do

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                time.sleep(delay)
                bodies.setdefault(self.path, []).append(body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler
