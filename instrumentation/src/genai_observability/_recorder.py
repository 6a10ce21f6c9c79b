"""The parts of one recording, put together: client wrappers, span processor, worker, metrics and request log."""

import logging
import os
import weakref
from collections.abc import Callable
from typing import Any, Final

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import TracerProvider

from genai_observability import _application_logs, _attribution, signals
from genai_observability._budgets.budget import Budget
from genai_observability._budgets.checked_methods import check_first
from genai_observability._budgets.enforcement import Enforcement
from genai_observability._children import deliver_at_end
from genai_observability._clients import wrap_clients
from genai_observability._evaluation import RecentCalls, evaluation_attributes
from genai_observability._metrics import Metrics
from genai_observability._pricing import PriceTable
from genai_observability._providers import Providers, providers
from genai_observability._request_log import RequestLog, derived_attributes
from genai_observability._spans import GenAISpanProcessor, context_of, enriched, read_call
from genai_observability._worker import Worker

_QUEUE: Final = 10_000  # finished calls that may wait to be recorded: some 20 MB at the most
_SCOPE: Final = "genai_observability"
END: Final = 2.0  # seconds that the end of a process may wait for a Collector that is slow or gone

_logger = logging.getLogger("genai_observability")


class Recorder:
    """Follows each call from its finished span to its metrics, its log record and the exported span."""

    def __init__(
        self,
        *,
        service_name: str | None,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        logger_provider: LoggerProvider | None,
        logs: bool | None,
        globally: bool = True,
        enforcement: Enforcement | None = None,
    ) -> None:
        """Start recording; the arguments are those of ``instrument()``, and ``globally`` as in ``providers()``."""
        self._enforcement = enforcement
        self._prices = PriceTable()
        self._recent = RecentCalls()
        self._worker = Worker(capacity=_QUEUE, warm_up=self._prices.warm_up)
        self._processor: GenAISpanProcessor
        self._providers: Providers = providers(
            service_name=service_name,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            logger_provider=logger_provider,
            processor=self._make_processor,
            globally=globally,
        )
        self._metrics = Metrics(self._providers.meter.get_meter(_SCOPE))
        self._request_log = RequestLog(self._providers.logger.get_logger(_SCOPE))
        self._log_handler: logging.Handler | None = None
        if _application_logs.wanted(asked=logs):
            self._log_handler = _application_logs.send(self._providers.logger)
        self._instrumentors: list[Any] = wrap_clients(self._providers.tracer)
        self._end_checks: Callable[[], None] | None = None
        if enforcement is not None:
            enforcement.observe_with(self._providers.meter.get_meter(_SCOPE))
            self._end_checks = check_first(enforcement.check)  # outside the wrapper: a refused call leaves no span
        if hasattr(os, "register_at_fork"):  # not on Windows
            after_fork = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (renew := after_fork()) and renew())  # after the SDK's own
        deliver_at_end(self, forked=False)

    def force_flush(self, timeout: float) -> bool:
        """Export everything recorded so far; ``False`` where that took longer than ``timeout`` seconds."""
        return self._worker.run(self._providers.force_flush, timeout=timeout)

    def deliver(self, **_: Any) -> None:
        """Export everything at the end of the process, which waits for that ``END`` seconds at most."""
        self.force_flush(END)

    def shutdown(self, timeout: float) -> bool:
        """Stop recording and export the rest; ``False`` where that took longer than ``timeout`` seconds."""
        if self._end_checks is not None:
            self._end_checks()
        for instrumentor in self._instrumentors:
            instrumentor.uninstrument()
        if self._log_handler is not None:
            logging.getLogger().removeHandler(self._log_handler)
        return self._worker.run(self._finish, timeout=timeout)

    def enforces(self, budgets: tuple[Budget, ...]) -> bool:
        """Whether these are the budgets in force."""
        return self._enforcement is not None and self._enforcement.budgets == budgets

    def evaluate(
        self, name: str, *, score: float | None, label: str | None, explanation: str | None, response_id: str | None
    ) -> None:
        """Queue a score; see ``evaluation()``."""
        attribution = _attribution.current()
        given = evaluation_attributes(
            name, score=score, label=label, explanation=explanation, response_id=response_id
        )  # fmt: skip

        def record() -> None:  # in order behind the call that it judges, which is then known
            known, context = self._recent.find(response_id)
            attributes = {**known, **attribution, **given}
            self._request_log.write_score(attributes, context)
            if (value := given.get(signals.EVALUATION_SCORE.name)) is not None:
                self._metrics.record_score(float(value), attributes, context)

        if not self._worker.submit(record):
            self._count_dropped()

    def _make_processor(self, exporter: SpanProcessor | None) -> SpanProcessor:
        self._processor = GenAISpanProcessor(
            submit=self._worker.submit,
            on_call=self._record,
            on_dropped=self._count_dropped,
            exporter=exporter,
        )
        return self._processor

    def _record(self, span: ReadableSpan) -> ReadableSpan:
        call = read_call(span)
        price = self._prices.price(call)
        context = context_of(span)
        self._recent.remember(call, context)
        self._metrics.record_call(call, price, context)
        if self._enforcement is not None:
            self._enforcement.book(call, price)
        self._request_log.write_call(call, price, context)
        return enriched(span, call, derived_attributes(call, price))

    def _count_dropped(self) -> None:
        self._metrics.dropped["span"] += 1

    def _after_fork(self) -> None:
        if not self._processor.active:
            return
        try:
            self._metrics.dropped.clear()
            self._providers.after_fork()
            deliver_at_end(self, forked=True)
        except Exception as error:
            _logger.warning("What this forked process records may not be its own: %s: %s.", type(error).__name__, error)

    def _finish(self) -> None:
        self._processor.active = False
        self._providers.force_flush()
        if self._enforcement is not None:
            self._enforcement.stop(END)
        self._providers.shutdown()
