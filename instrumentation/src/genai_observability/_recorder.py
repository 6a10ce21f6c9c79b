"""The parts of one recording, put together: the client's seam, span processor, worker, metrics and request log."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from opentelemetry._logs import LoggerProvider
from opentelemetry.context import Context, get_current
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from genai_observability import signals
from genai_observability._budgets.budget import Budget
from genai_observability._budgets.enforcement import Enforcement
from genai_observability._call import Value
from genai_observability._capture.clients import OWN_SCOPE, SCOPES, watch_clients
from genai_observability._capture.deferred import BatchFiles
from genai_observability._capture.open_calls import OpenCalls, current
from genai_observability._capture.seam import Seam
from genai_observability._capture.steps import OpenStep, OpenSteps, derived_attributes
from genai_observability._content.recorded import SPANS_AN_EXPORT, ContentWatch
from genai_observability._content.settings import Content, chosen
from genai_observability._context import attribution as _attribution
from genai_observability._context import baggage as _baggage
from genai_observability._context import threads as _threads
from genai_observability._ending import deliver_at_end
from genai_observability._export import application_logs as _application_logs
from genai_observability._export.processor import GenAISpanProcessor, Sink
from genai_observability._export.providers import Providers, configured, providers
from genai_observability._export.spans import AllCallsProvider, Span, enriched, with_attributes
from genai_observability._pricing import Prices
from genai_observability._record import measures as _measures
from genai_observability._record.instruments import observe
from genai_observability._record.metrics import Kind, Losses, Metrics
from genai_observability._record.pipeline import Batches, Pipeline
from genai_observability._record.read import context_of, read_step
from genai_observability._record.request_log import RequestLog
from genai_observability._record.scores import FEEDBACK, Answer, RecentCalls, Sign, evaluation_attributes
from genai_observability._worker import Worker, in_each_child


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """See ``instrument()``; ``globally`` as in ``providers()``."""

    service_name: str | None = None
    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    logger_provider: LoggerProvider | None = None
    logs: bool | None = None
    content: Content | str | None = None
    detect_threats: bool | None = None
    attribution_to_provider: bool = False
    threads: bool = True
    propagate: Iterable[str] = ()
    accept_baggage: Iterable[str] = ()
    globally: bool = True


_QUEUE: Final = 10_000  # finished calls that may wait to be recorded: some 60 MB at the most
_SCOPE: Final = "genai_observability"
END: Final = 2.0  # seconds that the end of a process may wait for a Collector that is slow or gone

_logger = logging.getLogger("genai_observability")


class Recorder:
    """Follows each call from its finished span to its metrics, its log record and the exported span."""

    def __init__(self, options: Options, enforcement: Enforcement | None = None) -> None:
        """Start recording; where that fails, all is as before."""
        self._enforcement = enforcement
        self._prices = Prices()
        self._recent = RecentCalls()
        self.answer = self._recent.find
        self._open_calls = OpenCalls(SCOPES)
        self._losses: Losses = Counter()
        self.open_steps = OpenSteps()
        with ExitStack() as undo:
            self._start(options, undo)
            self._undo = undo.pop_all()

    def _start(self, options: Options, undo: ExitStack) -> None:
        """What is begun here ends when ``undo`` is closed: at the shutdown, or where something of it fails."""
        self._worker = Worker(capacity=_QUEUE, warm_up=self._prices.warm_up)
        undo.callback(self._worker.stop)
        asked = chosen(options.content, detect_threats=options.detect_threats)
        self._processor = GenAISpanProcessor(open_calls=self._open_calls, open_steps=self.open_steps)
        self._providers: Providers = providers(
            service_name=options.service_name, tracer_provider=options.tracer_provider,
            meter_provider=options.meter_provider, logger_provider=options.logger_provider, globally=options.globally,
            processor=self._processor, losses=self._losses, spans_an_export=SPANS_AN_EXPORT if asked.form else None,
        )  # fmt: skip
        self._traces_are_ours = self._providers.tracer in self._providers.owned
        undo.callback(self._providers.shutdown)
        undo.callback(self._processor.let_go)
        if asked.form and self._processor.exporter is None:
            unseen = "it is part of the spans, and no spans are exported"
            early = "the application's own tracer provider exports its spans before they could be redacted"
            _logger.warning("Content is not recorded: %s.", unseen if self._traces_are_ours else early)
            asked = replace(asked, form=None)
        meter = self._providers.meter.get_meter(_SCOPE)
        self._metrics = Metrics(meter, losses=self._losses, open_calls=self._open_calls, prices_age=self._prices.age)
        self._measures = _measures.Measures(meter, on_overflow=partial(self._lose, "label"))
        _measures.observe(meter)
        self._worker.settle = self._settle
        self._request_log = RequestLog(self._providers.logger.get_logger(_SCOPE))
        if _application_logs.wanted(asked=options.logs):
            _application_logs.send(self._providers.logger, undo)
        self._content = ContentWatch(asked, on_full=partial(self._lose, "content"))
        self._pipeline = Pipeline(
            content=self._content, prices=self._prices, metrics=self._metrics, request_log=self._request_log,
            enforcement=self._enforcement, enriched=enriched if self._processor.exporter else None,
        )  # fmt: skip
        self._batches = Batches(
            worker=self._worker, submission=self._recent.find, record=self._pipeline.record_result,
            send=partial(self._providers.force_flush, logs_only=True), on_dropped=partial(self._lose, "batch"),
        )  # fmt: skip
        self._processor.sink = Sink(
            submit=self._worker.submit, remember=self._recent.remember, record_calls=self._pipeline.record,
            finish=self._finish_span, on_dropped=partial(self._lose, "call"),
        )  # fmt: skip
        self._tracers = AllCallsProvider(self._providers.tracer)
        self.tracer = self._tracers.get_tracer(_SCOPE)
        if self._enforcement is not None:
            for metric, read in self._enforcement.observed().items():
                observe(meter, metric, read)
        self._watching = undo.enter_context(ExitStack())
        self._watch(options, self._watching)
        in_each_child(self._after_fork)  # after the SDK's own
        deliver_at_end(self, forked=False)

    def _watch(self, options: Options, undo: ExitStack) -> None:
        """See calls, and whom they are for, until ``undo`` is closed."""
        seam = Seam(
            tracer=self._tracers.get_tracer(OWN_SCOPE), open_calls=self._open_calls, content=self._content,
            batches=BatchFiles(self._batches.fetched), unseen=self._providers.spans_are_unseen,
            admit=self._enforcement.admit if self._enforcement is not None else None,
            disclose=options.attribution_to_provider,
            environment=configured("deployment.environment.name") or configured("deployment.environment"),
        )  # fmt: skip
        undo.callback(_baggage.travel(
            propagate=options.propagate, accept=options.accept_baggage, traces_are_ours=self._traces_are_ours,
            to_provider=lambda context: current.get() is not None or self._open_calls.contain(context),
        ))  # fmt: skip
        if options.threads:
            undo.callback(_threads.follow())
        watch_clients(self._tracers, seam, undo)

    def force_flush(self, timeout: float) -> bool:
        """Export everything recorded so far; ``False`` where that took longer than ``timeout`` seconds."""
        return self._worker.run(self._providers.force_flush, timeout=timeout)

    def deliver(self, **_: Any) -> None:
        """Export everything at the end of the process, which waits for that ``END`` seconds at most."""
        self._batches.wait()
        self.force_flush(END)

    def shutdown(self, timeout: float) -> bool:
        """Stop recording and export the rest; ``False`` where that took longer than ``timeout`` seconds."""
        self._watching.close()
        self._batches.wait()
        return self._worker.run(self._finish, timeout=timeout)

    def _finish(self) -> None:
        self._processor.abandon_streams()
        self._settle()
        self._providers.force_flush()
        if self._enforcement is not None:
            self._enforcement.stop(END)
        self._undo.close()

    def enforces(self, budgets: tuple[Budget, ...]) -> bool:
        """Whether these are the budgets in force."""
        return self._enforcement is not None and self._enforcement.budgets == budgets

    def evaluate(
        self, name: str, *, score: float | None, label: str | None, explanation: str | None, answer: Answer | None
    ) -> None:
        """Queue a score; see ``evaluation()``."""
        self._score(evaluation_attributes(name, score=score, label=label, explanation=explanation), answer)

    def feedback(
        self, kind: str, sign: Sign, *, category: str | None, comment: str | None, answer: Answer | None
    ) -> None:
        """Queue what a user said; see ``feedback()``."""
        given = evaluation_attributes(FEEDBACK, score=sign.satisfaction, label=kind, explanation=comment)
        if category is not None:
            given[signals.FEEDBACK_CATEGORY.name] = _attribution.text(category)
        self._score(given, answer, sign)

    def _score(self, given: Mapping[str, Value], answer: Answer | None, sign: Sign | None = None) -> None:
        """Queue what is said of an answer, with what is known of it."""
        attributes, context = {**_attribution.current(), **given}, Context()
        if answer is not None:
            about = {signals.RESPONSE_ID.name: answer.response_id}
            attributes = {**answer.attributes, **_attribution.current(), **about, **given}
            context = context_of(answer.span)

        def record() -> None:
            self._request_log.write_score(attributes, context)
            if (value := given.get(signals.EVALUATION_SCORE.name)) is not None:
                self._metrics.record_score(float(value), attributes, context)
            if sign is not None:
                self._metrics.record_feedback(sign, attributes)

        self._submit(record)

    def measure(self, metric: signals.Metric, amount: float, labels: Mapping[str, Value]) -> None:
        """Queue a measurement, under these labels and the attribution in force."""
        labels, context = {**_attribution.current(), **labels}, get_current()
        self._submit(lambda: self._measures.record(metric, amount, labels, context))

    def write_event(self, name: str, body: str, attributes: Mapping[str, Value]) -> None:
        """Queue a record of the log, with the attribution in force."""
        attributes, context = {**_attribution.current(), **attributes}, get_current()
        self._submit(lambda: self._request_log.write_event(name, body, attributes, context))

    def _submit(self, task: Callable[[], object]) -> None:
        if not self._worker.submit(task):
            self._lose("call")

    def _lose(self, kind: Kind) -> None:
        self._losses[kind] += 1

    def _finish_span(self, span: Span, open_step: OpenStep | None) -> Span:
        """Record a finished step of a chain, if it is one; returns the span to export."""
        attributes = self._content.attributes(span)
        if open_step is None:
            return with_attributes(span, attributes)
        step, context = read_step(span, open_step), context_of(span.context)
        self._measures.record_step(step, context)
        labels = _measures.step_labels(step)
        open_step.on_late = lambda cost: self._measures.record(signals.STEP_COSTS, float(cost), labels, context)
        return with_attributes(span, {**attributes, **derived_attributes(step)})

    def _settle(self) -> None:
        while self._processor.record_calls():  # those that the queue had no room to announce
            pass
        self._metrics.settle()

    def _after_fork(self) -> None:
        if self._processor.sink is None:
            return
        try:
            self._open_calls.forget()
            self._processor.forget()
            self.open_steps.forget()
            self._metrics.forget()
            self._batches.forget()
            self._content.after_fork()
            self._providers.after_fork()
            deliver_at_end(self, forked=True)
        except Exception as error:
            _logger.warning("What this forked process records may not be its own: %s: %s.", type(error).__name__, error)
