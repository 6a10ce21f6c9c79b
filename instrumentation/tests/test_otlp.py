"""Our encoding of spans and log records says exactly what the SDK's says; requests that fail, fail as the SDK's do."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from genai_observability._export import exporters, otlp
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from instrumentation.tests.otlp_capture import Capture

RESOURCE = Resource({"service.name": "shop", "replicas": 3})
SCOPE = InstrumentationScope("genai", "1.0", "https://schema", {"kind": "client"})
ORDINARY: dict[str, Any] = {
    "text": "word", "empty": "", "long": "x" * 5_000, "umlaut": "für 5 €", "emoji": "🙂" * 60,
    "zero": 0, "one": 1, "seven bits": 127, "eight bits": 128, "large": 2**63 - 1,
    "half": 0.5, "nothing": 0.0, "below": -1.5, "infinite": float("inf"), "yes": True, "no": False,
    "reasons": ("stop", "length"), "none": (), "k" * 300: "v",
}  # fmt: skip
UNUSUAL: dict[str, Any] = {
    "negative": -1, "counts": (1, 2), "mixed": ("a", 1), "list": ["a"], "bytes": b"a", "map": {"a": 1},
}  # fmt: skip


def context(**more: Any) -> SpanContext:
    return SpanContext(2**127 + 7, 2**63 + 9, is_remote=False, trace_flags=TraceFlags(1), **more)


def span(attributes: Any = None, **more: Any) -> ReadableSpan:
    given: dict[str, Any] = {
        "context": context(), "resource": RESOURCE, "instrumentation_scope": SCOPE, "kind": SpanKind.CLIENT,
        "start_time": 1_700_000_000_000_000_000, "end_time": 1_700_000_001_000_000_001, "attributes": attributes,
    }  # fmt: skip
    return ReadableSpan("chat gpt", **given | more)


def record(attributes: Any = None, *, resource: Resource = RESOURCE, **more: Any) -> ReadableLogRecord:
    given: dict[str, Any] = {
        "timestamp": 1_700_000_000_000_000_000, "observed_timestamp": 1_700_000_000_000_000_001, "trace_id": 2**127 + 7,
        "span_id": 2**63 + 9, "trace_flags": TraceFlags(1), "severity_number": SeverityNumber.WARN,
        "severity_text": "WARN", "body": "chat gpt: success", "attributes": attributes,
    }  # fmt: skip
    return ReadableLogRecord(LogRecord(**given | more), resource, SCOPE)


def read_spans(data: bytes) -> list[Any]:
    """Each span, with the resource and the scope that it is under."""
    found = ExportTraceServiceRequest.FromString(data).resource_spans
    return [
        (span, group.resource, group.schema_url, scope.scope, scope.schema_url)
        for group in found
        for scope in group.scope_spans
        for span in scope.spans
    ]


def read_records(data: bytes) -> list[Any]:
    found = ExportLogsServiceRequest.FromString(data).resource_logs
    return [
        (record, group.resource, group.schema_url, scope.scope, scope.schema_url)
        for group in found
        for scope in group.scope_logs
        for record in scope.log_records
    ]


def assert_same_spans(batch: Sequence[ReadableSpan]) -> None:
    expected = read_spans(encode_spans(batch).SerializeToString())
    found = read_spans(otlp.spans(batch))
    assert len(found) == len(batch)
    assert found == expected


def assert_same_records(batch: Sequence[ReadableLogRecord]) -> None:
    expected = read_records(encode_logs(batch).SerializeToString())
    found = read_records(otlp.log_records(batch))
    assert len(found) == len(batch)
    assert found == expected


@pytest.mark.parametrize("name", [*ORDINARY, *UNUSUAL])
def test_an_attribute_of_any_type_is_as_the_sdk_encodes_it(name: str) -> None:
    attributes = {name: (ORDINARY | UNUSUAL)[name]}
    assert_same_spans([span(attributes)])
    assert_same_records([record(attributes)])


@pytest.mark.parametrize("seed", range(20))
def test_batches_of_everything_are_as_the_sdk_encodes_them(seed: int) -> None:
    dice = random.Random(seed)
    values = list((ORDINARY | UNUSUAL).values()) if seed % 2 else list(ORDINARY.values())
    many = [{f"name.{dice.randrange(50)}": dice.choice(values) for _ in range(dice.randrange(30))} for _ in range(40)]
    resources = [RESOURCE, Resource({"service.name": "other"}), Resource({})]
    assert_same_spans([span(each, resource=dice.choice(resources)) for each in many])
    assert_same_records([record(each, resource=dice.choice(resources)) for each in many])


def test_whether_it_is_a_flag_or_a_count_is_kept_apart() -> None:
    """``True`` and ``1``, and ``1.0``, are the same key of a table."""
    assert_same_spans([span({"a": value, "b": value}) for value in (1, True, 1.0, "1", 0, False, 0.0)])


@pytest.mark.parametrize(
    "more",
    [
        {"parent": SpanContext(2**127 + 7, 5, is_remote=False)},
        {"parent": SpanContext(2**127 + 7, 5, is_remote=True)},
        {"status": Status(StatusCode.ERROR, "timed out")},
        {"status": Status(StatusCode.OK)},
        {"kind": SpanKind.INTERNAL},
        {"instrumentation_scope": None},
        {"events": [Event("choice", {"a": 1}, 5)]},
        {"links": [Link(SpanContext(3, 4, is_remote=False))]},
        {"context": context(trace_state=TraceState([("vendor", "value")]))},
        {"attributes": BoundedAttributes(1, {"a": 1, "b": 2})},
        {"attributes": BoundedAttributes(9, {"a": 1, "b": "c"})},
    ],
    ids=",".join,
)
def test_a_span_of_any_shape_is_as_the_sdk_encodes_it(more: dict[str, Any]) -> None:
    assert_same_spans([span({"a": "b"}), span(**more), span({"a": "c"})])


@pytest.mark.parametrize(
    "more",
    [
        {"body": {"a": ["b", 1]}},
        {"body": None},
        {"body": ""},
        {"trace_id": 0, "span_id": 0},
        {"span_id": 0},
        {"trace_flags": TraceFlags(0)},
        {"severity_number": None, "severity_text": None},
        {"severity_number": SeverityNumber.ERROR, "severity_text": None},
        {"event_name": "device.crash"},
        {"timestamp": None},
        {"attributes": BoundedAttributes(1, {"a": 1, "b": 2})},
    ],
    ids=",".join,
)
def test_a_log_record_of_any_shape_is_as_the_sdk_encodes_it(more: dict[str, Any]) -> None:
    assert_same_records([record({"a": "b"}), record(**more), record({"a": "c"})])


def test_what_cannot_be_encoded_costs_itself_alone() -> None:
    batch = [span({"a": "b"}), span({"a": "\ud800", "c": "d"}), span({"a": 2**80, "c": "e"})]
    found = [{item.key for item in each.attributes} for each, *_ in read_spans(otlp.spans(batch))]
    assert sorted(map(sorted, found)) == [["a"], ["a", "c"], ["c"]]  # half a surrogate pair becomes a "?"


def test_calls_are_encoded_here_and_not_by_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for one of each request, from which the resource and the scope are taken."""
    by_sdk: list[int] = []

    def encode(batch: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        by_sdk.append(len(batch))
        return encode_spans(batch)

    monkeypatch.setattr(otlp, "_SPANS", otlp._SPANS._replace(by_sdk=encode))
    assert_same_spans([span(ORDINARY) for _ in range(500)])
    assert by_sdk == [1]


def test_what_is_kept_of_attributes_is_bounded() -> None:
    for number in range(3_000):
        otlp.spans([span({f"name.{number}": f"value {number}"}, status=Status(StatusCode.ERROR, f"error {number}"))])
    for kept in (otlp._kept_text, otlp._name, otlp._span_head, otlp._status, otlp._log_severity):
        assert kept.cache_info().currsize <= 1024


@pytest.mark.parametrize("signal", ["TRACES", "LOGS"])
def test_a_request_that_is_too_large_is_dropped_with_the_sdks_own_words(
    signal: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Capture() as capture:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", capture.url)
        exporter = exporters.span_exporter() if signal == "TRACES" else exporters.log_exporter()
        small, large = [span(), span({"a": "x" * 500})] if signal == "TRACES" else [record(), record({"a": "x" * 500})]
        exporter._exporter._max_request_size = 400
        assert exporter.export([small]).name == "SUCCESS"
        assert exporter.export([large]).name == "FAILURE"
        assert len(capture.spans) + len(capture.records) == 1
    assert "exceeds max_request_size" in caplog.text


def test_where_the_sdk_is_to_measure_its_exports_it_does_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    assert type(exporters.span_exporter()._exporter).__name__ == "OTLPSpanExporter"
    assert type(exporters.log_exporter()._exporter).__name__ == "OTLPLogExporter"


def test_an_sdk_with_other_inner_workings_exports_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with Capture() as capture:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", capture.url)
        exporter = exporters.span_exporter()
        monkeypatch.setattr(otlp, "_SPANS", None)
        assert exporter.export([span({"a": "b"})]).name == "SUCCESS"
        assert len(capture.spans) == 1
