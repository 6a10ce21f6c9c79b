"""The client libraries whose calls are recorded, and the wrappers of OpenTelemetry that may be in use for them."""

import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import TracerProvider

from genai_observability._capture.seam import Seam
from genai_observability._private_names import missing

_logger = logging.getLogger("genai_observability")

UPSTREAM_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""``span_only``, ``event_only`` or ``span_and_event`` mean ``full``, redacted, where ``GENAI_OBSERVABILITY_CONTENT`` is
not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """An instrumentor that wraps a client library.

    Attributes:
        module: Where it is; the scope of its spans has the same name.
        instrumentor: Its class.
        extra: The extra of this package that brings it, and has it begin the calls of its methods; none for one that
            the application may use besides.
    """

    module: str
    instrumentor: str = "OpenAIInstrumentor"
    extra: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client library, the module that has its seam, and wrappers of it."""

    library: str
    seam: str
    wrappers: tuple[Wrapper, ...]


CLIENTS: Final = (
    Client(
        library="openai",
        seam="genai_observability._capture.openai_client",
        wrappers=(
            Wrapper(module="opentelemetry.instrumentation.openai_v2", extra="openai-v2"),
            Wrapper(module="opentelemetry.instrumentation.genai.openai"),
        ),
    ),
)

OWN_SCOPE: Final = "genai_observability.clients"
"""The instrumentation scope of the calls that are begun here."""
SCOPES: Final = frozenset(wrapper.module for client in CLIENTS for wrapper in client.wrappers) | {OWN_SCOPE}
"""The instrumentation scopes of calls that contain no other."""


def watch_clients(tracers: TracerProvider, seam: Seam, undo: ExitStack) -> None:
    """See the calls of every client library that is installed, until ``undo`` is closed."""
    present = [client for client in CLIENTS if is_installed(client.library)]
    if not present:
        known = ", ".join(client.library for client in CLIENTS)
        _logger.warning("No model calls will be seen: none of these client libraries is installed: %s.", known)
    for client in present:
        importlib.import_module(client.seam).watch(seam, undo)
        for wrapper in client.wrappers:
            if wrapper.extra is not None and is_installed(wrapper.module):
                _wrap(wrapper, tracers, undo)
    lost = dict.fromkeys(name.lost for name in missing())
    if present and lost:
        _logger.warning("With this version of openai some is not recorded: %s.", "; ".join(lost))


def _wrap(wrapper: Wrapper, tracers: TracerProvider, undo: ExitStack) -> None:
    instrumentor = getattr(importlib.import_module(wrapper.module), wrapper.instrumentor)()
    if instrumentor.is_instrumented_by_opentelemetry:
        return  # by the application itself: its spans come through its own tracer provider
    with _without_content():
        instrumentor.instrument(  # its own metrics lack attribution and cost: ours are recorded from the span
            tracer_provider=tracers, meter_provider=NoOpMeterProvider(), logger_provider=NoOpLoggerProvider()
        )
    undo.callback(instrumentor.uninstrument)


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
