"""Whatever share of the traces is kept, every model call is counted, priced and logged."""

import copy
from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer as SDKTracer
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Tracer, TracerProvider, TraceState
from opentelemetry.util.types import Attributes

from genai_observability import signals


class CallsRecorded(Sampler):
    """Another sampler, but model calls that it drops are recorded all the same: processed, and not exported.

    Args:
        sampler: The sampler that decides which traces are kept.
        operations: ``gen_ai.operation.name`` of the spans that are model calls.
    """

    def __init__(self, sampler: Sampler, operations: frozenset[str]) -> None:
        self._sampler = sampler
        self._operations = operations

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The other sampler's answer, with the lowest kind of recording for a call that it drops."""
        result = self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if (
            result.decision is Decision.DROP
            and attributes
            and attributes.get(signals.OPERATION.name) in self._operations
        ):
            return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)
        return result

    def get_description(self) -> str:
        """As the other sampler describes itself."""
        return self._sampler.get_description()


class AllCallsProvider(TracerProvider):
    """The application's tracer provider, for the client wrappers: their tracers alone record every call.

    Args:
        provider: The application's, or ours.
        operations: ``gen_ai.operation.name`` of the spans that are model calls.
    """

    def __init__(self, provider: TracerProvider, operations: frozenset[str]) -> None:
        self._provider = provider
        self._operations = operations

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        """A tracer of the provider."""
        tracer = self._provider.get_tracer(*args, **kwargs)
        if not isinstance(tracer, SDKTracer) or isinstance(tracer.sampler, CallsRecorded):
            return tracer
        tracer = copy.copy(tracer)  # the application may use this one too
        tracer.sampler = CallsRecorded(tracer.sampler, self._operations)
        return tracer
