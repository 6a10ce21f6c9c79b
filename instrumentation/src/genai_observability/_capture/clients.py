"""The client libraries whose calls are recorded: where their seam is, and which wrappers may be in use for them."""

import importlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import Span, Tracer, TracerProvider

from genai_observability import signals
from genai_observability._capture import seam as _seam
from genai_observability._capture import streams as _streams
from genai_observability._capture.answers import present
from genai_observability._capture.private_names import missing
from genai_observability._capture.seam import Seam
from genai_observability._context.decoration import replace

_logger = logging.getLogger("genai_observability")

UPSTREAM_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""``span_only``, ``event_only`` or ``span_and_event`` mean ``full``, redacted, where ``GENAI_OBSERVABILITY_CONTENT`` is
not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """An instrumentor that wraps OpenAI's client library."""

    module: str  # the scope of its spans has the same name
    extra: str | None = None
    """The extra of this package that brings it, and has it begin the calls of its methods; none for one that the
    application may use besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client library, what sees its requests until the stack is closed, and wrappers of it."""

    library: str
    watch: Callable[[Seam, ExitStack], None]
    wrappers: tuple[Wrapper, ...]


def _watch_openai(seam: Seam, undo: ExitStack) -> None:
    import openai  # an extra

    undo.callback(seam.end)  # also where somebody else has replaced ``request`` since, and keeps ours
    replace(openai.OpenAI, "request", seam.request, undo)
    replace(openai.AsyncOpenAI, "request", seam.request_async, undo)
    replace(openai.OpenAI, "_build_request", _seam.attempt, undo)
    replace(openai.OpenAI, "_should_retry", _seam.refusal, undo)
    for client in (openai.OpenAI, openai.AsyncOpenAI):
        replace(client, "_process_response", _seam.answer, undo)
    for stream, closed in ((openai.Stream, _streams.closed), (openai.AsyncStream, _streams.closed_async)):
        replace(stream, "__stream__", _streams.observed, undo)
        replace(stream, "close", closed, undo)


_OF_OPENAI: Final = (
    Wrapper(module="opentelemetry.instrumentation.openai_v2", extra="openai-v2"),
    Wrapper(module="opentelemetry.instrumentation.genai.openai"),
)
CLIENTS: Final = (Client(library="openai", watch=_watch_openai, wrappers=_OF_OPENAI),)

OWN_SCOPE: Final = "genai_observability.clients"  # the instrumentation scope of the calls that are begun here
SCOPES: Final = frozenset(wrapper.module for client in CLIENTS for wrapper in client.wrappers) | {OWN_SCOPE}
"""The instrumentation scopes of calls that contain no other."""


def watch_clients(tracers: TracerProvider, seam: Seam, undo: ExitStack) -> None:
    """See the calls of every client library that is installed, until ``undo`` is closed."""
    present = [client for client in CLIENTS if is_installed(client.library)]
    if not present:
        known = " or ".join(client.library for client in CLIENTS)
        _logger.warning(
            "%s is not installed: only model calls of which another instrumentation makes spans are recorded.", known
        )
    for client in present:
        client.watch(seam, undo)
        for wrapper in client.wrappers:
            if wrapper.extra is not None and is_installed(wrapper.module):
                _wrap(wrapper, tracers, undo)
    lost = dict.fromkeys(name.lost for name in missing())
    if present and lost:
        _logger.warning("With this version of openai some is not recorded: %s.", "; ".join(lost))


def _wrap(wrapper: Wrapper, tracers: TracerProvider, undo: ExitStack) -> None:
    instrumentor = importlib.import_module(wrapper.module).OpenAIInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        return  # by the application itself: its spans come through its own tracer provider
    with _without_content():
        instrumentor.instrument(  # its own metrics lack attribution and cost: ours are recorded from the span
            tracer_provider=_InItsName(tracers, wrapper.module),
            meter_provider=NoOpMeterProvider(),
            logger_provider=NoOpLoggerProvider(),
        )
    undo.callback(instrumentor.uninstrument)


@dataclass(frozen=True, slots=True)
class _InItsName(TracerProvider):
    """Has all spans of a wrapper begin in its name, and as calls.

    With ``gen_ai_latest_experimental`` a handler makes them which other instrumentations use, too, such as LangChain's,
    whose calls may contain several; and it says only at their end what they are.
    """

    tracers: TracerProvider
    module: str

    def get_tracer(self, instrumenting_module_name: str, *args: Any, **kwargs: Any) -> Tracer:
        """The wrapper's own, or the handler's."""
        tracer = self.tracers.get_tracer(self.module, *args, **kwargs)
        return tracer if instrumenting_module_name == self.module else _OfCalls(tracer)


@dataclass(frozen=True, slots=True)
class _OfCalls(Tracer):
    tracer: Tracer

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> Span:
        operation, _, model = name.partition(" ")
        known = {signals.OPERATION.name: operation, signals.REQUEST_MODEL.name: model, signals.PROVIDER.name: "openai"}
        if not args:
            kwargs["attributes"] = {**present(known), **(kwargs.get("attributes") or {})}
        return self.tracer.start_span(name, *args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.start_as_current_span(*args, **kwargs)


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
