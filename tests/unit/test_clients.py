"""The clients against the real stores."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from stack.clients import Jaeger, Prometheus, StoreError
from stack.settings import Settings
from tests.stores import running

Value = TypeVar("Value")

_NOBODY = "http://127.0.0.1:1"
_MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Path(tmp_path_factory.mktemp("stores"))) as settings:
        yield settings


@pytest.fixture
def prometheus(stores: Settings) -> Prometheus:
    return Prometheus(stores.prometheus_url)


@pytest.fixture
def jaeger(stores: Settings) -> Jaeger:
    return Jaeger(stores.jaeger_url)


def _eventually(find: Callable[[], Value]) -> Value:
    deadline = time.monotonic() + 20
    while not (value := find()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return value


def _count(stores: Settings, name: str, *amounts: int) -> None:
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{stores.otlp_http_url}/v1/metrics"))
    provider = MeterProvider([reader], Resource({"service.name": name, "service.instance.id": name}))
    counter = provider.get_meter("test").create_counter("tried")
    for number, amount in enumerate(amounts):
        counter.add(amount, {"number": number})
    provider.shutdown()


def _trace(stores: Settings, service: str, count: int) -> None:
    exporter = OTLPSpanExporter(f"{stores.otlp_http_url}/v1/traces")
    provider = TracerProvider(resource=Resource({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=10_000))
    tracer = provider.get_tracer("test")
    for number in range(count):
        with (
            tracer.start_as_current_span("outer", attributes={"number": number, "share": 0.5, "yes": True}),
            tracer.start_as_current_span("inner", attributes={"text": "x"}),
        ):
            pass
    provider.shutdown()


def test_a_query_gives_labels_and_values(stores: Settings, prometheus: Prometheus) -> None:
    _count(stores, "labels", 3, 4)
    samples = _eventually(lambda: prometheus.query('sort(tried_total{job="labels"})'))
    assert [(sample.labels["number"], sample.value) for sample in samples] == [("0", 3), ("1", 4)]


def test_a_scalar_is_one_sample_without_labels(prometheus: Prometheus) -> None:
    [sample] = prometheus.query("6 * 7")
    assert (sample.labels, sample.value) == ({}, 42)


def test_a_query_can_be_asked_for_an_earlier_time(prometheus: Prometheus) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert prometheus.query("time()", at=noon)[0].value == noon.timestamp()


def test_a_range_query_gives_a_point_a_step_in_utc(prometheus: Prometheus) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    [series] = prometheus.query_range("time()", start=noon, end=noon + 2 * _MINUTE, step=_MINUTE)
    assert series.points == [(noon + n * _MINUTE, (noon + n * _MINUTE).timestamp()) for n in range(3)]


def test_an_alert_says_what_it_is_about_and_since_when(stores: Settings, prometheus: Prometheus) -> None:
    # The inbox is not started here, and a rule of the stack says so.
    def found() -> list[str]:
        return [alert.labels.get("job", "") for alert in prometheus.alerts() if alert.since <= datetime.now(UTC)]

    assert "inbox" in (_eventually(lambda: "inbox" in found() and found()) or [])


def test_a_query_that_prometheus_refuses_is_named_with_the_reason(prometheus: Prometheus) -> None:
    with pytest.raises(StoreError, match=r"Prometheus refused the query `sum\(`: .*parse error: unclosed"):
        prometheus.query("sum(")


@pytest.mark.parametrize(
    "ask",
    [
        lambda now: Prometheus(_NOBODY).query("1"),
        lambda now: Prometheus(_NOBODY).alerts(),
        lambda now: Jaeger(_NOBODY).spans("any", start=now, end=now),
    ],
)
def test_a_store_that_is_not_there_is_named_with_its_address(ask: Callable[[datetime], object]) -> None:
    with pytest.raises(StoreError, match=r"^(Prometheus|Jaeger) is not reachable at http://127.0.0.1:1; .*`make up`"):
        ask(datetime.now(UTC))


def test_another_program_on_the_port_is_not_taken_for_the_store(stores: Settings) -> None:
    with pytest.raises(StoreError, match="is not Prometheus"):
        Prometheus(stores.victorialogs_url).query("1")
    with pytest.raises(StoreError, match="is not Jaeger"):
        Jaeger(stores.prometheus_url).spans("any", start=datetime.now(UTC), end=datetime.now(UTC))


def test_all_spans_of_a_service_are_found_however_many(stores: Settings, jaeger: Jaeger) -> None:
    began = datetime.now(UTC)
    _trace(stores, "many", 1300)
    _trace(stores, "other", 1)
    ended = datetime.now(UTC)
    spans = _eventually(lambda: len(found := jaeger.spans("many", start=began, end=ended)) == 2600 and found)
    assert spans
    assert {span.attributes["number"] for span in spans if span.name == "outer"} == set(range(1300))
    assert len({span.trace_id for span in spans}) == 1300
    assert all(began <= span.start <= ended for span in spans)


def test_the_attributes_of_a_span_keep_their_types(stores: Settings, jaeger: Jaeger) -> None:
    began = datetime.now(UTC)
    _trace(stores, "types", 1)
    spans = _eventually(lambda: jaeger.spans("types", start=began, end=datetime.now(UTC)))
    attributes = {key: value for span in spans for key, value in span.attributes.items()}
    assert (attributes["number"], attributes["share"], attributes["yes"], attributes["text"]) == (0, 0.5, True, "x")


def test_a_service_without_spans_has_none(jaeger: Jaeger) -> None:
    now = datetime.now(UTC)
    assert jaeger.spans("nobody", start=now - _MINUTE, end=now) == []
