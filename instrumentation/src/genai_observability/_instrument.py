"""``instrument()``: from here on every model call of this process is recorded."""

import atexit
import logging
import threading
import weakref
from collections.abc import Iterable
from typing import Final, Literal

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from genai_observability import _ending as _sigterm
from genai_observability._budgets.budget import Budget
from genai_observability._budgets.enforcement import Enforcement
from genai_observability._budgets.leases import RedisStore
from genai_observability._content.settings import Content, Form
from genai_observability._export.exporters import sdk_disabled
from genai_observability._recorder import END, Options, Recorder

_logger = logging.getLogger("genai_observability")


class Handle:
    """The recording that ``instrument()`` began. A process that ends normally needs nothing of it."""

    def __init__(self, recorder: Recorder | None, *, unasked: bool = False, deliver_on_sigterm: bool = True) -> None:
        """Without a recorder, nothing is recorded. ``unasked``: the application's own ``instrument()`` replaces it."""
        self._recorder = recorder
        self._unasked = unasked
        if recorder is not None:
            # Python runs what is registered last first. Its hook of finalizers, which closes the connections of the
            # exporters, is there from the first finalizer on, and has to run after the last export.
            weakref.finalize(self, bool).detach()
            atexit.register(self.shutdown, END)
        if recorder is not None and deliver_on_sigterm:
            _sigterm.deliver_before_end(recorder.deliver)

    @property
    def recording(self) -> bool:
        """Whether calls are recorded.

        Not after ``shutdown()``, where ``OTEL_SDK_DISABLED=true``, and where ``instrument()`` failed, which it has said
        in the log.
        """
        return self._recorder is not None

    def force_flush(self, timeout: float = 10.0) -> bool:
        """Export everything recorded so far, and wait for it.

        Args:
            timeout: Longest wait, in seconds.

        Returns:
            ``False`` where it took longer; the export then goes on. ``True`` does not say that the Collector took it;
            what it did not take is counted in ``genai_observability_dropped_total``.
        """
        return self._recorder is None or self._recorder.force_flush(timeout)

    def shutdown(self, timeout: float = 10.0) -> bool:
        """Stop recording, export the rest, and wait for it.

        The application's own providers go on. ``instrument()`` may be called again afterwards. Results of batches that
        are still being read are waited for besides, 10 seconds at most.

        Args:
            timeout: Longest wait, in seconds.

        Returns:
            ``False`` where it took longer.
        """
        recorder, self._recorder = self._recorder, None
        atexit.unregister(self.shutdown)
        if recorder is None:
            return True
        try:
            return recorder.shutdown(timeout)
        finally:
            _sigterm.forget()


_lock: Final = threading.Lock()
_handle: Handle | None = None


def instrument(
    *,
    service_name: str | None = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    logs: bool | None = None,
    budgets: Iterable[Budget] = (),
    budget_store: RedisStore | None = None,
    content: Content | Form | Literal["off"] | None = None,
    detect_threats: bool | None = None,
    attribution_to_provider: bool = False,
    threads: bool = True,
    deliver_on_sigterm: bool = True,
    propagate: Iterable[str] = (),
    accept_baggage: Iterable[str] = (),
) -> Handle:
    """Record every model call of this process from now on. Calling it again changes nothing.

    Clients may be made before or after. What cannot be recorded, such as what an unknown version of a client does in
    another way, is a warning of the logger ``genai_observability``, never an exception.

    Where the application has set up OpenTelemetry providers of its own, globally or as arguments here, they are used
    and kept; call this after setting them up. Its spans then get the attribution, while outcome and cost, known only
    once a span has ended, are in the metrics and the request log alone. Otherwise providers are made that export over
    OTLP to ``http://localhost:4318``, or wherever the standard ``OTEL_*`` variables say.

    Args:
        service_name: Name of this application where neither ``OTEL_SERVICE_NAME`` nor ``OTEL_RESOURCE_ATTRIBUTES``
            gives one.
        tracer_provider: An OpenTelemetry SDK tracer provider to use for spans.
        meter_provider: A meter provider to use for metrics.
        logger_provider: A logger provider to use for the request log.
        logs: Whether to send the application's ``logging`` records too, from INFO up, as they are. By default not,
            unless ``OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION=true``.
        budgets: Limits that each call is checked against before it is made: see ``Budget``.
        budget_store: Where budgets are kept that several processes share. By default each process has its own, in
            memory.
        content: What to record of questions and answers, redacted: ``"preview"``, ``"full"``, ``"hash"``, or a
            ``Content`` with more to say. By default nothing, unless ``GENAI_OBSERVABILITY_CONTENT`` says so.
        detect_threats: Whether to count signs of prompt injection, personal data and leaks of the system prompt. By
            default not, unless ``GENAI_OBSERVABILITY_DETECT_THREATS=true``.
        attribution_to_provider: Whether OpenAI is told of the user's hash, as ``safety_identifier``, and of feature,
            team, session and so on, as ``metadata``, so that its own dashboard can tell calls apart. No other server
            is told.
        threads: Whether a thread works for whoever starts it: with its attribution, and as part of its trace.
        deliver_on_sigterm: Whether SIGTERM, where the application has no handler of it, delivers what was recorded
            before it ends the process. ``signal.signal`` and ``signal.getsignal`` are replaced for that, by functions
            that show the application the signal at its default; with ``False`` they are left alone.
        propagate: What of the attribution leaves with HTTP requests to other services, as baggage: ``"feature"``,
            ``"team"`` and so on, by the names of ``attributed_to()``; other names are left out, with a warning. A
            model's provider is never told.
        accept_baggage: What is taken from the baggage of incoming requests, by the same names. Anybody who can reach
            this service can set it.

    Returns:
        A handle with ``force_flush()`` and ``shutdown()``. Neither is needed for a process that ends normally.

    Raises:
        TypeError: ``budgets`` cannot be iterated over, or something in it is no ``Budget``.
    """
    global _handle
    budgets = tuple(budgets)
    with _lock:
        if _handle is not None and _handle._unasked:  # noqa: SLF001 - of this module
            _handle.shutdown(timeout=END)
        running = recorder()
        if _handle is None or running is None:
            options = Options(
                service_name=service_name, tracer_provider=tracer_provider, meter_provider=meter_provider,
                logger_provider=logger_provider, logs=logs, content=content, detect_threats=detect_threats,
                attribution_to_provider=attribution_to_provider, threads=threads, propagate=propagate,
                accept_baggage=accept_baggage,
            )  # fmt: skip
            _handle = Handle(_start(options, budgets, budget_store), deliver_on_sigterm=deliver_on_sigterm)
        elif budgets and not running.enforces(budgets):
            _logger.warning("Budgets are not enforced: an earlier instrument() began the recording without these.")
        return _handle


def recorder() -> Recorder | None:
    """What records calls now, if anything does."""
    return _handle._recorder if _handle is not None else None  # noqa: SLF001 - of this module


def instrument_unasked(*, service_name: str | None) -> None:
    """Record the calls of an application that was not changed, and leave the process's providers to it."""
    global _handle
    with _lock:
        if _handle is None:
            _handle = Handle(_start(Options(service_name=service_name, globally=False)), unasked=True)


def _start(options: Options, budgets: tuple[Budget, ...] = (), store: RedisStore | None = None) -> Recorder | None:
    if sdk_disabled():
        if budgets:
            _logger.warning("Budgets are not enforced: OTEL_SDK_DISABLED is set, and nothing is recorded.")
        return None
    enforcement = Enforcement(budgets, store=store) if budgets else None
    try:
        return Recorder(options, enforcement)
    except Exception as error:  # such as a standard variable with a value that the SDK refuses
        _logger.error("Model calls are not recorded: %s: %s.", type(error).__name__, error)  # noqa: TRY400
        if enforcement is not None:
            _logger.error("Budgets are not enforced, for the same reason.")  # noqa: TRY400
            enforcement.stop(END)
        return None
