"""Every private name of another library that is touched here: what it is for, and what is lost without it.

A private name may be gone with any version. What is done with one is made so that the rest goes on without it.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateName:
    """A name that a library does not promise to keep."""

    owner: str  # module, or module and class with a colon between, that has it; the class has it as an attribute
    name: str
    why: str  # what it is used for, for want of a public way
    lost: str  # what is no longer recorded, or done, where it is gone
    of_instances: bool = False  # whether only objects of the class have it, which cannot be seen beforehand

    @property
    def is_gone(self) -> bool:
        """Whether the installed version lacks it."""
        module, _, owner = self.owner.partition(":")
        try:
            found: Any = importlib.import_module(module)
            return not self.of_instances and not hasattr(getattr(found, owner) if owner else found, self.name)
        except (ImportError, AttributeError):
            return True


_ATTEMPTS: Final = "the retries of calls, and the time until their first attempt"
_HEADERS: Final = "request ids, quotas and the phases of calls"
_CHUNKS: Final = "the first tokens, the usage and the ends of streams"

_OF_CALLS: Final = tuple(
    PrivateName(owner=f"openai:{prefix}{owner}", name=name, why=why, lost=lost)
    for prefix in ("", "Async")
    for owner, name, why, lost in (
        ("OpenAI", "_build_request", "runs once an attempt", _ATTEMPTS),
        ("OpenAI", "_should_retry", "runs for each refused attempt", "which attempts were refused"),
        ("OpenAI", "_process_response", "has the answer with its headers", f"{_HEADERS}; {_CHUNKS}"),
        ("Stream", "__stream__", "makes the iterator that all ways of reading a stream use", _CHUNKS),
    )
)
OF_OPENAI: Final = (
    *_OF_CALLS,
    PrivateName(
        owner="openai:AzureOpenAI",
        name="_api_version",
        why="whether this API of Azure knows the question for a stream's usage",
        lost="the usage of streams at Azure that do not ask for it",
        of_instances=True,
    ),
)
"""Of the client: there since 1.26, tried with 1.26, 1.109, 2.54, 3.52 and 3.57."""

_SDK: Final = "opentelemetry.sdk"
_FORK: Final = ("a child made by fork counts from zero", "counts of forked children begin with their parent's")
_QUICK: Final = ("sends a batch encoded here", "nothing: the SDK encodes it, at four times the cost")
_START: Final = ("the exporter in front takes over what the other prefers", "delta temporality asked by a variable")
_BASIC: Final = ("logging.basicConfig() works as without our handler", "the application's log lines")
_EXTRA: Final = ("objects in a log record's extra become text", "nothing: the SDK leaves them out with a warning")
_LOST: Final = ("what has no room in the SDK's queues is counted", "the count of spans and log records without room")

OF_OPENTELEMETRY: Final = tuple(
    PrivateName(owner=owner, name=name, why=why[0], lost=why[1], of_instances=of_instances)
    for owner, name, why, of_instances in (
        (f"{_SDK}.metrics:MeterProvider", "_measurement_consumer", _FORK, True),
        (f"{_SDK}.metrics:MeterProvider", "_metric_readers", _FORK, True),
        (f"{_SDK}.metrics:MeterProvider", "_update_resource", _FORK, False),
        (f"{_SDK}.metrics.export:PeriodicExportingMetricReader", "_export_lock", _FORK, True),
        (f"{_SDK}.metrics._internal.measurement_consumer:SynchronousMeasurementConsumer", "_lock", _FORK, True),
        (f"{_SDK}.metrics.export:MetricExporter", "_preferred_temporality", _START, True),
        (f"{_SDK}.metrics.export:MetricExporter", "_preferred_aggregation", _START, True),
        (f"{_SDK}.trace.export:BatchSpanProcessor", "_batch_processor", _LOST, True),
        (f"{_SDK}._shared_internal:BatchProcessor", "_metrics", _LOST, True),
        ("opentelemetry.exporter.otlp.proto.http.trace_exporter:OTLPSpanExporter", "_client", _QUICK, True),
        ("opentelemetry.exporter.otlp.proto.http.trace_exporter:OTLPSpanExporter", "_max_request_size", _QUICK, True),
        ("opentelemetry.exporter.otlp.proto.http.trace_exporter:OTLPSpanExporter", "_shutdown", _QUICK, True),
        ("opentelemetry.exporter.otlp.proto.common._log_encoder", "encode_logs", _QUICK, False),
        ("opentelemetry.instrumentation.logging.handler", "_overwrite_logging_config_fns", _BASIC, False),
        ("opentelemetry.instrumentation.logging.handler:LoggingHandler", "_get_attributes", _EXTRA, False),
    )
)
"""Of the SDK, its exporters and its instrumentation of logs: tried with 1.45."""

PRIVATE_MODULES: Final = {
    "opentelemetry._logs": "the API of logs, public by its documentation, has no other name",
    "opentelemetry.sdk._logs": "likewise the SDK of logs",
    "opentelemetry.exporter.otlp.proto.http._log_exporter": "likewise its exporter",
}


def missing() -> Iterator[PrivateName]:
    """Those of the client that the installed version does not have."""
    return (name for name in OF_OPENAI if name.is_gone)
