"""The client libraries whose calls are recorded, each through a wrapper that OpenTelemetry maintains for it."""

import importlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from opentelemetry.trace import TracerProvider

from genai_observability._batches import Results
from genai_observability._open_calls import OpenCalls
from genai_observability._providers import no_logs, no_metrics
from genai_observability._sampling import AllCallsProvider
from genai_observability._spans import MODEL_OPERATIONS

_logger = logging.getLogger("genai_observability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """An instrumentor class that wraps a client library, and the extra of this package that brings it."""

    extra: str
    module: str
    instrumentor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client library, its wrappers in the order of preference, and what this package watches of it besides."""

    library: str
    wrappers: tuple[Wrapper, ...]
    watch: str
    """Module of this package whose ``watch(open_calls, tracer_provider, fetched)`` sees to what they leave out."""

    @property
    def wrapper(self) -> Wrapper | None:
        """The wrapper that is installed."""
        return next((wrapper for wrapper in self.wrappers if is_installed(wrapper.module)), None)

    @property
    def missing(self) -> str:
        """What to do where none is."""
        default, *others = (f"'genai-observability[{wrapper.extra}]'" for wrapper in self.wrappers)
        return f"pip install {default}" + "".join(f" (or {other})" for other in others)


CLIENTS: Final = (
    Client(
        library="openai",
        wrappers=(
            Wrapper(
                extra="openai",
                module="opentelemetry.instrumentation.genai.openai",
                instrumentor="OpenAIInstrumentor",
            ),
            Wrapper(
                extra="openai-v2",
                module="opentelemetry.instrumentation.openai_v2",
                instrumentor="OpenAIInstrumentor",
            ),
        ),
        watch="genai_observability._openai",
    ),
)

SCOPES: Final = frozenset(wrapper.module for client in CLIENTS for wrapper in client.wrappers) | {"genai_observability"}
"""The instrumentation scopes of the wrappers, and of the wrapping that this package does itself."""


def wrap_clients(
    tracer_provider: TracerProvider, open_calls: OpenCalls, fetched: Callable[[Results], None]
) -> Callable[[], None]:
    """Wrap every client library that is installed; returns what unwraps them. ``fetched`` gets results of batches."""
    present = [client for client in CLIENTS if is_installed(client.library)]
    if not present:
        known = ", ".join(client.library for client in CLIENTS)
        _logger.warning("No model calls will be seen: none of these client libraries is installed: %s.", known)
    undo = [each for client in present for each in _wrap(client, tracer_provider, open_calls, fetched)]

    def unwrap() -> None:
        for each in undo:
            each()

    return unwrap


def _wrap(
    client: Client, tracer_provider: TracerProvider, open_calls: OpenCalls, fetched: Callable[[Results], None]
) -> Iterator[Callable[[], None]]:
    wrapper = client.wrapper
    if wrapper is None:
        _logger.warning(
            "Calls of %s are not seen: its wrapper is missing. Install it with: %s.", client.library, client.missing
        )
        return
    tracers = AllCallsProvider(tracer_provider, MODEL_OPERATIONS)
    yield importlib.import_module(client.watch).watch(open_calls, tracers, fetched)
    instrumentor = getattr(importlib.import_module(wrapper.module), wrapper.instrumentor)()
    if instrumentor.is_instrumented_by_opentelemetry:
        return  # by the application itself: its spans come through its own tracer provider
    instrumentor.instrument(tracer_provider=tracers, meter_provider=no_metrics(), logger_provider=no_logs())
    yield instrumentor.uninstrument


def is_installed(module: str) -> bool:
    """Whether the module could be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent package
        return False
