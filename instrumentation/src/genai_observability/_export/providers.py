"""The OpenTelemetry providers that calls are recorded with: the application's own where it has them, else ours.

Ours follow the standard ``OTEL_*`` variables.
"""

import logging
import os
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from uuid import uuid4
from weakref import WeakSet

from opentelemetry import metrics, trace
from opentelemetry._logs import LoggerProvider, get_logger_provider, set_logger_provider
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs import LoggerProvider as SDKLoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider as SDKMeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SDKTracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import TracerProvider

from genai_observability._export import exporters as _exporters
from genai_observability._export.exporters import Apart, CountedExporter, count_overflow
from genai_observability._export.processor import GenAISpanProcessor
from genai_observability._export.spans import CallsRecorded
from genai_observability._record.metrics import Losses

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_logger = logging.getLogger("genai_observability")

_NO_PROVIDER: Final = ("ProxyTracerProvider", "_ProxyMeterProvider", "ProxyLoggerProvider")
"""What the API's getters answer while no provider is set."""
_ended: Final[WeakSet[Any]] = WeakSet()
"""Providers of ours that were shut down. A global provider can be set only once, so the first one stays global."""
_MOST: Final = 256
_held: Final[list[tuple[int, os.stat_result]]] = []
"""Descriptors whose locks last as long as the process does, with the files they are of."""


def instance_id(service: str, *, host: str = "") -> str:
    """``host:n`` with the smallest n that no living process of the same service holds on this host.

    Two processes must never write one series, so where slots cannot be locked the name is a random one.
    """
    host = host or socket.gethostname()
    name = re.sub(r"\W+", "-", service)[:80]
    with suppress(OSError):
        directory = Path(tempfile.gettempdir()) / f"genai-observability-{os.getuid() if fcntl else 0}"
        directory.mkdir(mode=0o700, exist_ok=True)
        for number in range(_MOST):
            if _lock(directory / f"{name}.{number}"):
                return f"{host}:{number}"
    return f"{host}:{uuid4().hex[:12]}"


def let_go() -> None:
    """Let go of the names that are held: at the end, or in a child made by fork, whose parent has them."""
    while _held:
        descriptor, file = _held.pop()
        with suppress(OSError):  # closed, as daemons do
            # Else the application has closed it, and uses the number for another file.
            if os.path.samestat(os.fstat(descriptor), file):
                os.close(descriptor)


def _lock(path: Path) -> bool:
    if fcntl is None:
        raise OSError("no file locks here")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held.append((descriptor, os.fstat(descriptor)))
    return True


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers in use. ``owned`` are those this package made, which it also shuts down."""

    tracer: TracerProvider
    meter: MeterProvider
    logger: LoggerProvider
    owned: tuple[SDKTracerProvider | SDKMeterProvider | SDKLoggerProvider, ...] = ()
    service: str = ""

    def spans_are_unseen(self) -> bool:
        """Whether a finished span goes to nobody but our own processor."""
        return isinstance(self.tracer, _OwnTracerProvider) and self.tracer.processors == 1

    def force_flush(self, *, logs_only: bool = False) -> None:
        """Export what all three hold, ours or the application's; or the log records alone."""
        _call_all((self.logger,) if logs_only else (self.tracer, self.meter, self.logger), "force_flush")

    def shutdown(self) -> None:
        """Export what the owned ones hold and end them; the application's go on."""
        _call_all(self.owned, "shutdown")
        _ended.update(self.owned)
        if self.owned:
            let_go()

    def after_fork(self) -> None:
        """In a child made by fork: count from zero, under a name of its own. The parent goes on with its series."""
        if not self.owned:
            return
        let_go()
        name = instance_id(self.service, host=configured("service.instance.id"))
        for provider in self.owned:
            provider._update_resource(Resource({"service.instance.id": name}))  # noqa: SLF001 - as the SDK does at a fork
            if isinstance(provider, SDKMeterProvider):
                _count_from_zero(provider)


def providers(
    *,
    service_name: str | None,
    tracer_provider: TracerProvider | None,
    meter_provider: MeterProvider | None,
    logger_provider: LoggerProvider | None,
    processor: GenAISpanProcessor,
    globally: bool,
    losses: Losses,
    spans_an_export: int | None,
) -> Providers:
    """Find or make the three providers, and put the span processor on the tracer provider.

    The processor gets one to export finished spans with, but where the tracer provider is the application's, with
    processors of its own. With ``globally``, those that are made become the process's, for the application to use too.
    """
    tracer = tracer_provider or existing(trace.get_tracer_provider())
    meter = meter_provider or existing(metrics.get_meter_provider())
    logger = logger_provider or existing(get_logger_provider())
    if tracer is not None:
        _add_processor(tracer, processor)
    if tracer and meter and logger:
        return Providers(tracer, meter, logger)

    resource = _resource(service_name)
    owned: list[Any] = []

    def own(provider: Any, global_one: object, make_global: Callable[[Any], None]) -> Any:
        owned.append(provider)
        if globally and global_one not in _ended:
            make_global(provider)
        return provider

    if tracer is None:
        made = _tracer_provider(resource, processor, losses, spans_an_export)
        tracer = own(made, trace.get_tracer_provider(), trace.set_tracer_provider)
    meter = meter or own(_meter_provider(resource), metrics.get_meter_provider(), metrics.set_meter_provider)
    logger = logger or own(_logger_provider(resource, losses), get_logger_provider(), set_logger_provider)
    return Providers(tracer, meter, logger, tuple(owned), str(resource.attributes["service.name"]))


def _call_all(providers: Iterable[object], method: str) -> None:
    """Call a method that a provider may lack, on each of them, also where one fails: its data is not all data."""
    for provider in providers:
        try:
            getattr(provider, method, lambda: None)()
        except Exception as error:
            _logger.warning("%s of %s failed: %s.", method, type(provider).__name__, error)


def existing(provider: Any) -> Any:
    """The provider that the application set up; ``None`` where it set up none, or where it is ours and has ended."""
    return None if type(provider).__name__ in _NO_PROVIDER or provider in _ended else provider


def _add_processor(provider: TracerProvider, processor: SpanProcessor) -> None:
    add = getattr(provider, "add_span_processor", None)
    if callable(add):
        add(processor)
    else:
        _logger.warning(
            "Model calls are not recorded: the application's tracer provider (%s) takes no span processors. "
            "Pass instrument(tracer_provider=...) one of the OpenTelemetry SDK.",
            type(provider).__qualname__,
        )


def _resource(service_name: str | None) -> Resource:
    # The environment wins over the code: it is set by whoever deploys, who knows the name of this deployment.
    name = Resource.create().attributes.get("service.name")
    named = isinstance(name, str) and not name.startswith("unknown_service")
    attributes = {
        "telemetry.distro.name": "genai-observability",
        "telemetry.distro.version": version("genai-observability"),
    }
    if service_name and not named:
        attributes["service.name"] = name = str(service_name)
    if not configured("service.instance.id"):  # the SDK's is always a new one
        attributes["service.instance.id"] = instance_id(str(name))
    return Resource.create(attributes)


def configured(name: str) -> str:
    """What the environment says of the resource; empty for nothing."""
    return str(OTELResourceDetector().detect().attributes.get(name, ""))


def _count_from_zero(provider: SDKMeterProvider) -> None:
    """Forget what was measured before, and locks that a thread of the parent may have held; keep the instruments."""
    consumer: Any = provider._measurement_consumer  # noqa: SLF001 - the SDK has no public way
    consumer._lock = threading.Lock()  # noqa: SLF001
    for reader in provider._metric_readers:  # noqa: SLF001
        if hasattr(reader, "_export_lock"):
            reader._export_lock = threading.Lock()  # noqa: SLF001
        consumer.add_metric_reader(reader)  # replaces what it holds for this reader


class _OwnTracerProvider(SDKTracerProvider):
    """Knows whether the application has added span processors of its own to ours."""

    processors = 0

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        self.processors += 1
        super().add_span_processor(span_processor)


def _tracer_provider(
    resource: Resource, processor: GenAISpanProcessor, losses: Losses, spans_an_export: int | None
) -> SDKTracerProvider:
    provider = _OwnTracerProvider(resource=resource, shutdown_on_exit=False)
    provider.sampler = CallsRecorded(provider.sampler)  # the environment chose the inner one
    if exporter := _exporters.span_exporter():
        counted: Any = CountedExporter(exporter, "span", losses)
        processor.exporter = BatchSpanProcessor(counted, max_export_batch_size=spans_an_export)
        count_overflow(processor.exporter, "span", losses)
    provider.add_span_processor(processor)
    return provider


def _meter_provider(resource: Resource) -> SDKMeterProvider:
    readers = []
    if exporter := _exporters.metric_exporter():
        readers.append(PeriodicExportingMetricReader(Apart(exporter), _exporters.metric_interval()))
    return SDKMeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)


def _logger_provider(resource: Resource, losses: Losses) -> SDKLoggerProvider:
    provider = SDKLoggerProvider(resource=resource, shutdown_on_exit=False)
    if exporter := _exporters.log_exporter():
        batches = BatchLogRecordProcessor(CountedExporter(exporter, "log", losses))  # type: ignore[arg-type]
        count_overflow(batches, "log", losses)
        provider.add_log_record_processor(batches)
    return provider
