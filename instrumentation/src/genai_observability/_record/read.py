"""From a finished span, and what was noted of it and its requests, to a ``Call`` or a ``Step``."""

import functools
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context
from opentelemetry.trace.status import StatusCode

from genai_observability import signals
from genai_observability._call import Call, Estimate, Exchange, Quota, StreamEnd, Value, outcome, stream_end, utc
from genai_observability._capture.apis import FETCH
from genai_observability._capture.attributes import (
    count,
    provider_name,
    reported_cost,
    seconds,
    text,
    texts,
    tokens,
    usage,
)
from genai_observability._capture.open_calls import FinishedSpan, OpenCall, length
from genai_observability._capture.steps import NAMED_BY, OpenStep, Step
from genai_observability._content.recorded import is_content
from genai_observability._detection import scrubbed

_SECOND: Final = 1e9
_LONGEST_ID: Final = 200
_LONGEST_PROCESSING: Final = 86_400_000.0  # milliseconds: what claims more than a day is nonsense


def read_exchange(call: OpenCall, *, started: int, ended: int) -> Exchange:
    """The requests of a call that has ended; times are in nanoseconds since the epoch."""
    headers = _wanted(call.headers)
    first, last = (call.sent[0], call.sent[-1]) if call.sent else (None, None)
    phases: dict[str, float] = {}
    if first is not None and last is not None:
        phases["preparing"] = max(first - started, 0) / _SECOND
        if last > first:
            phases["retrying"] = (last - first) / _SECOND
        answered = call.answered or ended
        phases |= _waiting(max(answered - last, 0) / _SECOND, headers)
        if call.answered is not None:
            phases["reading"] = max(ended - answered, 0) / _SECOND
    return Exchange(
        request_id=next((headers[name][:_LONGEST_ID] for name in _REQUEST_ID if headers.get(name)), None),
        retries=max(len(call.sent) - 1, 0),
        refusals=call.refusals,
        phases=phases,
        quotas=_quotas(headers),
        cost=_cost(headers),
        served_model=headers.get(_SERVED_MODEL),
    )


_REQUEST_ID: Final = ("x-request-id", "request-id", "apim-request-id")
_PROCESSING: Final = "openai-processing-ms"
_COST: Final = "x-litellm-response-cost"
_SERVED_MODEL: Final = "x-ms-served-model"
"""Which model Azure has answered with: the body has the name of the deployment."""
_QUOTA_KINDS: Final = ("requests", "tokens")
_WANTED: Final = frozenset({*_REQUEST_ID, _PROCESSING, _COST, _SERVED_MODEL}) | {
    f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in _QUOTA_KINDS
}
_RAW: Final = {name.encode(): name for name in _WANTED}


def _wanted(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers that are read here. One pass: the client's own look-up goes through all of them each time."""
    if headers is None:
        return {}
    raw = getattr(headers, "raw", None)  # of httpx: pairs of bytes
    if raw is None:
        return {name: value for name, value in headers.items() if name in _WANTED}
    return {_RAW[name]: value.decode("latin-1") for each, value in raw if (name := each.lower()) in _RAW}


def _waiting(until_answer: float, headers: Mapping[str, str]) -> dict[str, float]:
    """The provider's own time as it reports it, and the rest on the network.

    https://platform.openai.com/docs/api-reference/debugging-requests.
    """
    milliseconds = _number(headers.get(_PROCESSING))
    if milliseconds is None or milliseconds > _LONGEST_PROCESSING:
        return {"waiting": until_answer}
    provider = min(milliseconds / 1000, until_answer)  # clocks differ
    return {"network": until_answer - provider, "provider": provider}


def _cost(headers: Mapping[str, str]) -> Decimal | None:
    """Dollars, as the LiteLLM proxy reports them; 0 is what it says where it does not know, as of a stream's cost."""
    amount = headers.get(_COST, "")
    return Decimal(amount) or None if _AMOUNT.fullmatch(amount) else None


_AMOUNT: Final = re.compile(r"\d{1,6}(\.\d{1,24})?([eE]-\d{1,2})?")


def _quotas(headers: Mapping[str, str]) -> tuple[Quota, ...]:
    """What is left of the rate limits: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers."""
    found = []
    for kind in _QUOTA_KINDS:
        limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
        remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        if limit and remaining is not None:
            reset = _duration(headers.get(f"x-ratelimit-reset-{kind}") or "")
            found.append(Quota(kind=kind, limit=limit, remaining=min(remaining, limit), reset=reset))
    return tuple(found)


def _number(written: str | None) -> float | None:
    return float(written) if written is not None and _NUMBER.fullmatch(written) else None


_NUMBER: Final = re.compile(r"\d{1,15}(\.\d{1,9})?")
_DURATION: Final = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,6}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?")


def _duration(written: str) -> float:
    """A duration as the provider writes it, such as ``6m0s`` or ``20ms``; 0 where it is none."""
    match = _DURATION.fullmatch(written)
    if match is None:
        return 0.0
    return sum(float(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1, 0.001), strict=True))


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
    noted, get = noted or _NOTHING, values.get
    started, ended = span.start_time or 0, span.end_time or 0
    error_type, message = _error_type(span, values), span.status.description
    used = tokens(values)
    streamed = get(signals.STREAM.name) is True or noted.chunks > 0
    finish_reasons = texts(get(signals.FINISH_REASONS.name))
    complete = bool(finish_reasons) or used.reported or noted.complete
    ending = outcome(error_type, message, streamed=streamed, complete=complete)
    first_chunk = seconds(get(signals.TIME_TO_FIRST_CHUNK.name))
    to_first_token = max(noted.first_token - started, 0) / _SECOND if noted.first_token else None
    end: StreamEnd | None = None
    if streamed:
        begun = first_chunk is not None or noted.chunks > 0
        end = stream_end(ending, message, complete=complete, begun=begun)
    exchange = read_exchange(noted, started=started, ended=ended)
    charged = reported_cost(values)
    return Call(
        operation=text(get(signals.OPERATION.name)) or "chat",
        provider=provider_name(values),
        started=utc(started),
        duration=max(ended - started, 0) / _SECOND,
        outcome=ending,
        request_model=text(get(signals.REQUEST_MODEL.name)),
        response_model=exchange.served_model or text(get(signals.RESPONSE_MODEL.name)),
        response_id=text(get(signals.RESPONSE_ID.name)),
        finish_reasons=finish_reasons,
        background=get(signals.BACKGROUND.name) is True,
        refused=get(signals.REFUSED.name) is True or noted.refused or bool(_FILTERED & {*finish_reasons}),
        streamed=streamed,
        time_to_first_chunk=first_chunk,
        time_to_first_token=to_first_token or first_chunk,
        server_address=text(get(signals.SERVER_ADDRESS.name)),
        parameters={name: values[name] for name in _PARAMETERS if isinstance(get(name), (int, float))},
        tokens=used,
        usage=usage(values),
        service_tier=text(get(signals.SERVICE_TIER.name)) or text(get(_OLDER_SERVICE_TIER)),
        reported_cost=exchange.cost if charged is None else charged,
        error_type=error_type,
        error_message=scrubbed(message),
        attribution={**_attribution_of(values), **noted.attribution},
        exchange=exchange,
        stream_end=end,
        estimate=_estimate(noted) if streamed and not used.reported and noted.answered is not None else None,
    )


_NOTHING: Final = OpenCall(None, {}, "")


def _error_type(span: FinishedSpan, values: Mapping[str, Any]) -> str | None:
    """The class of the error; for one of unknown type the conventions' word for that."""
    failed = span.status.status_code is StatusCode.ERROR
    return text(values.get(signals.ERROR_TYPE.name)) or ("_OTHER" if failed else None)


def _estimate(noted: OpenCall) -> Estimate:
    """What a stream without usage came to: a token a chunk, as providers send them, and the prompt by its size."""
    return Estimate(input=length(noted.prompt) // _CHARACTERS_PER_TOKEN, output=noted.chunks)


def _attribution_of(values: Mapping[str, Any]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if _is_attribution(name) and isinstance(value, _VALUES)}


@functools.lru_cache(maxsize=1024)
def _is_attribution(name: str) -> bool:
    return name in _ATTRIBUTION or name.startswith(signals.METADATA_PREFIX)


_VALUES: Final = (str, int, float, bool)


def read_step(span: FinishedSpan, open_step: OpenStep) -> Step:
    """The finished step that a span describes, with what was spent inside it."""
    values = attributes_of(span)
    kind = text(values.get(signals.OPERATION.name)) or ""
    error_type = _error_type(span, values)
    return Step(
        kind=kind,
        name=text(values.get(NAMED_BY.get(kind, ""))),
        duration=max((span.end_time or 0) - (span.start_time or 0), 0) / _SECOND,
        outcome=outcome(error_type, None, streamed=False, complete=True),
        error_type=error_type,
        documents=count(values.get(signals.DOCUMENT_COUNT.name)),
        best_score=seconds(values.get(signals.BEST_SCORE.name)),
        attribution=_attribution_of(values),
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
