"""The client libraries whose calls are recorded, each through the wrapper that OpenTelemetry maintains for it."""

import importlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Final

from opentelemetry.trace import TracerProvider

from genai_observability._content.settings import UPSTREAM_VARIABLE
from genai_observability._providers import no_logs, no_metrics
from genai_observability._sampling import AllCallsProvider
from genai_observability._spans import RECORDED_OPERATIONS

_logger = logging.getLogger("genai_observability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client library, the instrumentor class that wraps it, and what this package watches of it besides."""

    library: str
    extra: str
    module: str
    instrumentor: str
    watch: str | None = None
    """Module of this package whose ``watch()`` sees to what the instrumentor leaves out."""


CLIENTS: Final = (
    Client(
        library="openai",
        extra="openai",
        module="opentelemetry.instrumentation.genai.openai",
        instrumentor="OpenAIInstrumentor",
        watch="genai_observability._openai",
    ),
)


Watch = Callable[[ModuleType, TracerProvider], Callable[[], None]]
"""Has a module of this package watch its client, with this tracer provider; returns what ends that."""


def wrap_clients(tracer_provider: TracerProvider, watch: Watch) -> Callable[[], None]:
    """Wrap every client library that is installed, and watch it; returns what unwraps them."""
    present = [client for client in CLIENTS if is_installed(client.library)]
    if not present:
        known = ", ".join(client.library for client in CLIENTS)
        _logger.warning("No model calls will be seen: none of these client libraries is installed: %s.", known)
    undo = [each for client in present for each in _wrap(client, tracer_provider, watch)]

    def unwrap() -> None:
        for each in undo:
            each()

    return unwrap


def _wrap(client: Client, tracer_provider: TracerProvider, watch: Watch) -> Iterator[Callable[[], None]]:
    if not is_installed(client.module):
        _logger.warning(
            "Calls of %s are not seen: its wrapper is missing. Install it with: pip install 'genai-observability[%s]'.",
            client.library, client.extra,
        )  # fmt: skip
        return
    tracers = AllCallsProvider(tracer_provider, RECORDED_OPERATIONS)
    if client.watch is not None:
        yield _watched(client, client.watch, watch, tracers)
    instrumentor = getattr(importlib.import_module(client.module), client.instrumentor)()
    if instrumentor.is_instrumented_by_opentelemetry:
        return  # by the application itself: its spans come through its own tracer provider
    with _without_content():
        instrumentor.instrument(tracer_provider=tracers, meter_provider=no_metrics(), logger_provider=no_logs())
    yield instrumentor.uninstrument


def _watched(client: Client, module: str, watch: Watch, tracers: TracerProvider) -> Callable[[], None]:
    try:
        return watch(importlib.import_module(module), tracers)
    except (ImportError, AttributeError) as error:
        _logger.warning(
            "Of the calls of %s only the main ones are recorded, without retries and quotas: this version is not "
            "known (%s).", client.library, error,
        )  # fmt: skip
        return lambda: None


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
