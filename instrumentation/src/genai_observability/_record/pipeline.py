"""The way of a finished model call: read from its span, compared, priced, counted, logged, and made fit to export.

Calls go it in batches, each stage with all of a batch before the next: what a stage needs stays in the processor's
caches, which makes a call a third cheaper.

The results of the provider's batches are calls too, recorded when they are fetched. A file of results may hold 50,000
of them. They are read one by one on the worker, from the bytes that the application was given; in between, other
threads get their turn, and the log records are sent before their queue overflows.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from genai_observability import signals
from genai_observability._budgets.enforcement import Enforcement
from genai_observability._call import Call, Price, Tokens, Value
from genai_observability._capture.deferred import Results
from genai_observability._capture.open_calls import FinishedSpan, OpenCall
from genai_observability._capture.steps import OpenStep
from genai_observability._content.recorded import ContentWatch
from genai_observability._content.threats import Finding
from genai_observability._context import attribution as _attribution
from genai_observability._detection import scrubbed
from genai_observability._pricing import Prices
from genai_observability._record.duplicates import Duplicates
from genai_observability._record.metrics import Metrics
from genai_observability._record.read import attributes_of, context_of, read_call
from genai_observability._record.request_log import RequestLog, derived_attributes, finding_fields
from genai_observability._record.scores import Answer
from genai_observability._worker import Worker

_MOST_WAITING: Final = 256 * 2**20  # bytes of results that are kept for reading; one file may have more
_AT_A_TIME: Final = 500  # log records: the SDK's queue holds 2,048
_SLOW: Final = 2.0  # seconds for that many records, of a Collector that is slow or gone: other calls must not wait
_END: Final = 10.0  # seconds that the end of the process may wait for results: the time for some 50,000

_sleep: Final = time.sleep  # an application may put something else in its place
_logger = logging.getLogger("genai_observability")


@dataclass(kw_only=True)
class Batches:
    """Records the results of batches."""

    worker: Worker  # where they are read
    submission: Callable[[str], Answer]  # what is known of a batch's submission, by its id
    record: Callable[[Call, Context], object]  # in the context of the submission
    send: Callable[[], object]  # the log records that wait
    on_dropped: Callable[[], None]  # called for results for which there is no room
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: int = 0

    def fetched(self, results: Results) -> None:
        """Queue results, for whom the batch was submitted; where that is not known, for whom they are fetched."""
        submission = self.submission(results.batch)
        attribution = submission.attributes or _attribution.current()
        context = context_of(submission.span)

        def read() -> None:
            try:
                self._read(results.calls(), attribution, context)
            finally:
                self._take(-results.size)

        if not self._take(results.size):
            _logger.warning("The results of batch %s are not recorded: others that wait fill the room.", results.batch)
            self.on_dropped()
        elif not self.worker.submit(read):
            self._take(-results.size)
            self.on_dropped()

    def _take(self, size: int) -> bool:
        """Take room, or give it back; ``False`` where there is not enough."""
        with self._lock:
            if self._waiting and 0 < size > _MOST_WAITING - self._waiting:
                return False
            self._waiting += size
            return True

    def _read(self, calls: Iterable[Call], attribution: Mapping[str, Value], context: Context) -> None:
        slow = False
        for number, call in enumerate(calls, start=1):
            message = scrubbed(call.error_message)
            self.record(replace(call, attribution=attribution, error_message=message), context)
            _sleep(0)  # whoever waits for the interpreter's lock gets it now
            if number % _AT_A_TIME == 0 and not slow:
                begun = time.monotonic()
                self.send()
                slow = time.monotonic() - begun > _SLOW

    def wait(self) -> None:
        """Wait until all results are read, but not for ever."""
        if self._waiting:
            self.worker.run(lambda: None, timeout=_END)

    def forget(self) -> None:
        """In a child made by fork: the results that wait are the parent's."""
        self._lock = threading.Lock()
        self._waiting = 0


@dataclass(slots=True, eq=False)
class Finished:
    """A model call's span that has ended, with what was noted of the call, and what the stages make of it."""

    span: FinishedSpan
    noted: OpenCall | None
    step: OpenStep | None
    attributes: Mapping[str, Any] = field(init=False)  # the span's own, and those that it was not given in time
    call: Call = field(init=False)
    duplicate: bool = False
    context: Context = field(init=False)
    price: Price = field(init=False)
    derived: dict[str, AttributeValue] = field(init=False)  # what the span gets besides
    threats: list[Finding] = field(init=False)
    exported: Any = None  # the span to export, where it came that far


@dataclass(kw_only=True)
class Pipeline:
    """Takes finished calls through the stages. ``enriched`` makes the span to export, where one is wanted."""

    content: ContentWatch
    prices: Prices
    metrics: Metrics
    request_log: RequestLog
    enforcement: Enforcement | None
    enriched: Callable[..., Any] | None
    _duplicates: Duplicates = field(default_factory=Duplicates)

    def record(self, batch: Sequence[Finished]) -> None:
        """Record a batch; raises the first error, after the other calls have gone all the way."""
        errors: list[Exception] = []
        read = _through((self._read, self._look, self._compare), batch, errors)
        _through((self._price, self._count, self._log), [each for each in read if not each.duplicate], errors)
        _through((self._finish,), read, errors)
        if errors:
            raise errors[0]

    def record_result(self, call: Call, context: Context) -> None:
        """Record a call without a span of its own: the result of a batch."""
        price = self._price_of(call)
        self.metrics.record_call(call, price, context)
        if self.enforcement is not None:
            self.enforcement.book(call, price)
        self.request_log.write_call(call, price, derived_attributes(call, price), context)

    def _read(self, finished: Finished) -> None:
        span = finished.span
        noted = finished.noted
        attributes = attributes_of(span) | (noted.read if noted is not None else {})
        finished.attributes = attributes
        finished.call = read_call(span, noted, attributes)
        finished.context = context_of(span.context)

    def _look(self, finished: Finished) -> None:
        content, finished.threats = self.content.look(finished.span, finished.noted)
        if finished.noted is not None:
            finished.noted.dialogue = None
        finished.derived = {**content}

    def _compare(self, finished: Finished) -> None:
        known = finished.attributes.get(signals.DUPLICATE_OF.name)  # of a step around the call of a client
        scope = known or self._duplicates.counted_by(finished.call, finished.span, finished.noted)
        if scope is not None:
            finished.duplicate = True
            finished.derived[signals.DUPLICATE_OF.name] = scope

    def _price(self, finished: Finished) -> None:
        call = finished.call
        finished.price = price = self._price_of(call)
        if finished.step is not None:
            finished.step.charge(price)
        if self.enforcement is not None:
            reservation = finished.noted.reservation if finished.noted else None
            self.enforcement.book(call, price, reservation or ())

    def _count(self, finished: Finished) -> None:
        self.metrics.record_call(finished.call, finished.price, finished.context)
        for threat in finished.threats:
            self.metrics.record_finding(finding_fields(finished.call, threat), finished.context)

    def _log(self, finished: Finished) -> None:
        call = finished.call
        derived = derived_attributes(call, finished.price)
        self.request_log.write_call(call, finished.price, derived, finished.context)
        for threat in finished.threats:
            self.request_log.write_finding(finding_fields(call, threat), finished.context)
        finished.derived = {**derived, **finished.derived}

    def _finish(self, finished: Finished) -> None:
        if self.enriched is not None:
            finished.exported = self.enriched(finished.span, finished.call, finished.attributes, finished.derived)

    def _price_of(self, call: Call) -> Price:
        price = self.prices.price(call)
        if call.estimate is None:
            return price
        tokens = Tokens(input=call.estimate.input, output=call.estimate.output)
        return replace(price, estimated=self.prices.price(replace(call, tokens=tokens)).amount)


def _through(
    stages: Iterable[Callable[[Finished], None]], batch: Sequence[Finished], errors: list[Exception]
) -> Sequence[Finished]:
    """Take a batch through some stages; returns those that no stage failed on."""
    for stage in stages:
        going_on = []
        for finished in batch:
            try:
                stage(finished)
                going_on.append(finished)
            except Exception as error:
                errors.append(error)
        batch = going_on
    return batch
