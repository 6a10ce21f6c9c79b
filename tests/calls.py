"""Records of model calls for tests, given to the ingest of the warehouse as the Collector does."""

import time
import uuid
from dataclasses import dataclass

import httpx
from genai_observability import signals
from genai_observability.signals import Attribute
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from stack.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a record says; ``ago`` are the seconds since the call's end."""

    trace: int = 0
    user: str = ""
    feature: str = "search"
    cost: float | None = 0.001
    input_tokens: int = 100
    operation: str = "chat"
    outcome: str = "success"
    error: str = ""
    seconds: float = 0.5
    ago: float = 1.0
    environment: str = ""

    def attributes(self) -> dict[Attribute, str | float | int | None]:
        """Those of the record."""
        return {
            signals.EVENT_NAME: signals.CALL_EVENT,
            signals.RECORD_ID: str(uuid.uuid4()),
            signals.RECORD_VERSION: signals.NEWEST_RECORD_VERSION,
            signals.OUTCOME: self.outcome,
            signals.ERROR_TYPE: self.error or None,
            signals.OPERATION: self.operation,
            signals.REQUEST_MODEL: "gpt-5",
            signals.FEATURE: self.feature,
            signals.USER_HASH: self.user or None,
            signals.DURATION: self.seconds,
            signals.COST: self.cost,
            signals.INPUT_TOKENS: self.input_tokens,
            signals.OUTPUT_TOKENS: 10,
        }


def send(settings: Settings, service: str, *calls: Call) -> None:
    """Stores them; when it returns, they can be asked for."""
    request = ExportLogsServiceRequest()
    now = time.time_ns()
    for environment in {call.environment for call in calls}:
        logs = request.resource_logs.add()
        names = {"service.name": service, "deployment.environment.name": environment}
        logs.resource.attributes.extend(_attribute(key, name) for key, name in names.items() if name)
        records = logs.scope_logs.add().log_records
        for number, call in enumerate(calls):
            if call.environment == environment:
                given = {each.name: value for each, value in call.attributes().items() if value is not None}
                records.add(
                    time_unix_nano=now - round(call.ago * 1e9),
                    trace_id=call.trace.to_bytes(16, "big") if call.trace else b"",
                    span_id=(number + 1).to_bytes(8, "big"),
                    attributes=[_attribute(name, value) for name, value in given.items()],
                )
    answer = httpx.post(
        f"{settings.usage_url}/v1/logs",
        content=request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    stored = ExportLogsServiceResponse.FromString(answer.content)
    assert stored.partial_success.rejected_log_records == 0, stored


def _attribute(key: str, value: str | float | int) -> KeyValue:
    if isinstance(value, str):
        return KeyValue(key=key, value=AnyValue(string_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    return KeyValue(key=key, value=AnyValue(double_value=value))
