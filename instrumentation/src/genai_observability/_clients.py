"""The client libraries whose calls are recorded, each through a wrapper that OpenTelemetry maintains for it."""

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
from genai_observability._export.providers import no_logs, no_metrics

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
    """Module of this package whose ``watch()`` sees to what they leave out."""

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

OWN_SCOPE: Final = "genai_observability.clients"
"""The instrumentation scope of the APIs that this package wraps itself."""
SCOPES: Final = frozenset(wrapper.module for client in CLIENTS for wrapper in client.wrappers) | {OWN_SCOPE}
"""The instrumentation scopes of all wrappers."""

Watch = Callable[[ModuleType], Callable[[], None]]
"""Has a module of this package watch its client; returns what ends that."""


def wrap_clients(tracers: TracerProvider, watch: Watch) -> Callable[[], None]:
    """Wrap every client library that is installed, and watch it; returns what unwraps them."""
    present = [client for client in CLIENTS if is_installed(client.library)]
    if not present:
        known = ", ".join(client.library for client in CLIENTS)
        _logger.warning("No model calls will be seen: none of these client libraries is installed: %s.", known)
    undo = [each for client in present for each in _wrap(client, tracers, watch)]

    def unwrap() -> None:
        for each in undo:
            each()

    return unwrap


def _wrap(client: Client, tracers: TracerProvider, watch: Watch) -> Iterator[Callable[[], None]]:
    wrapper = client.wrapper
    if wrapper is None:
        _logger.warning(
            "Calls of %s are not seen: its wrapper is missing. Install it with: %s.", client.library, client.missing
        )
        return
    yield watch(importlib.import_module(client.watch))
    instrumentor = getattr(importlib.import_module(wrapper.module), wrapper.instrumentor)()
    if instrumentor.is_instrumented_by_opentelemetry:
        return  # by the application itself: its spans come through its own tracer provider
    with _without_content():
        instrumentor.instrument(tracer_provider=tracers, meter_provider=no_metrics(), logger_provider=no_logs())
    yield instrumentor.uninstrument


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
