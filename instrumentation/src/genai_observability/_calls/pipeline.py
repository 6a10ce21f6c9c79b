"""The way of a finished model call: read from its span, compared, priced, counted, logged, and made fit to export.

Calls go it in batches, each stage with all of a batch before the next: what a stage needs stays in the processor's
caches, which makes a call a third cheaper.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from genai_observability import signals
from genai_observability._budgets.enforcement import Enforcement
from genai_observability._calls.call import Call, Price, Tokens
from genai_observability._calls.duplicates import Duplicates
from genai_observability._calls.spans import attributes_of, context_of, read_call
from genai_observability._capture.open_calls import FinishedSpan, OpenCall
from genai_observability._chains.steps import OpenStep
from genai_observability._content.threats import Finding
from genai_observability._content.watch import ContentWatch
from genai_observability._export.request_log import RequestLog, derived_attributes, finding_fields
from genai_observability._metrics.metrics import Metrics
from genai_observability._pricing import Prices


class Finished:
    """A model call's span that has ended, with what was noted of the call, and what the stages make of it."""

    __slots__ = (
        "attributes",
        "call",
        "context",
        "derived",
        "duplicate",
        "exported",
        "noted",
        "price",
        "span",
        "step",
        "threats",
    )

    attributes: Mapping[str, Any]
    """The span's own, and those that it was not given in time."""
    call: Call
    context: Context
    price: Price
    derived: dict[str, AttributeValue]
    """What the span gets besides."""
    threats: list[Finding]

    def __init__(self, span: FinishedSpan, noted: OpenCall | None, step: OpenStep | None) -> None:
        self.span = span
        self.noted = noted
        self.step = step
        self.duplicate = False
        self.exported: Any = None
        """The span to export, where it came that far."""


class Pipeline:
    """Takes finished calls through the stages. ``enriched`` makes the span to export, where one is wanted."""

    def __init__(
        self,
        *,
        content: ContentWatch,
        prices: Prices,
        metrics: Metrics,
        request_log: RequestLog,
        enforcement: Enforcement | None,
        enriched: Callable[..., Any] | None,
    ) -> None:
        self._content = content
        self._duplicates = Duplicates()
        self._prices = prices
        self._metrics = metrics
        self._request_log = request_log
        self._enforcement = enforcement
        self._enriched = enriched

    def record(self, batch: Sequence[Finished]) -> None:
        """Record a batch; raises the first error, after the other calls have gone all the way."""
        errors: list[Exception] = []
        read = _through((self._read, self._look, self._compare), batch, errors)
        _through((self._price, self._count, self._log), [each for each in read if not each.duplicate], errors)
        if self._enriched is not None:
            _through((self._finish,), read, errors)
        if errors:
            raise errors[0]

    def record_result(self, call: Call, context: Context) -> None:
        """Record a call without a span of its own: the result of a batch."""
        price = self._price_of(call)
        self._metrics.record_call(call, price, context)
        if self._enforcement is not None:
            self._enforcement.book(call, price)
        self._request_log.write_call(call, price, derived_attributes(call, price), context)

    def _read(self, finished: Finished) -> None:
        span = finished.span
        noted = finished.noted
        attributes = attributes_of(span) | (noted.read if noted is not None else {})
        finished.attributes = attributes
        finished.call = read_call(span, noted, attributes)
        finished.context = context_of(span.context)

    def _look(self, finished: Finished) -> None:
        content, finished.threats = self._content.look(finished.span, finished.noted)
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
        if self._enforcement is not None:
            reservation = finished.noted.reservation if finished.noted is not None else None
            self._enforcement.book(call, price, reservation or ())

    def _count(self, finished: Finished) -> None:
        self._metrics.record_call(finished.call, finished.price, finished.context)
        for threat in finished.threats:
            self._metrics.record_finding(finding_fields(finished.call, threat), finished.context)

    def _log(self, finished: Finished) -> None:
        call = finished.call
        derived = derived_attributes(call, finished.price)
        self._request_log.write_call(call, finished.price, derived, finished.context)
        for threat in finished.threats:
            self._request_log.write_finding(finding_fields(call, threat), finished.context)
        finished.derived = {**derived, **finished.derived}

    def _finish(self, finished: Finished) -> None:
        if self._enriched is not None:
            finished.exported = self._enriched(finished.span, finished.call, finished.attributes, finished.derived)

    def _price_of(self, call: Call) -> Price:
        price = self._prices.price(call)
        if call.estimate is None:
            return price
        tokens = Tokens(input=call.estimate.input, output=call.estimate.output)
        return replace(price, estimated=self._prices.price(replace(call, tokens=tokens)).amount)


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
