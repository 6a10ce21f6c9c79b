"""From a finished span, and what was noted of it, to a ``Call`` or a ``Step``."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context
from opentelemetry.trace.status import StatusCode

from genai_observability import signals
from genai_observability._calls.attributes import Attributes
from genai_observability._calls.call import Call, Estimate, Exchange, StreamEnd, Value, utc
from genai_observability._calls.exchange import read_exchange
from genai_observability._calls.outcome import outcome, stream_end
from genai_observability._calls.provider_names import provider_name
from genai_observability._capture.apis import FETCH
from genai_observability._capture.dialogue import length
from genai_observability._capture.open_calls import FinishedSpan, OpenCall
from genai_observability._chains.steps import NAMED_BY, OpenStep, Step
from genai_observability._content.messages import scrubbed
from genai_observability._content.recorded import is_content

MODEL_OPERATIONS: Final = frozenset(
    {"chat", "text_completion", "generate_content", "embeddings"}  # the conventions' names, and some of our own:
    | {"image_generation", "speech", "transcription", "translation", "moderation"}
    | {"batch"}  # the submission of one
)
"""``gen_ai.operation.name`` of the spans that are calls of a model; agents and tools are not."""
RECORDED_OPERATIONS: Final = MODEL_OPERATIONS | {FETCH} | frozenset(NAMED_BY)
"""Those of the spans that may turn out to be, and of steps: they are recorded whatever share of the traces is kept."""

_OLDER_SERVICE_TIER: Final = "gen_ai.openai.response.service_tier"
_PARAMETERS: Final = (signals.TEMPERATURE.name, signals.TOP_P.name, signals.MAX_TOKENS.name)
_ATTRIBUTION: Final = frozenset(attribute.name for attribute in signals.ATTRIBUTION)
_FILTERED: Final = frozenset({"content_filter", "refusal"})
_CHARACTERS_PER_TOKEN: Final = 4  # of English text: https://platform.openai.com/tokenizer


def is_model_call(span: FinishedSpan) -> bool:
    """Whether a span is the call of a model, by any instrumentation that follows the conventions."""
    attributes = span.attributes
    if attributes is None:
        return False
    operation = attributes.get(signals.OPERATION.name)
    # A fetched response is only told of with its usage where that has not been recorded before.
    return operation in MODEL_OPERATIONS or (operation == FETCH and signals.INPUT_TOKENS.name in attributes)


def carries_content(span: FinishedSpan) -> bool:
    """Whether a span of a GenAI instrumentation has attributes that carry content."""
    attributes = span.attributes
    return attributes is not None and signals.OPERATION.name in attributes and any(map(is_content, attributes))


def read_call(span: FinishedSpan, noted: OpenCall | None, values: Mapping[str, Any]) -> Call:
    """The finished call that a span and its attributes describe, with what was noted while it ran.

    Values of a wrong type are left out, never an error.
    """
    attributes = Attributes(values)
    started, ended = span.start_time or 0, span.end_time or 0
    error_type, message = _error_type(span, attributes), span.status.description
    tokens = attributes.tokens()
    streamed = values.get(signals.STREAM.name) is True or bool(noted and noted.chunks)
    finish_reasons = attributes.texts(signals.FINISH_REASONS.name)
    complete = tokens.reported or bool(noted and noted.complete)
    ending = outcome(error_type, message, streamed=streamed, finish_reasons=finish_reasons, complete=complete)
    first_chunk = attributes.seconds(signals.TIME_TO_FIRST_CHUNK.name)
    end: StreamEnd | None = None
    if streamed:
        begun = first_chunk is not None or bool(noted and noted.chunks)
        end = stream_end(ending, message, finish_reasons=finish_reasons, complete=complete, begun=begun)
    exchange = read_exchange(noted, started=started, ended=ended) if noted else _NO_EXCHANGE
    reported_cost = attributes.reported_cost()
    return Call(
        operation=attributes.text(signals.OPERATION.name) or "chat",
        provider=provider_name(values),
        started=utc(started),
        duration=max(ended - started, 0) / 1e9,
        outcome=ending,
        request_model=attributes.text(signals.REQUEST_MODEL.name),
        response_model=exchange.served_model or attributes.text(signals.RESPONSE_MODEL.name),
        response_id=attributes.text(signals.RESPONSE_ID.name),
        finish_reasons=finish_reasons,
        background=values.get(signals.BACKGROUND.name) is True,
        refused=bool(
            values.get(signals.REFUSED.name) is True or (noted and noted.refused) or _FILTERED & {*finish_reasons}
        ),
        streamed=streamed,
        time_to_first_chunk=first_chunk,
        time_to_first_token=_seconds_until(noted.first_token if noted else None, started) or first_chunk,
        server_address=attributes.text(signals.SERVER_ADDRESS.name),
        parameters={name: values[name] for name in _PARAMETERS if isinstance(values.get(name), (int, float))},
        tokens=tokens,
        usage=attributes.usage(),
        service_tier=attributes.text(signals.SERVICE_TIER.name) or attributes.text(_OLDER_SERVICE_TIER),
        reported_cost=exchange.cost if reported_cost is None else reported_cost,
        error_type=error_type,
        error_message=scrubbed(message),
        attribution=_attribution_of(values, noted),
        exchange=exchange,
        stream_end=end,
        estimate=_estimate(noted) if streamed and not tokens.reported else None,
    )


_NO_EXCHANGE: Final = Exchange()


def _error_type(span: FinishedSpan, attributes: Attributes) -> str | None:
    """The class of the error; for one of unknown type the conventions' word for that."""
    failed = span.status.status_code is StatusCode.ERROR
    return attributes.text(signals.ERROR_TYPE.name) or ("_OTHER" if failed else None)


def _seconds_until(moment: int | None, started: int) -> float | None:
    return max(moment - started, 0) / 1e9 if moment else None


def _estimate(noted: OpenCall | None) -> Estimate | None:
    """What a stream without usage came to: a token a chunk, as providers send them, and the prompt by its size."""
    if noted is None or noted.answered is None:
        return None
    return Estimate(input=length(noted.prompt) // _CHARACTERS_PER_TOKEN, output=noted.chunks)


def _attribution_of(values: Mapping[str, Any], noted: OpenCall | None) -> dict[str, Value]:
    names = [name for name in values if _is_attribution(name)]
    found: dict[str, Value] = {name: values[name] for name in names if isinstance(values[name], _VALUES)}
    return {**found, **noted.attribution} if noted is not None else found


@functools.lru_cache(maxsize=1024)
def _is_attribution(name: str) -> bool:
    return name in _ATTRIBUTION or name.startswith(signals.METADATA_PREFIX)


_VALUES: Final = (str, int, float, bool)


def read_step(span: FinishedSpan, open_step: OpenStep) -> Step:
    """The finished step that a span describes, with what was spent inside it."""
    values = attributes_of(span)
    attributes = Attributes(values)
    kind = attributes.text(signals.OPERATION.name) or ""
    error_type = _error_type(span, attributes)
    return Step(
        kind=kind,
        name=attributes.text(NAMED_BY.get(kind, "")),
        duration=max((span.end_time or 0) - (span.start_time or 0), 0) / 1e9,
        outcome=outcome(error_type, None, streamed=False, finish_reasons=(), complete=True),
        error_type=error_type,
        documents=attributes.count(signals.DOCUMENT_COUNT.name),
        best_score=attributes.seconds(signals.BEST_SCORE.name),
        attribution=_attribution_of(values, None),
        calls=open_step.calls,
        cost=open_step.cost,
        unpriced=open_step.unpriced,
    )


def context_of(span: SpanContext | None) -> Context:
    """A context whose current span is a finished one: without it a metric gets no exemplar, a log no trace id."""
    return set_span_in_context(NonRecordingSpan(span), Context()) if span else Context()


def attributes_of(span: FinishedSpan) -> dict[str, Any]:
    """A plain dictionary: reading the SDK's own, value by value, takes 20 times as long as its ``copy()``."""
    attributes: Any = span.attributes
    copy = getattr(attributes, "copy", None)
    return copy() if copy else dict(attributes or {})
