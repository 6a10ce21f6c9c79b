"""The exporters that the standard ``OTEL_*`` variables ask for, and what is lost on the way to the Collector.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#exporter-selection
"""

import importlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExportResult

from genai_observability._record.metrics import Kind, Losses


class CountedExporter:
    """An exporter of the SDK; batches that it cannot deliver are counted."""

    def __init__(self, exporter: Any, kind: Kind, losses: Losses) -> None:
        self._exporter = exporter
        self._kind: Kind = kind
        self._losses = losses

    def export(self, batch: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """Export a batch as the exporter does."""
        try:
            result = self._exporter.export(batch, *args, **kwargs)
        except Exception:
            self._losses[self._kind] += len(batch)
            raise
        if getattr(result, "name", None) == "FAILURE":
            self._losses[self._kind] += len(batch)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)


def count_overflow(processor: Any, kind: Kind, losses: Losses) -> None:
    """Count what a batch processor of the SDK has no room for.

    The SDK keeps such a count as well, for metrics of its own that are mostly switched off; this takes its place.
    """
    batches = getattr(processor, "_batch_processor", None)
    if batches is not None and hasattr(batches, "_metrics"):
        batches._metrics = _Overflow(lambda count: losses.update({kind: count}))  # noqa: SLF001 - there is no public way


class _Overflow:
    """What the SDK's batch processor tells of its queue."""

    def __init__(self, on_drop: Callable[[int], None]) -> None:
        self._on_drop = on_drop

    def register_queue_size(self, get_queue_size: Callable[[], int]) -> None: ...

    def drop_items(self, count: int, error_type: str = "queue_full") -> None:  # noqa: ARG002
        self._on_drop(count)

    def finish_items(self, count: int) -> None: ...


_logger = logging.getLogger("genai_observability")

_METRIC_INTERVAL: Final = 5_000.0
_SECONDS_BETWEEN_COMPLAINTS: Final = 300.0


def span_exporter() -> Any:
    """The exporter of spans; ``None`` where there is to be none."""
    return _exporter("TRACES", "trace_exporter", "OTLPSpanExporter", ConsoleSpanExporter)


def metric_exporter() -> Any:
    """The exporter of metrics, likewise."""
    return _exporter("METRICS", "metric_exporter", "OTLPMetricExporter", ConsoleMetricExporter)


def metric_interval() -> float:
    """Milliseconds between two exports of metrics.

    Not the SDK's default of a minute: an alert can be no faster than the metrics it reads.
    """
    text = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip()
    try:
        interval = float(text) if text else _METRIC_INTERVAL
    except ValueError:
        interval = 0.0
    if 0 < interval < float("inf"):
        return interval
    _logger.warning(
        "OTEL_METRIC_EXPORT_INTERVAL=%s is no number of milliseconds: %.0f is used.", text, _METRIC_INTERVAL
    )
    return _METRIC_INTERVAL


def log_exporter() -> Any:
    """The exporter of log records, likewise."""
    return _exporter("LOGS", "_log_exporter", "OTLPLogExporter", ConsoleLogRecordExporter)


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
    logging.getLogger(path).addFilter(_Seldom())
    return _OfThisProcess(exporter)


def _quick(signal: str, exporter: Any) -> Any:
    """The SDK's exporter with our own encoding, where there is one and the SDK is not to measure its exports."""
    if signal not in ("TRACES", "LOGS") or _is_true("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"):
        return exporter
    from genai_observability._export import otlp  # takes long to import, and there may be other exporters

    encode, result = (otlp.spans, SpanExportResult) if signal == "TRACES" else (otlp.log_records, LogRecordExportResult)

    class Quick(exporter):  # type: ignore[misc]
        def export(self, batch: Sequence[Any]) -> Any:
            """Export a batch; the SDK's own way where anything is not as expected."""
            sent = None if self._shutdown else _sent(self, encode, batch)
            if sent is None:
                return super().export(batch)
            return result.SUCCESS if sent else result.FAILURE

    return Quick


def _sent(exporter: Any, encode: Callable[[Sequence[Any]], bytes], batch: Sequence[Any]) -> bool | None:
    """Whether a batch was delivered; ``None`` where it was not tried."""
    try:
        data, most, send = encode(batch), exporter._max_request_size, exporter._client.export  # noqa: SLF001
    except Exception:  # another version of the SDK, or what the SDK can tell better
        return None
    return bool(send(data).success) if most <= 0 or len(data) <= most else None


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


class _Seldom(logging.Filter):
    """Lets an exporter complain once in a while: with the Collector away it would fill the application's log."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _SECONDS_BETWEEN_COMPLAINTS
        return True


def sdk_disabled() -> bool:
    """Whether the environment switches OpenTelemetry off."""
    return _is_true("OTEL_SDK_DISABLED")


def _is_true(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() == "true"


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
    if not endpoint:
        return None
    if is_address(endpoint):
        return None
    return f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint} is no address such as http://localhost:4318."


def is_address(text: str) -> bool:
    """Whether this is an address of HTTP."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not False
    except ValueError:  # a port that is no number, a broken IPv6 address
        return False
