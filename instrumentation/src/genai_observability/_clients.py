"""The client libraries whose calls are recorded, each through the wrapper that OpenTelemetry maintains for it."""

import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from opentelemetry.trace import TracerProvider

from genai_observability._content.settings import UPSTREAM_VARIABLE
from genai_observability._providers import no_logs, no_metrics

_logger = logging.getLogger("genai_observability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client library, and the instrumentor class that wraps it."""

    library: str
    extra: str
    module: str
    instrumentor: str


CLIENTS: Final = (
    Client(
        library="openai",
        extra="openai",
        module="opentelemetry.instrumentation.genai.openai",
        instrumentor="OpenAIInstrumentor",
    ),
)


def wrap_clients(tracer_provider: TracerProvider) -> list[Any]:
    """Wrap every client library that is installed; returns the instrumentors, for unwrapping."""
    present = [client for client in CLIENTS if is_installed(client.library)]
    if not present:
        known = ", ".join(client.library for client in CLIENTS)
        _logger.warning("No model calls will be seen: none of these client libraries is installed: %s.", known)
    instrumentors = (_wrap(client, tracer_provider) for client in present)
    return [instrumentor for instrumentor in instrumentors if instrumentor is not None]


def _wrap(client: Client, tracer_provider: TracerProvider) -> Any:
    if not is_installed(client.module):
        _logger.warning(
            "Calls of %s are not seen: its wrapper is missing. Install it with: pip install 'genai-observability[%s]'.",
            client.library, client.extra,
        )  # fmt: skip
        return None
    instrumentor = getattr(importlib.import_module(client.module), client.instrumentor)()
    if instrumentor.is_instrumented_by_opentelemetry:
        return None  # by the application itself: its spans come through its own tracer provider
    with _without_content():
        instrumentor.instrument(
            tracer_provider=tracer_provider, meter_provider=no_metrics(), logger_provider=no_logs()
        )  # fmt: skip
    return instrumentor


@contextmanager
def _without_content() -> Iterator[None]:
    """Keep a wrapper from recording content by itself: it could not be redacted."""
    asked = os.environ.pop(UPSTREAM_VARIABLE, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[UPSTREAM_VARIABLE] = asked


def is_installed(module: str) -> bool:
    """Whether the module could be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent package
        return False
