"""The request log: one structured record a model call, a score or a sign of an attack, never with content."""

import time
from collections.abc import Mapping

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context

from genai_observability import signals
from genai_observability._call import Call, Price, Value
from genai_observability._content.threats import Finding


class RequestLog:
    """Writes the product's log records. ``context`` is that of the call's span, which gives them its trace id."""

    def __init__(self, logger: Logger) -> None:
        """Write to this logger of an OpenTelemetry logger provider."""
        self._logger = logger

    def write_call(self, call: Call, price: Price, context: Context) -> None:
        """One record for one call: INFO, or ERROR where the call failed."""
        failed = call.outcome not in ("success", "cancelled")
        self._logger.emit(
            LogRecord(
                timestamp=int((call.started.timestamp() + call.duration) * 1e9),
                observed_timestamp=time.time_ns(),
                context=context,
                severity_number=SeverityNumber.ERROR if failed else SeverityNumber.INFO,
                severity_text="ERROR" if failed else "INFO",
                body=_sentence(call, price),
                attributes=call_fields(call, price),
            )
        )

    def write_score(self, attributes: Mapping[str, Value], context: Context) -> None:
        """One record for one score."""
        body = f"score of {attributes[signals.EVALUATION_NAME.name]}"
        self._write(signals.EVALUATION_EVENT, SeverityNumber.INFO, body, attributes, context)

    def write_finding(self, attributes: Mapping[str, Value], context: Context) -> None:
        """One record for one sign of an attack or a leak: a WARN."""
        kind, detail, source = (
            attributes[attribute.name]
            for attribute in (signals.SECURITY_KIND, signals.SECURITY_DETAIL, signals.SECURITY_SOURCE)
        )
        self._write(signals.SECURITY_EVENT, SeverityNumber.WARN, f"{kind} ({detail}) in {source}", attributes, context)

    def _write(
        self, event: str, severity: SeverityNumber, body: str, attributes: Mapping[str, Value], context: Context
    ) -> None:
        self._logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                observed_timestamp=time.time_ns(),
                context=context,
                severity_number=severity,
                severity_text=severity.name,
                body=body,
                # An attribute besides the record's own field: Loki drops the field.
                attributes={signals.EVENT_NAME.name: event, **attributes},
            )
        )


def call_fields(call: Call, price: Price) -> dict[str, Value | tuple[str, ...]]:
    """The fields of a call's record, by the catalogue; fields without a value are left out."""
    fields = {
        signals.EVENT_NAME: signals.CALL_EVENT,
        signals.OPERATION: call.operation,
        signals.PROVIDER: call.provider,
        signals.REQUEST_MODEL: call.request_model,
        signals.RESPONSE_MODEL: call.response_model,
        signals.RESPONSE_ID: call.response_id,
        signals.FINISH_REASONS: call.finish_reasons or None,
        signals.STREAM: call.streamed or None,
        signals.SERVER_ADDRESS: call.server_address,
        signals.INPUT_TOKENS: call.tokens.input,
        signals.OUTPUT_TOKENS: call.tokens.output,
        signals.CACHED_TOKENS: call.tokens.cached or None,
        signals.CACHE_WRITE_TOKENS: call.tokens.cache_write or None,
        signals.REASONING_TOKENS: call.tokens.reasoning or None,
        signals.ERROR_TYPE: call.error_type,
        signals.ERROR_MESSAGE: call.error_message,
        signals.TIME_TO_FIRST_TOKEN: call.time_to_first_token,
        signals.DURATION: call.duration,
    }
    known = {attribute.name: value for attribute, value in fields.items() if value is not None}
    return {**known, **call.parameters, **call.attribution, **derived_attributes(call, price)}


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
    """What this package adds to what the call's span already says: outcome, cost and speed."""
    derived: dict[str, Value] = {signals.OUTCOME.name: call.outcome}
    if price.amount is not None:
        derived[signals.COST.name] = float(price.amount)
        derived[signals.COST_CURRENCY.name] = "USD"
        derived[signals.COST_SOURCE.name] = "local"
    if price.unpriced:
        derived[signals.UNPRICED.name] = price.unpriced
    if (rate := call.output_tokens_per_second) is not None:
        derived[signals.OUTPUT_RATE.name] = rate
    return derived


def _sentence(call: Call, price: Price) -> str:
    parts = [f"{call.operation} {call.response_model or call.request_model or call.provider}: {call.outcome}"]
    parts.append(f"{call.duration:.2f} s")
    if call.tokens.reported:
        parts.append(f"{call.tokens.input or 0}+{call.tokens.output or 0} tokens")
    if price.amount is not None:
        parts.append(f"${float(price.amount):.6f}")
    elif price.unpriced:
        parts.append(f"unpriced ({price.unpriced})")
    if call.error_type:
        parts.append(call.error_type)
    return ", ".join(parts)
