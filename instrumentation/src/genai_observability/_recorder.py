"""The parts of one recording, put together: client wrappers, span processor, worker, metrics and request log."""

import logging
import os
import sys
import weakref
from dataclasses import replace
from typing import Final

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import TracerProvider

from genai_observability import _application_logs, _attribution, signals
from genai_observability._call import Call, Price, Tokens
from genai_observability._clients import SCOPES, wrap_clients
from genai_observability._duplicates import Duplicates
from genai_observability._evaluation import RecentCalls, evaluation_attributes
from genai_observability._metrics import Metrics
from genai_observability._open_calls import OpenCall, OpenCalls
from genai_observability._pricing import Prices
from genai_observability._providers import Providers, providers
from genai_observability._request_log import RequestLog, derived_attributes
from genai_observability._spans import GenAISpanProcessor, context_of, enriched, read_call
from genai_observability._worker import Worker

_QUEUE: Final = 10_000  # finished calls that may wait to be recorded: some 20 MB at the most
_SCOPE: Final = "genai_observability"
_END: Final = 2.0  # seconds that the end of a child process may wait for a Collector that is slow or gone


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
    ) -> None:
        """Start recording; the arguments are those of ``instrument()``, and ``globally`` as in ``providers()``."""
        self._prices = Prices()
        self._recent = RecentCalls()
        self._duplicates = Duplicates()
        self._open_calls = OpenCalls(SCOPES)
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
        self._metrics = Metrics(
            self._providers.meter.get_meter(_SCOPE), open_calls=self._open_calls, prices_age=self._prices.age
        )
        self._worker.settle = self._metrics.settle
        self._request_log = RequestLog(self._providers.logger.get_logger(_SCOPE))
        self._log_handler: logging.Handler | None = None
        if _application_logs.wanted(asked=logs):
            self._log_handler = _application_logs.send(self._providers.logger)
        self._unwrap = wrap_clients(self._providers.tracer, self._open_calls)
        if hasattr(os, "register_at_fork"):  # not on Windows
            after_fork = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (renew := after_fork()) and renew())  # after the SDK's own

    def force_flush(self, timeout: float) -> bool:
        """Export everything recorded so far; ``False`` where that took longer than ``timeout`` seconds."""
        return self._worker.run(self._providers.force_flush, timeout=timeout)

    def shutdown(self, timeout: float) -> bool:
        """Stop recording and export the rest; ``False`` where that took longer than ``timeout`` seconds."""
        self._unwrap()
        if self._log_handler is not None:
            logging.getLogger().removeHandler(self._log_handler)
        return self._worker.run(self._finish, timeout=timeout)

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
            open_calls=self._open_calls,
            submit=self._worker.submit,
            on_call=self._record,
            on_dropped=self._count_dropped,
            exporter=exporter,
        )
        return self._processor

    def _record(self, span: ReadableSpan, noted: OpenCall | None) -> ReadableSpan:
        call = read_call(span, noted)
        if (scope := self._duplicates.counted_by(call, span, noted)) is not None:
            return enriched(span, call, {signals.DUPLICATE_OF.name: scope})
        price = self._price(call)
        derived = derived_attributes(call, price)
        context = context_of(span.context)
        self._recent.remember(call, span.context)
        self._metrics.record_call(call, price, context)
        self._request_log.write_call(call, price, derived, context)
        return enriched(span, call, derived)

    def _price(self, call: Call) -> Price:
        price = self._prices.price(call)
        if call.estimate is None:
            return price
        tokens = Tokens(input=call.estimate.input, output=call.estimate.output)
        return replace(price, estimated=self._prices.price(replace(call, tokens=tokens)).amount)

    def _count_dropped(self) -> None:
        self._metrics.dropped["span"] += 1

    def _after_fork(self) -> None:
        if not self._processor.active:
            return
        try:
            self._open_calls.forget()
            self._metrics.forget()
            self._providers.after_fork()
            if multiprocessing := sys.modules.get("multiprocessing.util"):  # its children end without atexit
                multiprocessing.register_after_fork(self, _flush_at_end)
        except Exception as error:
            _logger.warning("What this forked process records may not be its own: %s: %s.", type(error).__name__, error)

    def _finish(self) -> None:
        self._processor.active = False
        self._providers.force_flush()
        self._providers.shutdown()


def _flush_at_end(recorder: Recorder) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, recorder.force_flush, args=(_END,), exitpriority=0)
