"""The exporters that the standard ``OTEL_*`` variables ask for, and what is lost on the way to the Collector.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#exporter-selection

The application's metrics go the same way as ours, and none may stop the others: the SDK's exporters give up all of an
export where they cannot encode one of its metrics, such as a counter beyond 64 bits, and so each export from then on.
"""

import importlib
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExportResult

from genai_observability._record.metrics import Kind, Losses

_logger = logging.getLogger("genai_observability")

_INTERVAL: Final = 5_000.0  # milliseconds between two exports of metrics
_SECONDS_BETWEEN_COMPLAINTS: Final = 300.0
_MOMENT: Final = 100_000_000  # nanoseconds: shorter than a restart, whose series may go on under the same name
_OURS: Final = "genai_observability"
_due: Final[dict[str, float]] = {}  # when each exporter may complain again
_Name = tuple[str, str]  # of the instrumentation scope, and of the metric


def span_exporter() -> Any:
    """The exporter of spans; ``None`` where there is to be none."""
    return _exporter("TRACES", "trace_exporter", "OTLPSpanExporter", ConsoleSpanExporter)


def metric_exporter() -> Any:
    """The exporter of metrics, likewise."""
    return _exporter("METRICS", "metric_exporter", "OTLPMetricExporter", sdk.ConsoleMetricExporter)


def log_exporter() -> Any:
    """The exporter of log records, likewise."""
    return _exporter("LOGS", "_log_exporter", "OTLPLogExporter", ConsoleLogRecordExporter)


def metric_interval() -> float:
    """Milliseconds between two exports of metrics.

    Not the SDK's default of a minute: an alert can be no faster than the metrics it reads.
    """
    text = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip()
    with suppress(ValueError):
        if 0 < (interval := float(text or _INTERVAL)) < math.inf:
            return interval
    _logger.warning("OTEL_METRIC_EXPORT_INTERVAL=%s is no number of milliseconds: %.0f is used.", text, _INTERVAL)
    return _INTERVAL


def _exporter(signal: str, module: str, name: str, console: Callable[[], Any]) -> Any:
    """What the environment asks for; ``None`` for none, or, with a warning, for one that cannot work."""
    chosen = chosen_exporter(signal)
    if chosen == "none":
        return None
    if chosen == "console":
        return console()
    if chosen != "otlp":
        _logger.warning("OTEL_%s_EXPORTER=%s is not known here (otlp, console, none): otlp is used.", signal, chosen)
    package = "grpc" if variable("OTEL_EXPORTER_OTLP_PROTOCOL", signal) == "grpc" else "http"
    if package == "http" and (problem := endpoint_problem(signal)):
        _logger.warning("%s Nothing of this kind is exported.", problem)
        return None
    path = f"opentelemetry.exporter.otlp.proto.{package}.{module}"
    try:
        exporter = getattr(importlib.import_module(path), name)
        if package == "http":
            exporter = _quick(signal, exporter)
    except ImportError:
        _logger.warning(
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs the package opentelemetry-exporter-otlp-proto-grpc. "
            "Nothing is exported as OTEL_%s.", signal,
        )  # fmt: skip
        return None
    logging.getLogger(path).addFilter(_is_due)
    return _OfThisProcess(exporter)


def _quick(signal: str, exporter: Any) -> Any:
    """The SDK's exporter with our own encoding, where there is one and the SDK is not to measure its exports."""
    if signal not in ("TRACES", "LOGS") or is_true("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"):
        return exporter
    from genai_observability._export import otlp  # takes long to import, and there may be other exporters

    encode, result = (otlp.spans, SpanExportResult) if signal == "TRACES" else (otlp.log_records, LogRecordExportResult)

    class Quick(exporter):  # type: ignore[misc]
        def export(self, batch: Sequence[Any]) -> Any:
            """Export a batch; the SDK's own way where anything is not as expected."""
            try:
                data, most, send = encode(batch), self._max_request_size, self._client.export
            except Exception:  # another version of the SDK, or what the SDK can tell better
                return super().export(batch)
            if self._shutdown or 0 < most < len(data):
                return super().export(batch)
            return result.SUCCESS if send(data).success else result.FAILURE

    return Quick


class _OfThisProcess:
    """An exporter that is made anew in a child made by fork, which must not write to its parent's connection."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._exporter = make()
        self._process = os.getpid()

    def __getattr__(self, name: str) -> Any:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._exporter = self._make()
        return getattr(self._exporter, name)


def _is_due(record: logging.LogRecord) -> bool:
    """Lets an exporter complain once in a while: with the Collector away it would fill the application's log."""
    now = time.monotonic()
    is_due = now >= _due.get(record.name, 0.0)
    if is_due:
        _due[record.name] = now + _SECONDS_BETWEEN_COMPLAINTS
    return is_due


def is_true(variable: str) -> bool:
    """Whether a variable of the environment is ``true``."""
    return os.environ.get(variable, "").strip().lower() == "true"


def sdk_disabled() -> bool:
    """Whether the environment switches OpenTelemetry off."""
    return is_true("OTEL_SDK_DISABLED")


def chosen_exporter(signal: str) -> str:
    """The name of the exporter that the environment chooses for a signal: ``otlp`` if it chooses none."""
    return os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower() or "otlp"


def variable(name: str, signal: str) -> str:
    """What the environment says for a signal, else for all."""
    specific = name.replace("OTLP_", f"OTLP_{signal}_")
    return (os.environ.get(specific) or os.environ.get(name) or "").strip()


def endpoint_problem(signal: str) -> str | None:
    """What is wrong with the configured address; ``None`` for nothing."""
    endpoint = variable("OTEL_EXPORTER_OTLP_ENDPOINT", signal)
    if not endpoint or is_address(endpoint):
        return None
    return f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint} is no address such as http://localhost:4318."


def is_address(text: str) -> bool:
    """Whether this is an address of HTTP."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not False
    except ValueError:  # a port that is no number, a broken IPv6 address
        return False


@dataclass(slots=True)
class CountedExporter:
    """An exporter of the SDK; batches that it cannot deliver are counted."""

    _exporter: Any
    _kind: Kind
    _losses: Losses

    def export(self, batch: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """Export a batch as the exporter does."""
        delivered = False
        try:
            result = self._exporter.export(batch, *args, **kwargs)
            delivered = getattr(result, "name", None) != "FAILURE"
            return result
        finally:
            if not delivered:
                self._losses[self._kind] += len(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)


def count_overflow(processor: Any, kind: Kind, losses: Losses) -> None:
    """Count what a batch processor of the SDK has no room for.

    The SDK keeps such a count as well, for metrics of its own that are mostly switched off; this takes its place.
    """
    batches: Any = getattr(processor, "_batch_processor", None)
    if hasattr(batches, "_metrics"):
        batches._metrics = SimpleNamespace(  # noqa: SLF001 - there is no public way
            register_queue_size=lambda _: None,
            drop_items=lambda count, *_, **__: losses.update({kind: count}),
            finish_items=lambda _: None,
        )


class Apart(sdk.MetricExporter):
    """An exporter in front of another one: what that cannot encode is left out from then on, with a warning."""

    def __init__(self, exporter: sdk.MetricExporter) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001 - as the reader does
        self._exporter = exporter
        self._left_out: set[_Name] = set()

    def export(
        self, metrics_data: sdk.MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> sdk.MetricExportResult:
        """Export what can be exported."""
        data = _each(metrics_data, self._prepared)
        try:
            result = self._exporter.export(data, timeout_millis, **kwargs)
            if result is sdk.MetricExportResult.SUCCESS or not self._leave_out_unfit(data):
                return result
        except Exception:
            if not self._leave_out_unfit(data):
                raise
        return self.export(metrics_data, timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the other exporter."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """End the other exporter."""
        self._exporter.shutdown(timeout_millis, **kwargs)

    def _prepared(self, name: _Name, metric: sdk.Metric) -> sdk.Metric | None:
        if name in self._left_out:
            return None
        return _started_before(metric) if name[0] == _OURS else metric

    def _leave_out_unfit(self, data: sdk.MetricsData) -> bool:
        """Whether there are metrics that cannot be encoded, by themselves; the next export goes without them."""
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics  # takes long to import

        console = isinstance(self._exporter, sdk.ConsoleMetricExporter)
        encode: Callable[[sdk.MetricsData], object] = sdk.MetricsData.to_json if console else encode_metrics
        before = len(self._left_out)

        def check(name: _Name, metric: sdk.Metric) -> None:
            try:
                encode(_each(data, lambda _, other: other if other is metric else None))
            except Exception as error:
                self._left_out.add(name)
                reason = str(error).rpartition("\n")[2]  # before that stands all of the metric
                _logger.warning(
                    "The metric %r of %r is left out, as it cannot be encoded: %.200s.", *name[::-1], reason
                )

        _each(data, check)
        return len(self._left_out) > before


def _started_before(metric: sdk.Metric) -> sdk.Metric:
    """The same metric with all its starts a moment earlier."""
    data: Any = metric.data  # a gauge has no start, and without CUMULATIVE each start is the end before it
    if getattr(data, "aggregation_temporality", None) is not sdk.AggregationTemporality.CUMULATIVE:
        return metric
    points = [replace(each, start_time_unix_nano=each.start_time_unix_nano - _MOMENT) for each in data.data_points]
    return replace(metric, data=replace(data, data_points=points))


def _each(data: sdk.MetricsData, change: Callable[[_Name, sdk.Metric], sdk.Metric | None]) -> sdk.MetricsData:
    """The data with each metric changed, without those that become ``None``, and without scopes that have none left."""
    resources = []
    for resource in data.resource_metrics:
        scopes = []
        for scope in resource.scope_metrics:
            changed = (change((scope.scope.name, metric.name), metric) for metric in scope.metrics)
            if metrics := [metric for metric in changed if metric is not None]:
                scopes.append(replace(scope, metrics=metrics))
        resources.append(replace(resource, scope_metrics=scopes))
    return sdk.MetricsData(resources)
