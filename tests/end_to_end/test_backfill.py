"""A gap of the warehouse is filled from the log store: with what the Collector gave both of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from genai_observability import signals
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue

from stack.clients import log_store
from stack.native import down, postgres, up
from stack.settings import Settings
from stack.usage.schema import SUMS
from tests.end_to_end.live import eventually
from tests.stores import settings_at
from tests.usage import CALL, NOW, attribute, recorded, records, rows, value

_COLUMNS = (
    "id, ended_at, started_at, trace_id, span_id, service, environment, feature, user_hash, finish_reasons, retries, "
    "duration, seconds_waiting, input_tokens, cached_tokens, cost, cache_saved, price_age_days, metadata, streamed"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = settings_at(tmp_path_factory.mktemp("backfill"))
    try:
        up(settings, only={"postgres", "usage", "victorialogs", "collector"})
        yield settings
    finally:
        down(settings, volumes=True)


def test_a_gap_is_filled_with_the_same_rows_and_nothing_twice(stack: Settings) -> None:
    calls = [
        replace(CALL, started=NOW - timedelta(seconds=number), streamed=number % 2 == 0, response_id=f"r-{number}")
        for number in range(1500)
    ]
    headers = {"content-type": "application/x-protobuf"}
    body = recorded(calls).SerializeToString()
    assert httpx.post(f"{stack.otlp_http_url}/v1/logs", content=body, headers=headers, trust_env=False).is_success
    assert eventually(lambda: value(stack, "SELECT count(*) FROM calls") == 1500)
    assert eventually(lambda: _lines(stack) == 1500)
    before = rows(stack, f"SELECT {_COLUMNS} FROM calls ORDER BY id")
    sums = rows(stack, "SELECT sum(calls), sum(cost), sum(input_tokens) FROM calls_by_hour")
    command, environment = postgres.psql(stack, "genai")
    emptied = f"TRUNCATE {', '.join(f'genai.{table}' for table in ('calls', *SUMS))}"
    subprocess.run([*command, "--command", emptied], env=os.environ | environment, check=True, capture_output=True)
    done = _backfill(stack, NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    assert (done.returncode, done.stderr) == (0, "")
    assert "1500 records read from VictoriaLogs; 1500 of them were missing in the warehouse" in done.stdout
    assert rows(stack, f"SELECT {_COLUMNS} FROM calls ORDER BY id") == before
    assert rows(stack, "SELECT sum(calls), sum(cost), sum(input_tokens) FROM calls_by_hour") == sums
    again = _backfill(stack, NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    assert "1500 records read from VictoriaLogs; 0 of them were missing in the warehouse" in again.stdout
    assert value(stack, "SELECT count(*) FROM refused_records") == 0


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("yesterday", "2026-12-01", "'yesterday' is no time: write 2026-12-01T10:00, in UTC"),
        ("", "2026-12-01", "'' is no time: write 2026-12-01T10:00, in UTC"),
        ("2026-12-02", "2026-12-01", "FROM must be before TO"),
    ],
)
def test_a_wrong_time_is_said(stack: Settings, first: str, last: str, message: str) -> None:
    done = _backfill(stack, first, last)
    assert done.returncode == 2
    assert message in done.stderr


def test_free_metadata_comes_back_as_text(stack: Settings) -> None:
    before = _lines(stack)
    request = recorded([replace(CALL, attribution={f"{signals.METADATA_PREFIX}size": 5})])
    headers = {"content-type": "application/x-protobuf"}
    httpx.post(f"{stack.otlp_http_url}/v1/logs", content=request.SerializeToString(), headers=headers, trust_env=False)
    asked = "SELECT metadata FROM calls WHERE metadata ? 'size'"
    assert eventually(lambda: rows(stack, asked)) == [{"metadata": '{"size": 5}'}]
    assert eventually(lambda: _lines(stack) == before + 1)
    command, environment = postgres.psql(stack, "genai")
    emptied = "DELETE FROM genai.calls WHERE metadata ? 'size'"
    subprocess.run([*command, "--command", emptied], env=os.environ | environment, check=True, capture_output=True)
    assert _filled(stack, asked) == [{"metadata": '{"size": "5"}'}]


def test_an_empty_list_comes_back_as_one(stack: Settings) -> None:
    request = recorded([replace(CALL, attribution={signals.FEATURE.name: "no reasons"}, finish_reasons=())])
    attribute(records(request)[0], signals.FINISH_REASONS.name).array_value.SetInParent()
    _collect(stack, request)
    asked = "SELECT finish_reasons FROM calls WHERE feature = 'no reasons'"
    assert eventually(lambda: rows(stack, asked)) == [{"finish_reasons": []}]
    command, environment = postgres.psql(stack, "genai")
    emptied = "DELETE FROM genai.calls WHERE feature = 'no reasons'"
    subprocess.run([*command, "--command", emptied], env=os.environ | environment, check=True, capture_output=True)
    assert _filled(stack, asked) == [{"finish_reasons": []}]


# --- What the Collector's queue would drop ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        {"string_value": "ä" * 1_500_000},
        {"array_value": ArrayValue(values=[AnyValue(double_value=0.0)] * 250_000)},
    ],
    ids=["a text", "a list"],
)
def test_a_record_of_3_mb_is_stored_without_what_makes_it_long_and_so_are_its_neighbours(
    stack: Settings, content: dict[str, Any]
) -> None:
    feature = f"long {next(iter(content))}"
    request = recorded([replace(CALL, attribution={signals.FEATURE.name: feature})] * 201)
    before = request.ByteSize()
    attribute(records(request)[100], f"{signals.METADATA_PREFIX}document").CopyFrom(AnyValue(**content))
    assert request.ByteSize() - before > 2_700_000
    _collect(stack, request)
    assert eventually(lambda: _calls_of(stack, feature) == 201)
    (row,) = rows(
        stack,
        "SELECT cost, input_tokens, finish_reasons, retries, duration, octet_length(metadata ->> 'document') AS bytes, "
        "metadata ->> 'genai_observability.cut' AS cut FROM calls WHERE feature = $1 AND metadata IS NOT NULL",
        feature,
    )
    assert row == {
        "cost": Decimal("0.00012345"),
        "input_tokens": 1000,
        "finish_reasons": ["stop"],
        "retries": 1,
        "duration": 1.5,
        "bytes": 40_000 if "string_value" in content else None,
        "cut": "true",
    }


def test_a_call_of_which_nothing_can_be_cut_is_refused_and_its_neighbours_are_stored(stack: Settings) -> None:
    request = recorded([replace(CALL, attribution={signals.FEATURE.name: "long reasons"})] * 3)
    texts = [AnyValue(string_value="x" * 1000)] * 3000
    attribute(records(request)[1], signals.FINISH_REASONS.name).CopyFrom(AnyValue(array_value=ArrayValue(values=texts)))
    refused = "SELECT count(*) FROM refused_records WHERE record::text LIKE '%genai_observability.cut%'"
    assert value(stack, refused) == 0
    _collect(stack, request)
    assert eventually(lambda: _calls_of(stack, "long reasons") == 2)
    assert value(stack, refused) == 1


def _filled(stack: Settings, asked: str) -> list[dict[str, Any]]:
    """What a backfill brings, once the log store has it: that may be later than the warehouse."""

    def attempt() -> list[dict[str, Any]]:
        assert _backfill(stack, NOW - timedelta(hours=1), NOW + timedelta(hours=1)).returncode == 0
        return rows(stack, asked)

    return eventually(attempt)


def _collect(stack: Settings, request: ExportLogsServiceRequest) -> None:
    headers = {"content-type": "application/x-protobuf"}
    body = request.SerializeToString()
    assert httpx.post(f"{stack.otlp_http_url}/v1/logs", content=body, headers=headers, trust_env=False).is_success


def _calls_of(stack: Settings, feature: str) -> int:
    return int(value(stack, "SELECT count(*) FROM calls WHERE feature = $1", feature))


def _lines(stack: Settings) -> int:
    window = {"start": NOW - timedelta(hours=1), "end": NOW + timedelta(hours=1)}
    return len(list(log_store(stack).lines(**window)))


def _backfill(stack: Settings, first: object, last: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack.usage.backfill", str(first), str(last)],
        env=os.environ | stack.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
