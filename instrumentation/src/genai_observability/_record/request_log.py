"""The request log: one structured record a model call, a score or a sign of an attack, never with content."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context

from genai_observability import signals
from genai_observability._call import Call, Price, Value
from genai_observability._content.threats import Finding

_Fields = dict[str, Value | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class RequestLog:
    """Writes the product's log records. ``context`` is that of the call's span, which gives them its trace id."""

    logger: Logger

    def write_call(self, call: Call, price: Price, derived: Mapping[str, Value], context: Context) -> None:
        """One record for one call; ``derived`` are its derived attributes."""
        ended = int((call.started.timestamp() + call.duration) * 1e9)
        self._write({**_call_fields(call), **derived}, _sentence(call, price), context, _severity(call), ended)

    def write_score(self, attributes: Mapping[str, Value], context: Context) -> None:
        """One record for one score."""
        body = f"score of {attributes[signals.EVALUATION_NAME.name]}"
        self.write_event(signals.EVALUATION_EVENT, body, attributes, context)

    def write_event(self, name: str, body: str, attributes: Mapping[str, Value], context: Context) -> None:
        """One record for whatever has a name in the conventions."""
        # An attribute besides the record's own field: Loki drops the field.
        self._write({signals.EVENT_NAME.name: name, **attributes}, body, context, SeverityNumber.INFO)

    def write_finding(self, attributes: Mapping[str, Value], context: Context) -> None:
        """One record for one sign of an attack or a leak: a WARN."""
        kind, detail, source = (
            attributes[attribute.name]
            for attribute in (signals.SECURITY_KIND, signals.SECURITY_DETAIL, signals.SECURITY_SOURCE)
        )
        fields: _Fields = {signals.EVENT_NAME.name: signals.SECURITY_EVENT, **attributes}
        self._write(fields, f"{kind} ({detail}) in {source}", context, SeverityNumber.WARN)

    def _write(self, fields: _Fields, body: str, context: Context, severity: SeverityNumber, ended: int = 0) -> None:
        now = time.time_ns()
        timestamp = ended or now
        fields[signals.RECORD_VERSION.name] = signals.NEWEST_RECORD_VERSION
        fields[signals.RECORD_ID.name] = _record_id(timestamp)
        record = LogRecord(
            timestamp=timestamp,
            observed_timestamp=now,
            context=context,
            severity_number=severity,
            severity_text=severity.name,
            body=body,
            attributes=fields,
        )
        self.logger.emit(record)


def _record_id(timestamp: int) -> str:
    """A UUID of version 7 (RFC 9562) as 32 hexadecimal digits: of the record's time, and as it happens.

    The system's chance, as an application may set the seed of Python's, also in workers that are forked.
    """
    chance = int.from_bytes(os.urandom(10), "big")
    number = (timestamp // 1_000_000 << 80) | chance
    return f"{number & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62:032x}"


def _severity(call: Call) -> SeverityNumber:
    """ERROR for a call that failed, WARN for one that had to be tried again, INFO for all others."""
    if call.outcome not in ("success", "cancelled"):
        return SeverityNumber.ERROR
    return SeverityNumber.WARN if call.exchange.retries else SeverityNumber.INFO


def _call_fields(call: Call) -> _Fields:
    """Those that the call's span already has, by the catalogue."""
    tokens = call.tokens
    fields = (
        (signals.EVENT_NAME.name, signals.CALL_EVENT),
        (signals.OPERATION.name, call.operation),
        (signals.PROVIDER.name, call.provider),
        (signals.REQUEST_MODEL.name, call.request_model),
        (signals.RESPONSE_MODEL.name, call.response_model),
        (signals.RESPONSE_ID.name, call.response_id),
        (signals.FINISH_REASONS.name, call.finish_reasons or None),
        (signals.STREAM.name, call.streamed or None),
        (signals.SERVER_ADDRESS.name, call.server_address),
        (signals.INPUT_TOKENS.name, tokens.input),
        (signals.OUTPUT_TOKENS.name, tokens.output),
        (signals.CACHED_TOKENS.name, tokens.cached or None),
        (signals.CACHE_WRITE_TOKENS.name, tokens.cache_write or None),
        (signals.REASONING_TOKENS.name, tokens.reasoning or None),
        (signals.SERVICE_TIER.name, call.service_tier),
        (signals.ERROR_TYPE.name, call.error_type),
        (signals.ERROR_MESSAGE.name, call.error_message),
        (signals.DURATION.name, None if call.batch else call.duration),
        (signals.BATCH.name, call.batch),
    )
    known = {name: value for name, value in fields if value is not None}
    return {**known, **call.parameters, **call.usage, **call.attribution}


def finding_fields(call: Call, found: Finding) -> dict[str, Value]:
    """The fields of the record of a sign of an attack or a leak."""
    fields: dict[signals.Attribute, Value | None] = {
        signals.SECURITY_KIND: found.kind,
        signals.SECURITY_DETAIL: found.detail,
        signals.SECURITY_SOURCE: found.source,
        signals.SECURITY_COUNT: found.times,
        signals.RESPONSE_ID: call.response_id,
        signals.REQUEST_MODEL: call.request_model,
    }
    known = {attribute.name: value for attribute, value in fields.items() if value is not None}
    return {**known, **call.attribution}


def derived_attributes(call: Call, price: Price) -> dict[str, Value]:
    """What this package adds to what the call's span already says: outcome, cost, and where the time went."""
    estimate, exchange = call.estimate, call.exchange
    fields = (
        (signals.OUTCOME.name, call.outcome),
        (signals.REFUSED.name, call.refused or None),
        (signals.BACKGROUND.name, call.background or None),
        (signals.COST.name, None if price.amount is None else float(price.amount)),
        (signals.COST_CURRENCY.name, None if price.amount is None else "USD"),
        (signals.COST_SOURCE.name, None if price.amount is None else price.source),
        (signals.PRICE_AGE.name, price.age),
        (signals.CACHE_SAVED.name, None if price.cache_saved is None else float(price.cache_saved)),
        (signals.UNPRICED.name, price.unpriced),
        (signals.ESTIMATED_INPUT.name, estimate.input if estimate else None),
        (signals.ESTIMATED_OUTPUT.name, estimate.output if estimate else None),
        (signals.ESTIMATED_COST.name, None if price.estimated is None else float(price.estimated)),
        (signals.TIME_TO_FIRST_TOKEN.name, call.time_to_first_token),
        (signals.TIME_PER_TOKEN.name, call.time_per_output_token),
        (signals.OUTPUT_RATE.name, call.output_tokens_per_second),
        (signals.STREAM_END.name, call.stream_end),
        (signals.RETRIES.name, exchange.retries or None),
        (signals.PROVIDER_REQUEST_ID.name, exchange.request_id),
    )
    derived: dict[str, Value] = {name: value for name, value in fields if value is not None}
    for phase, seconds in exchange.phases.items():
        derived[signals.PHASE_SECONDS[phase].name] = seconds
    return derived


def _sentence(call: Call, price: Price) -> str:
    parts = [f"{call.operation} {call.response_model or call.request_model or call.provider}: {call.outcome}"]
    parts.append("of a batch" if call.batch else f"{call.duration:.2f} s")
    if call.tokens.reported:
        parts.append(f"{call.tokens.input or 0}+{call.tokens.output or 0} tokens")
    if price.amount is not None:
        parts.append(f"${float(price.amount):.6f}")
    elif price.unpriced:
        parts.append(f"unpriced ({price.unpriced})")
    if call.error_type:
        parts.append(call.error_type)
    return ", ".join(parts)
