"""The steps of chains that have begun and not ended, and the money that is spent below each of them.

A step is a span of an agent, a tool, a workflow, a retrieval or a reranking, by whatever instrumentation. A span inside
one is known by its parents; where a sampler has dropped a parent, by OpenTelemetry's context, in which our own steps
leave a note. Prices are known only on the worker, which alone writes what is counted here: the calls of a step are
ahead of it in the queue, as they end before it does.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import Token
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.trace import INVALID_SPAN, Span, set_span_in_context

from genai_observability import signals
from genai_observability._call import Outcome, Price, Value
from genai_observability._capture.open_calls import FinishedSpan, scope_of

NAMED_BY: Final = {
    "execute_tool": signals.TOOL_NAME.name,
    "invoke_agent": signals.AGENT_NAME.name,
    "invoke_workflow": signals.WORKFLOW_NAME.name,
    "retrieval": signals.DATA_SOURCE.name,
    "rerank": signals.DATA_SOURCE.name,  # our own word: the conventions have none
}
"""``gen_ai.operation.name`` of the spans that are steps, and what names such a step."""

_MOST: Final = 20_000  # spans at a time; more can only be spans that nobody ends, and the oldest are forgotten
_STEP: Final = create_key("genai_observability.step")
_OPENED: Final = create_key("genai_observability.opened")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a chain, finished. ``duration`` is in seconds; ``calls`` and money are those of the calls inside."""

    kind: str
    name: str | None
    duration: float
    outcome: Outcome
    error_type: str | None = None
    documents: int | None = None
    best_score: float | None = None
    attribution: Mapping[str, Value] = field(default_factory=dict)
    calls: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0


@dataclass(slots=True, eq=False)
class OpenStep:
    """A step that has begun, and what the calls inside it have cost so far."""

    outer: "OpenStep | None"
    calls: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    on_late: Callable[[Decimal], object] | None = None
    """Takes what is spent once the step has been recorded, such as by a stream that is read after it."""

    def charge(self, price: Price) -> None:
        """A call inside was made, at this price; the steps around count it too."""
        step: OpenStep | None = self
        while step is not None:
            step.calls += 1
            step.unpriced += price.unpriced is not None
            if price.amount is not None:
                step.cost += price.amount
                if step.on_late is not None:
                    step.on_late(price.amount)
            step = step.outer


@dataclass(slots=True, eq=False)
class Opened:
    """One use of a step that the application wrote down, noted in OpenTelemetry's context while it lasts."""

    by: object
    outer: "Opened | None"
    span: Span = INVALID_SPAN
    token: Token[Context] | None = None
    counted_by: str | None = None  # the instrumentation that records a call inside which is the same as this one

    @staticmethod
    def innermost(context: Context | None = None) -> "Opened | None":
        """The one around the code that runs here, or in another context."""
        found = get_value(_OPENED, context)
        return found if isinstance(found, Opened) else None

    def note(self, context: Context) -> Context:
        """The context inside."""
        return set_value(_OPENED, self, set_span_in_context(self.span, context))


class OpenSteps:
    """Finds the step that a span is inside of."""

    def __init__(self) -> None:
        # Ordered: the oldest is found at once, and taken out in one go while other threads begin spans.
        self._by_span: OrderedDict[int, OpenStep] = OrderedDict()

    def begin(self, span: FinishedSpan, context: Context | None, *, is_call: bool) -> None:
        """A span has started, which may be a step, be part of one, or be the call of a model."""
        outer = self._by_span.get(span.parent.span_id) if span.parent is not None else None
        if outer is None:
            noted = get_value(_STEP, context)
            outer = noted if isinstance(noted, OpenStep) else None
        around = Opened.innermost(context) if is_call else None
        if around is not None and _operation(around.span) == _operation(span):
            around.counted_by = scope_of(span)  # an embedding that the application wrote down around a client's
        step = OpenStep(outer) if not is_call and is_step(span) else outer
        if step is not None and span.context is not None:
            if len(self._by_span) >= _MOST:
                self._by_span.popitem(last=False)
            self._by_span[span.context.span_id] = step

    def end(self, span: FinishedSpan) -> OpenStep | None:
        """A span has ended: the step that it was, or was part of."""
        return self._by_span.pop(span.context.span_id, None) if span.context is not None else None

    def note(self, span_id: int, context: Context) -> Context:
        """The context with a note of the step whose span this is."""
        step = self._by_span.get(span_id)
        return context if step is None else set_value(_STEP, step, context)

    def forget(self) -> None:
        """In a child made by fork: the open steps are the parent's."""
        self._by_span.clear()


def is_step(span: FinishedSpan) -> bool:
    """Whether a span is the step of a chain, by any instrumentation that follows the conventions."""
    return _operation(span) in NAMED_BY


def _operation(span: object) -> object:
    attributes: Mapping[str, object] = getattr(span, "attributes", None) or {}  # of a dropped span there are none
    return attributes.get(signals.OPERATION.name)


def derived_attributes(step: Step) -> dict[str, Value]:
    """What this package adds to what the step's span already says."""
    derived: dict[str, Value] = {signals.OUTCOME.name: step.outcome, signals.STEP_CALLS.name: step.calls}
    if step.calls > step.unpriced:
        derived[signals.STEP_COST.name] = float(step.cost)
    if step.unpriced:
        derived[signals.STEP_UNPRICED.name] = step.unpriced
    return derived
