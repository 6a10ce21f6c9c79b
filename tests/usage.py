"""The usage warehouse for tests: the real PostgreSQL and ingest service, and records as the package writes them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
from genai_observability import signals
from genai_observability._call import Call, Exchange, Price, Tokens
from genai_observability._export import otlp
from genai_observability._record.request_log import RequestLog, derived_attributes
from genai_observability._record.scores import FEEDBACK, evaluation_attributes
from opentelemetry.context import Context
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from stack.clients import Warehouse
from stack.native import down, up
from stack.native.ports import settings_at
from stack.settings import Settings
from stack.warehouse import READER, address

NOW: Final = datetime.now(UTC).replace(microsecond=0)
PRICE: Final = Price(amount=Decimal("0.000123450"), age=3, cache_saved=Decimal("0.00001"))
CALL: Final = Call(
    operation="chat",
    provider="openai",
    started=NOW - timedelta(minutes=1),
    duration=1.5,
    request_model="gpt-4o-mini",
    response_model="gpt-4o-mini-2024-07-18",
    response_id="chatcmpl-1",
    finish_reasons=("stop",),
    tokens=Tokens(input=1000, output=200, cached=400, reasoning=50),
    exchange=Exchange(request_id="req-1", retries=1, phases={"preparing": 0.01, "waiting": 1.4}),
    attribution={
        signals.FEATURE.name: "search",
        signals.TEAM.name: "growth",
        signals.USER_HASH.name: "a" * 64,
        signals.CONVERSATION.name: "c-1",
        f"{signals.METADATA_PREFIX}plan": "trial",
    },
)


@contextmanager
def warehouse(state: Path, **changes: Any) -> Iterator[Settings]:
    """A warehouse of its own, running."""
    settings = replace(settings_at(state), **changes)
    try:
        up(settings, only={"postgres", "usage"})
        yield settings
    finally:
        down(settings, volumes=True)


def rows(settings: Settings, sql: str, *arguments: object) -> list[dict[str, Any]]:
    """What the warehouse's reader finds."""
    return Warehouse(address(settings, READER)).rows(sql, *arguments)


def value(settings: Settings, sql: str, *arguments: object) -> Any:
    """The only value of the only row."""
    ((found,),) = (tuple(row.values()) for row in rows(settings, sql, *arguments))
    return found


def recorded(calls: Iterable[Call], price: Price = PRICE, *, service: str = "shop") -> ExportLogsServiceRequest:
    """The request that the package sends of such calls; ``price`` is that of each."""

    def write(log: RequestLog) -> None:
        for number, call in enumerate(calls, start=1):
            log.write_call(call, price, derived_attributes(call, price), within(trace=number, span=number))

    return written(write, service=service)


def within(*, trace: int, span: int) -> Context:
    """The context of a span of a trace; that of none for trace 0."""
    if not trace:
        return Context()
    ids = SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(ids), Context())


def written(
    write: Callable[[RequestLog], None], *, service: str = "shop", environment: str = "test"
) -> ExportLogsServiceRequest:
    """The request of what is written to the package's request log."""
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    names = {"service.name": service, "deployment.environment.name": environment}
    provider = LoggerProvider(Resource({name: value for name, value in names.items() if value}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    write(RequestLog(provider.get_logger("genai_observability")))
    return ExportLogsServiceRequest.FromString(otlp.log_records(exporter.get_finished_logs()))


def scored(response_id: str, label: str, score: float) -> ExportLogsServiceRequest:
    """The request that the package sends of a piece of feedback."""
    found: Any = evaluation_attributes(FEEDBACK, score=score, label=label, explanation=None)
    attributes = {**found, signals.RESPONSE_ID.name: response_id, **CALL.attribution}
    return written(lambda log: log.write_score(attributes, Context()))


def records(request: ExportLogsServiceRequest) -> Any:
    """The records of a request with one scope."""
    return request.resource_logs[0].scope_logs[0].log_records


def attribute(record: Any, name: str) -> Any:
    """The value of an attribute, to be changed; made where the record lacks it."""
    for each in record.attributes:
        if each.key == name:
            return each.value
    added = record.attributes.add()
    added.key = name
    return added.value


def send(settings: Settings, request: ExportLogsServiceRequest | bytes) -> httpx.Response:
    """Sends a request as the Collector does."""
    body = request if isinstance(request, bytes) else request.SerializeToString()
    headers = {"content-type": "application/x-protobuf"}
    return httpx.post(f"{settings.usage_url}/v1/logs", content=body, headers=headers, timeout=60, trust_env=False)
