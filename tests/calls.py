"""Calls of a service that have just ended, in the warehouse: what offenders and incidents are made of."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

from genai_observability import _call as package
from genai_observability import signals
from genai_observability._call import Outcome, Price, Tokens
from genai_observability._record.request_log import RequestLog, derived_attributes
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from stack.settings import Settings
from tests import usage


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call; ``ago`` are the seconds since its end."""

    trace: int = 0
    user: str = ""
    feature: str = "search"
    cost: float | None = 0.001
    input_tokens: int = 100
    operation: str = "chat"
    outcome: Outcome = "success"
    error: str = ""
    seconds: float = 0.5
    ago: float = 1.0
    environment: str = ""

    def write(self, log: RequestLog, *, number: int, now: datetime) -> None:
        """As the package does."""
        assert self.outcome in get_args(Outcome)
        attribution: dict[str, package.Value] = {signals.FEATURE.name: self.feature}
        if self.user:
            attribution[signals.USER_HASH.name] = self.user
        made = package.Call(
            operation=self.operation,
            provider="openai",
            started=now - timedelta(seconds=self.ago + self.seconds),
            duration=self.seconds,
            outcome=self.outcome,
            error_type=self.error or None,
            request_model="gpt-5",
            tokens=Tokens(input=self.input_tokens, output=10),
            attribution=attribution,
        )
        price = Price(amount=None if self.cost is None else Decimal(str(self.cost)))
        log.write_call(made, price, derived_attributes(made, price), usage.within(trace=self.trace, span=number))


def send(settings: Settings, service: str, *calls: Call) -> None:
    """Stores them; when it returns, they can be asked for."""
    now = datetime.now(UTC)
    for environment in {call.environment for call in calls}:

        def write(log: RequestLog, environment: str = environment) -> None:
            for number, call in enumerate(calls, start=1):
                if call.environment == environment:
                    call.write(log, number=number, now=now)

        answer = usage.send(settings, usage.written(write, service=service, environment=environment))
        assert answer.status_code == 200, answer.text
        stored = ExportLogsServiceResponse.FromString(answer.content)
        assert stored.partial_success.rejected_log_records == 0, stored
