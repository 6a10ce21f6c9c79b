"""How to record: the arguments of ``instrument()`` in one value."""

from collections.abc import Iterable
from dataclasses import dataclass

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from genai_observability._content.settings import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """See ``instrument()``; ``globally`` as in ``providers()``."""

    service_name: str | None = None
    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    logger_provider: LoggerProvider | None = None
    logs: bool | None = None
    content: Content | str | None = None
    detect_threats: bool | None = None
    attribution_to_provider: bool = False
    threads: bool = True
    propagate: Iterable[str] = ()
    accept_baggage: Iterable[str] = ()
    globally: bool = True
