"""``instrument()``: from here on every model call of this process is recorded."""

import atexit
import logging
import threading
from typing import Final

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from genai_observability import _sigterm
from genai_observability._evaluation import FEEDBACK, RATINGS, Rating
from genai_observability._exporters import sdk_disabled
from genai_observability._recorder import END, Recorder

_logger = logging.getLogger("genai_observability")


class Handle:
    """What ``instrument()`` returns: flushes and ends the recording."""

    def __init__(self, recorder: Recorder | None, *, unasked: bool = False) -> None:
        """Without a recorder, nothing is recorded. ``unasked``: the application's own ``instrument()`` replaces it."""
        self._recorder = recorder
        self._unasked = unasked
        atexit.register(self._at_exit)
        if recorder is not None:
            _sigterm.deliver_before_end(recorder.deliver)

    @property
    def recording(self) -> bool:
        """Whether calls are recorded."""
        return self._recorder is not None

    def force_flush(self, timeout: float = 10.0) -> bool:
        """Export everything recorded so far; ``False`` where that took longer than ``timeout`` seconds."""
        return self._recorder is None or self._recorder.force_flush(timeout)

    def shutdown(self, timeout: float = 10.0) -> bool:
        """Stop recording and export the rest; ``False`` where that took longer than ``timeout`` seconds.

        The application's own providers go on. ``instrument()`` may be called again afterwards.
        """
        recorder, self._recorder = self._recorder, None
        atexit.unregister(self._at_exit)
        if recorder is None:
            return True
        try:
            return recorder.shutdown(timeout)
        finally:
            _sigterm.forget()

    def _evaluate(
        self, name: str, *, score: float | None, label: str | None, explanation: str | None, response_id: str | None
    ) -> None:
        if self._recorder is not None:
            self._recorder.evaluate(name, score=score, label=label, explanation=explanation, response_id=response_id)

    def _at_exit(self) -> None:
        self.shutdown(timeout=END)


_lock: Final = threading.Lock()
_handle: Handle | None = None


def instrument(
    *,
    service_name: str | None = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    logs: bool | None = None,
) -> Handle:
    """Record every model call of this process from now on. Calling it again changes nothing.

    Where the application has set up OpenTelemetry providers of its own, globally or as arguments here, they are used
    and kept; call this after setting them up. Its spans then get the attribution, while outcome and cost, known only
    once a span has ended, are in the metrics and the request log alone. Otherwise providers are made that export over
    OTLP to ``http://localhost:4318``, or wherever the standard ``OTEL_*`` variables say.

    Args:
        service_name: Name of this application where neither ``OTEL_SERVICE_NAME`` nor ``OTEL_RESOURCE_ATTRIBUTES``
            gives one.
        tracer_provider: An OpenTelemetry SDK tracer provider to use.
        meter_provider: A meter provider to use.
        logger_provider: A logger provider to use.
        logs: Whether to send the application's ``logging`` records too, from INFO up. By default yes, unless
            ``OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION=false``.

    Returns:
        A handle with ``force_flush()`` and ``shutdown()``. Neither is needed for a process that ends normally.
    """
    global _handle
    with _lock:
        if _handle is not None and _handle._unasked:  # noqa: SLF001 - of this module
            _handle.shutdown(timeout=END)
        if _handle is None or not _handle.recording:
            _handle = Handle(
                _start(
                    service_name=service_name,
                    tracer_provider=tracer_provider,
                    meter_provider=meter_provider,
                    logger_provider=logger_provider,
                    logs=logs,
                )
            )
        return _handle


def instrument_unasked(*, service_name: str | None) -> None:
    """Record the calls of an application that was not changed, and leave the process's providers to it."""
    global _handle
    with _lock:
        if _handle is None:
            recorder = _start(
                service_name=service_name,
                tracer_provider=None,
                meter_provider=None,
                logger_provider=None,
                logs=None,
                globally=False,
            )
            _handle = Handle(recorder, unasked=True)


def _start(
    *,
    service_name: str | None,
    tracer_provider: TracerProvider | None,
    meter_provider: MeterProvider | None,
    logger_provider: LoggerProvider | None,
    logs: bool | None,
    globally: bool = True,
) -> Recorder | None:
    if sdk_disabled():
        return None
    try:
        return Recorder(
            service_name=service_name,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            logger_provider=logger_provider,
            logs=logs,
            globally=globally,
        )
    except Exception as error:  # such as a standard variable with a value that the SDK refuses
        _logger.error("Model calls are not recorded: %s: %s.", type(error).__name__, error)  # noqa: TRY400
        return None


def evaluation(
    name: str,
    *,
    score: float | None = None,
    label: str | None = None,
    explanation: str | None = None,
    response_id: str | None = None,
) -> None:
    """Record a score of an answer, as the conventions' event ``gen_ai.evaluation.result`` and as a metric.

    Args:
        name: What was scored, such as ``"groundedness"``: one of a few names, as it is a metric label.
        score: From 0 (bad) to 1 (good).
        label: The score in a word, such as ``"pass"``.
        explanation: Why; written to the log as it is, so leave out what must not be there.
        response_id: ``response.id`` of the answer. It joins the score to the answer's trace, feature and model, where
            this process made the call and has made fewer than 10,000 since.
    """
    if _handle is not None:
        _handle._evaluate(  # noqa: SLF001 - of this module
            name, score=score, label=label, explanation=explanation, response_id=response_id
        )


def feedback(rating: Rating, *, response_id: str | None = None) -> None:
    """Record what a user says of an answer: thumbs up or down.

    Args:
        rating: ``"up"`` counts as score 1, ``"down"`` as 0; anything else is left out with a warning.
        response_id: As for ``evaluation()``.
    """
    if rating not in tuple(RATINGS):  # not a look-up: what an application passes may not be hashable
        _logger.warning(
            "Feedback is left out: the rating is %.50r, but must be one of: %s.", rating, ", ".join(RATINGS)
        )
        return
    evaluation(FEEDBACK, score=RATINGS[rating], label=rating, response_id=response_id)
