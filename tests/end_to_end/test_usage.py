"""The usage warehouse keeps every call once, exactly, whatever is sent to it."""

import asyncio
import base64
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from string import ascii_letters

import asyncpg
import httpx
import pytest
from genai_observability import signals
from genai_observability._export import otlp
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from stack.clients import StoreError, Warehouse
from stack.native import postgres, process, up
from stack.native.ports import free_ports
from stack.settings import Settings
from stack.usage import schema
from stack.usage.columns import CALLS, SCORES, TABLES
from stack.usage.records import read
from stack.usage.store import _KIND, _SUMS
from stack.warehouse import address
from tests.end_to_end.live import eventually
from tests.usage import CALL, NOW, PRICE, attribute, recorded, records, rows, scored, send, value, warehouse


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with warehouse(tmp_path_factory.mktemp("usage")) as settings:
        yield settings


@pytest.fixture
def usage(running: Settings) -> Settings:
    """An empty warehouse."""
    tables = ("calls", "scores", "findings", "refused_records", *schema.SUMS)
    _as_owner(running, f"TRUNCATE {', '.join(f'genai.{table}' for table in tables)}")
    return running


def _as_owner(settings: Settings, sql: str) -> None:
    command, environment = postgres.psql(settings, "genai")
    subprocess.run([*command, "--command", sql], env=os.environ | environment, check=True, capture_output=True)


# --- What is stored --------------------------------------------------------------------------------------------------


def test_every_field_of_a_call_is_in_its_column(usage: Settings) -> None:
    request = recorded([CALL])
    assert send(usage, request).status_code == 200
    (row,) = rows(usage, "SELECT * FROM calls")
    found = {name: value for name, value in row.items() if value is not None}
    assert found.pop("id").version == 7
    assert found == {
        "ended_at": CALL.started + timedelta(seconds=1.5),
        "started_at": CALL.started,
        "trace_id": f"{1:032x}",
        "span_id": f"{1:016x}",
        "service": "shop",
        "environment": "test",
        "feature": "search",
        "team": "growth",
        "user_hash": "a" * 64,
        "conversation_id": "c-1",
        "operation": "chat",
        "provider": "openai",
        "request_model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18",
        "response_id": "chatcmpl-1",
        "provider_request_id": "req-1",
        "outcome": "success",
        "finish_reasons": ["stop"],
        "retries": 1,
        "duration": 1.5,
        "output_tokens_per_second": 200 / 1.5,
        "seconds_preparing": 0.01,
        "seconds_waiting": 1.4,
        "input_tokens": 1000,
        "output_tokens": 200,
        "cached_tokens": 400,
        "reasoning_tokens": 50,
        "cost": Decimal("0.00012345"),
        "currency": "USD",
        "cost_source": "local",
        "price_age_days": 3,
        "cache_saved": Decimal("0.00001"),
        "metadata": '{"plan": "trial"}',
    }


def test_each_field_of_the_catalogue_has_a_column_with_its_meaning(usage: Settings) -> None:
    for table in TABLES:
        found = {
            row["name"]: row["meaning"]
            for row in rows(
                usage,
                "SELECT attname::text AS name, col_description(attrelid, attnum) AS meaning FROM pg_attribute "
                "WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped",
                f"genai.{table.name}",
            )
        }
        assert set(found) == set(table.names)
        assert all(found.values())
        for column in table.columns:
            assert found[column.name].startswith(column.signal.meaning)


def test_a_call_without_a_price_has_none_instead_of_zero(usage: Settings) -> None:
    send(usage, recorded([CALL], replace(PRICE, amount=None, unpriced="unknown_model", age=None, cache_saved=None)))
    (row,) = rows(usage, "SELECT cost, unpriced_reason FROM calls")
    assert row == {"cost": None, "unpriced_reason": "unknown_model"}
    assert rows(usage, "SELECT cost, priced, calls FROM calls_by_hour") == [{"cost": None, "priced": 0, "calls": 1}]


def test_money_is_exact_to_the_last_digit(usage: Settings) -> None:
    amounts = [Decimal("0.1"), Decimal("0.2"), Decimal("0.0000000123"), Decimal("12345.678901")]
    for amount in amounts:
        send(usage, recorded([CALL], replace(PRICE, amount=amount)))
    assert value(usage, "SELECT sum(cost) FROM calls") == sum(amounts)
    assert value(usage, "SELECT sum(cost) FROM usage_between($1, $2)", *_around()) == sum(amounts)


def test_what_is_sent_twice_is_stored_once(usage: Settings) -> None:
    request = recorded([CALL] * 20)
    before = _metric(usage, "usage_known_total")
    for _ in range(3):
        assert send(usage, request).status_code == 200
    assert value(usage, "SELECT count(*) FROM calls") == 20
    assert value(usage, "SELECT sum(calls) FROM calls_by_hour") == 20
    assert value(usage, "SELECT sum(calls) FROM calls_by_user_day") == 20
    assert _metric(usage, "usage_known_total") - before == 40


def test_a_record_that_is_twice_in_one_request_is_stored_once(usage: Settings) -> None:
    request = recorded([CALL] * 2)
    first, second = records(request)
    second.CopyFrom(first)
    assert send(usage, request).status_code == 200
    assert value(usage, "SELECT count(*) FROM calls") == value(usage, "SELECT sum(calls) FROM calls_by_hour") == 1


def test_late_and_disordered_calls_make_no_difference_to_any_sum(usage: Settings) -> None:
    calls = [
        replace(
            CALL,
            started=NOW - timedelta(minutes=37 * number),
            outcome="error" if number % 7 == 0 else "success",
            tokens=replace(CALL.tokens, input=number),
            attribution={**CALL.attribution, signals.USER_HASH.name: f"user-{number % 5}"},
        )
        for number in range(200)
    ]
    for part in (calls[150:], calls[:50], calls[50:150]):
        send(usage, recorded(part))
    for first, last in (
        (NOW - timedelta(days=9), NOW + timedelta(days=1)),
        (NOW - timedelta(minutes=1000), NOW - timedelta(minutes=999)),
        (NOW - timedelta(hours=77, minutes=3), NOW - timedelta(hours=5, seconds=17)),
        (NOW - timedelta(minutes=50), NOW - timedelta(minutes=2)),
        (NOW, NOW),
    ):
        for sums in ("usage_between", "users_between"):
            asked = "count(*) AS calls, sum(input_tokens) AS tokens, sum(cost) AS cost"
            summed = "sum(calls) AS calls, sum(input_tokens) AS tokens, sum(cost) AS cost"
            (single,) = rows(usage, f"SELECT {asked} FROM calls WHERE ended_at >= $1 AND ended_at < $2", first, last)
            (added,) = rows(usage, f"SELECT {summed} FROM {sums}($1, $2)", first, last)
            assert (added["calls"] or 0, added["tokens"], added["cost"]) == tuple(single.values())


def test_the_sums_have_the_same_meaning_as_the_single_calls(usage: Settings) -> None:
    """Each column of the sums by hour says of single calls, at the ends of a range, what it says of whole hours."""
    calls = [
        replace(CALL, exchange=replace(CALL.exchange, retries=number % 2), batch="b-1" if number % 3 == 0 else None)
        for number in range(12)
    ]
    send(usage, recorded(calls))
    by = ", ".join(_KIND)
    sums = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
    hours = rows(usage, f"SELECT {by}, {sums} FROM calls_by_hour GROUP BY {by} ORDER BY {by}")
    single = rows(usage, f"SELECT {by}, {sums} FROM calls_as_sums GROUP BY {by} ORDER BY {by}")
    assert hours == single != []


def test_a_score_finds_its_call_whichever_comes_first(usage: Settings) -> None:
    assert send(usage, scored("chatcmpl-1", "up", 1.0)).status_code == 200
    assert rows(usage, "SELECT * FROM scored_calls") == []
    send(usage, recorded([CALL]))
    (row,) = rows(usage, "SELECT name, scored_calls.score, label, cost, feature FROM scored_calls")
    assert row == {
        "name": "user_feedback",
        "score": 1.0,
        "label": "up",
        "cost": Decimal("0.00012345"),
        "feature": "search",
    }


# --- Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        (signals.RECORD_ID.name, {"string_value": "17"}, "log.record.uid is no UUID: '17'"),
        (signals.RECORD_VERSION.name, {"int_value": 2}, "version 2 of records is not known here: update the stack"),
        (signals.EVENT_NAME.name, {"string_value": "other"}, "not a call, a score or a finding"),
        (signals.COST.name, {"string_value": "abc"}, "gen_ai.usage.cost.amount must be a number, and is 'abc'"),
        (signals.COST.name, {"double_value": float("nan")}, "gen_ai.usage.cost.amount is nan"),
        (signals.COST.name, {"double_value": -1.0}, "gen_ai.usage.cost.amount is -1.0"),
        (signals.COST.name, {"double_value": 1e300}, "gen_ai.usage.cost.amount is 1e+300"),
        (signals.INPUT_TOKENS.name, {"int_value": -5}, "gen_ai.usage.input_tokens is -5"),
        (signals.INPUT_TOKENS.name, {"int_value": 2**62}, "gen_ai.usage.input_tokens is 4611686018427387904"),
        (
            signals.INPUT_TOKENS.name,
            {"string_value": "5"},
            "gen_ai.usage.input_tokens must be a whole number, and is '5'",
        ),
        (signals.FEATURE.name, {"int_value": 5}, "app.feature must be text, and is '5'"),
        (signals.DURATION.name, {"double_value": float("inf")}, "genai_observability.duration is inf"),
        (signals.DURATION.name, {"double_value": 1e12}, "genai_observability.duration is 1000000000000.0"),
    ],
)
def test_a_record_that_cannot_be_stored_is_kept_apart_with_the_reason(
    usage: Settings, name: str, change: dict[str, object], reason: str
) -> None:
    request = recorded([CALL] * 3)
    value_ = attribute(records(request)[1], name)
    value_.Clear()
    for field, content in change.items():
        setattr(value_, field, content)
    before = _metric(usage, "usage_refused_total")
    assert send(usage, request).status_code == 200
    assert value(usage, "SELECT count(*) FROM calls") == 2
    (row,) = rows(usage, "SELECT reason, record::text FROM refused_records")
    assert row["reason"] == reason
    assert '"shop"' in row["record"]
    assert signals.OUTCOME.name in row["record"]
    assert _metric(usage, "usage_refused_total") - before == 1


def test_a_record_without_an_id_says_what_to_update(usage: Settings) -> None:
    request = recorded([CALL])
    (record,) = records(request)
    record.attributes.remove(next(each for each in record.attributes if each.key == signals.RECORD_ID.name))
    send(usage, request)
    assert value(usage, "SELECT reason FROM refused_records") == (
        "it has no log.record.uid: update the package genai-observability of the application"
    )


@pytest.mark.parametrize("years", [-1, 1])
def test_a_clock_that_is_a_year_off_is_refused_with_its_time(usage: Settings, years: int) -> None:
    wrong = CALL.started + timedelta(days=365 * years)
    send(usage, recorded([replace(CALL, started=wrong), CALL]))
    assert value(usage, "SELECT count(*) FROM calls") == 1
    moment = (wrong + timedelta(seconds=1.5)).isoformat()
    assert value(usage, "SELECT reason FROM refused_records") == f"the clock is wrong: it was noted at {moment}"


def test_a_call_without_an_outcome_is_none(usage: Settings) -> None:
    request = recorded([CALL])
    (record,) = records(request)
    record.attributes.remove(next(each for each in record.attributes if each.key == signals.OUTCOME.name))
    send(usage, request)
    assert value(usage, "SELECT reason FROM refused_records") == "it has no genai_observability.outcome"


def test_what_is_no_request_of_logs_is_kept_and_blocks_nothing(usage: Settings) -> None:
    assert send(usage, b"\xff\xff not protobuf").status_code == 200
    assert value(usage, "SELECT reason FROM refused_records").startswith("not an OTLP request of logs")
    assert send(usage, recorded([CALL])).status_code == 200


def _nested(depth: int) -> bytes:
    """A value of lists within lists, deeper than the library would write."""
    found = b""
    for _ in range(depth):
        found = otlp._within(otlp._ARRAY, otlp._within(otlp._ITEM, found))
    return found


def _broken(way: str) -> tuple[bytes, list[str]]:
    """A request of 301 calls of which one in the middle is broken; the ids of the good ones."""
    request = recorded([CALL] * 301)
    bad = records(request)[150]
    whole = bad.SerializeToString()
    if way == "no UTF-8":
        attribute(bad, signals.FEATURE.name).string_value = "XXXXXXXX"
        body = request.SerializeToString().replace(b"XXXXXXXX", b"XXX\xffXXXX")
    elif way == "nested too deep":
        deep = _nested(60)
        as_long = AnyValue(string_value="X" * (len(deep) - 3))  # beside its tag and its length
        attribute(bad, f"{signals.METADATA_PREFIX}deep").CopyFrom(as_long)
        body = request.SerializeToString().replace(as_long.SerializeToString(), deep)
    else:
        body = request.SerializeToString().replace(whole, b"\xff" * len(whole))
    good = [each for each in records(request) if each is not bad]
    return body, sorted(attribute(each, signals.RECORD_ID.name).string_value for each in good)


@pytest.mark.parametrize("way", ["no UTF-8", "nested too deep", "no record"])
def test_a_record_that_is_broken_is_refused_alone(usage: Settings, way: str) -> None:
    body, good = _broken(way)
    with pytest.raises(DecodeError):
        ExportLogsServiceRequest.FromString(body)
    assert send(usage, body).status_code == 200
    assert [row["id"].hex for row in rows(usage, "SELECT id FROM calls ORDER BY id")] == good
    assert value(usage, "SELECT count(*) FROM calls WHERE service = 'shop' AND cost > 0") == 300
    (row,) = rows(usage, "SELECT reason, record ->> 'base64' AS record FROM refused_records")
    assert row["reason"].startswith("not UTF-8, or no LogRecord at all: ")
    assert base64.b64decode(row["record"]) in body


def test_records_of_a_resource_that_is_broken_are_refused_and_those_of_others_stored(usage: Settings) -> None:
    broken = recorded([CALL] * 2, service="XXXXXXXX").SerializeToString().replace(b"XXXXXXXX", b"XXX\xffXXXX")
    assert send(usage, broken + recorded([CALL] * 3).SerializeToString()).status_code == 200
    assert value(usage, "SELECT count(*) FROM calls") == 3
    reasons = [row["reason"] for row in rows(usage, "SELECT reason FROM refused_records")]
    assert len(reasons) == 2
    assert all(reason.startswith("not UTF-8, or no Resource at all: ") for reason in reasons)


@pytest.mark.parametrize("length", range(1, 60))
def test_a_request_that_ends_too_early_is_refused_whole(length: int) -> None:
    body = recorded([CALL] * 2).SerializeToString()[:-length]
    with pytest.raises(ValueError, match="not an OTLP request of logs"):
        read(body)


NASTY = "'; DROP TABLE calls; -- \" \\ $1 %s {} \u0000 \U0001f512"


def test_text_is_stored_as_it_is_and_never_executed(usage: Settings) -> None:
    request = recorded([CALL], service=NASTY)
    (record,) = records(request)
    texts = [column for column in CALLS.columns if column.type == "text"]
    for column in texts:
        attribute(record, column.signal.name).string_value = NASTY
    attribute(record, f"{signals.METADATA_PREFIX}{NASTY}").string_value = NASTY
    assert send(usage, request).status_code == 200
    (row,) = rows(usage, "SELECT * FROM calls")
    wanted = NASTY.replace("\u0000", "\ufffd")
    assert {row[column.name] for column in texts} == {wanted}
    assert row["service"] == wanted
    assert value(usage, "SELECT metadata ->> $1 FROM calls", wanted) == wanted
    assert value(usage, "SELECT count(*) FROM calls_by_hour WHERE feature = $1", wanted) == 1


@pytest.mark.parametrize("letters", [ascii_letters, "äöüß€語🔒"])
def test_texts_of_every_column_may_be_long_and_incompressible(usage: Settings, letters: str) -> None:
    prose = {signals.ERROR_MESSAGE, signals.EVALUATION_EXPLANATION}
    for table, request in ((CALLS, recorded([CALL], service="s" * 10_000)), (SCORES, scored("r", "up", 1.0))):
        (record,) = records(request)
        texts = [column for column in table.columns if column.type == "text"]
        sent = {column.name: "".join(random.choices(letters, k=10_000)) for column in texts}
        for column in texts:
            attribute(record, column.signal.name).string_value = sent[column.name]
        attribute(record, f"{signals.METADATA_PREFIX}document").string_value = sent["feature"]
        assert send(usage, request).status_code == 200
        (row,) = rows(usage, f"SELECT *, metadata ->> 'document' AS document FROM {table.name}")
        assert row["document"] == sent["feature"]
        for column in texts:
            if column.signal in prose:
                assert row[column.name] == sent[column.name]
            else:
                assert sent[column.name].startswith(row[column.name])
                assert 1996 < len(row[column.name].encode()) <= 2000
    assert value(usage, "SELECT octet_length(service) FROM calls") == 2000
    assert value(usage, "SELECT sum(calls) FROM calls_by_hour") == 1


def test_many_thousand_features_of_one_request_are_stored_and_summed(usage: Settings) -> None:
    calls = [replace(CALL, attribution={signals.FEATURE.name: f"feature {number}"}) for number in range(20_000)]
    assert send(usage, recorded(calls)).status_code == 200
    assert value(usage, "SELECT count(DISTINCT feature) FROM calls") == 20_000
    assert value(usage, "SELECT count(*) FROM calls_by_hour") == 20_000


def test_what_postgresql_alone_refuses_is_found_and_kept_apart(usage: Settings) -> None:
    """A limit of PostgreSQL that the service does not know: here one that an owner has added."""
    limit = "ALTER TABLE genai.calls ADD CONSTRAINT own CHECK (feature <> 'forbidden')"
    _as_owner(usage, limit)
    try:
        forbidden = replace(CALL, attribution={signals.FEATURE.name: "forbidden"})
        assert send(usage, recorded([CALL, CALL, forbidden, CALL, forbidden])).status_code == 200
    finally:
        _as_owner(usage, "ALTER TABLE genai.calls DROP CONSTRAINT own")
    assert value(usage, "SELECT count(*) FROM calls") == 3
    reasons = [row["reason"] for row in rows(usage, "SELECT reason FROM refused_records")]
    assert len(reasons) == 2
    assert all('violates check constraint "own"' in reason for reason in reasons)


def test_hundreds_of_rows_that_postgresql_refuses_are_found_within_seconds(usage: Settings) -> None:
    """With the sums, too: one constraint is on calls, the other on what only their sums have."""
    forbidden = replace(CALL, attribution={signals.FEATURE.name: "forbidden"})
    summed = replace(CALL, attribution={signals.FEATURE.name: "summed"})
    calls = random.sample([CALL] * 400 + [forbidden] * 600 + [summed] * 2, k=1002)
    _as_owner(usage, "ALTER TABLE genai.calls ADD CONSTRAINT own CHECK (feature <> 'forbidden')")
    _as_owner(usage, "ALTER TABLE genai.kinds ADD CONSTRAINT own CHECK (feature <> 'summed')")
    try:
        began = time.monotonic()
        assert send(usage, recorded(calls)).status_code == 200
        assert time.monotonic() - began < 15
    finally:
        _as_owner(usage, "ALTER TABLE genai.calls DROP CONSTRAINT own")
        _as_owner(usage, "ALTER TABLE genai.kinds DROP CONSTRAINT own")
    assert value(usage, "SELECT count(*) FROM calls") == 400
    assert value(usage, "SELECT sum(calls) FROM calls_by_hour") == 400
    refused = "SELECT record ->> 'feature' AS feature, count(*) FROM refused_records GROUP BY 1 ORDER BY 1"
    assert rows(usage, refused) == [{"feature": "forbidden", "count": 600}, {"feature": "summed", "count": 2}]


def test_spans_are_refused_with_a_reason(running: Settings) -> None:
    answer = httpx.post(f"{running.usage_url}/v1/traces", content=b"", trust_env=False)
    assert (answer.status_code, answer.text) == (
        501,
        "spans are not stored here: the warehouse is filled from log records\n",
    )


# --- Roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql", ["DELETE FROM calls", "INSERT INTO refused_records (reason, record) VALUES ('', '{}')"])
def test_the_reader_can_only_select(running: Settings, sql: str) -> None:
    with pytest.raises(StoreError, match="read-only transaction"):
        rows(running, sql)
    daring = f"{address(running, 'genai_reader')}?default_transaction_read_only=off"
    with pytest.raises(StoreError, match="permission denied"):
        Warehouse(daring).rows(sql)


def test_a_query_of_a_reader_that_takes_too_long_is_ended(running: Settings) -> None:
    assert value(running, "SELECT current_setting('statement_timeout')") == "30s"
    with pytest.raises(StoreError, match="statement timeout"):
        Warehouse(f"{address(running, 'genai_reader')}?statement_timeout=50").rows("SELECT pg_sleep(5)")


def test_the_ingest_can_delete_nothing(running: Settings) -> None:
    with pytest.raises(StoreError, match="permission denied"):
        Warehouse(address(running, "genai_ingest")).rows("DELETE FROM calls")


# --- Trouble ---------------------------------------------------------------------------------------------------------


def test_a_warehouse_that_was_away_has_what_is_sent_again(usage: Settings) -> None:
    request = recorded([CALL])
    database = process.find("postgres", state=usage.state)
    assert database
    os.kill(database.pid, signal.SIGKILL)
    eventually(lambda: not process.is_alive(database))
    answer = send(usage, request)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "cannot be reached" in answer.text
    assert httpx.get(f"{usage.usage_url}/healthz", trust_env=False).status_code == 503
    assert _metric(usage, "usage_warehouse_up") == 0
    up(usage, only={"postgres", "usage"})
    assert eventually(lambda: send(usage, request).status_code == 200)
    assert value(usage, "SELECT count(*) FROM calls") == 1
    assert httpx.get(f"{usage.usage_url}/healthz", trust_env=False).status_code == 200


def test_a_warehouse_that_is_read_only_says_what_to_name_instead(usage: Settings) -> None:
    setting = "ALTER ROLE genai_ingest SET default_transaction_read_only = "
    _as_owner(usage, f"{setting} on")
    _end_connections(usage)
    try:
        answer = eventually(lambda: (found := send(usage, recorded([CALL]))).status_code == 503 and found)
        assert answer
        assert "The warehouse is read-only" in answer.text
    finally:
        _as_owner(usage, f"{setting} off")
        _end_connections(usage)
    assert eventually(lambda: send(usage, recorded([CALL])).status_code == 200)


def test_a_wrong_password_is_said_in_one_sentence(running: Settings) -> None:
    wrong = f"postgresql://genai:wrong@127.0.0.1:{running.postgres_port}/genai"
    with _second_service(running, USAGE_DATABASE_URL=wrong) as service:
        assert service.stderr
        complaint = service.stderr.readline()
    assert complaint == (
        'The warehouse refuses the password (password authentication failed for user "genai"): that in secrets/ or in '
        "USAGE_DATABASE_URL is not the database's.\n"
    )


def test_a_schema_that_is_newer_than_the_program_is_refused(running: Settings) -> None:
    newer = "INSERT INTO genai.schema_versions (number, name) VALUES (9999, '9999_later.sql')"
    _as_owner(running, newer)
    try:
        with _second_service(running) as service:
            assert service.wait(timeout=60) == 1
            assert service.stderr
            complaint = service.stderr.read()
    finally:
        older = "DELETE FROM genai.schema_versions WHERE number = 9999"
        _as_owner(running, older)
    known = len(schema.migrations(running.root / "postgres"))
    assert complaint == (
        f"The warehouse has schema 9999, and this program knows {known}: it was used by a newer release. Update this "
        "one, or restore a backup from before.\n"
    )


@pytest.mark.parametrize("wrong", ["mysql://x", "postgresql://o:p[w@h/db", "postgresql://o:p@h:abc/db"])
def test_an_address_that_is_none_is_said_in_one_sentence(running: Settings, wrong: str) -> None:
    with _second_service(running, USAGE_DATABASE_URL=wrong) as service:
        assert service.wait(timeout=60) == 1
        assert service.stderr
        assert service.stderr.read() == (
            "USAGE_DATABASE_URL must be postgresql://OWNER:PASSWORD@HOST:PORT/DATABASE, with the owner of the "
            "database; signs other than letters and digits in the password as %40 and so on.\n"
        )


def test_an_upgrade_keeps_what_is_stored(usage: Settings, tmp_path: Path) -> None:
    """As a later release does it: one more numbered file."""
    send(usage, recorded([CALL] * 5))
    for file in (usage.root / "postgres").glob("*.sql"):
        shutil.copy(file, tmp_path)
    number = len(schema.migrations(tmp_path)) + 1
    (tmp_path / f"{number:04d}_more.sql").write_text("ALTER TABLE calls ADD COLUMN more int DEFAULT 7;")
    passwords = {role: schema.password_of(address(usage, role)) for role in ("genai_ingest", "genai_reader")}

    async def upgrade() -> None:
        connection = await asyncpg.connect(address(usage, "genai"))
        await schema.bring_up_to_date(connection, tmp_path, passwords, alone=True)
        await connection.close()

    asyncio.run(upgrade())
    try:
        assert rows(usage, "SELECT count(*), sum(more) FROM calls") == [{"count": 5, "sum": 35}]
        assert value(usage, "SELECT max(number) FROM schema_versions") == number
    finally:
        undo = f"ALTER TABLE genai.calls DROP COLUMN more; DELETE FROM genai.schema_versions WHERE number = {number}"
        _as_owner(usage, undo)


def test_a_schema_change_that_fails_changes_nothing(usage: Settings, tmp_path: Path) -> None:
    for file in (usage.root / "postgres").glob("*.sql"):
        shutil.copy(file, tmp_path)
    number = len(schema.migrations(tmp_path)) + 1
    (tmp_path / f"{number:04d}_broken.sql").write_text("CREATE TABLE half (id int); SELECT 1 / 0;")

    async def upgrade() -> None:
        connection = await asyncpg.connect(address(usage, "genai"))
        try:
            await schema.bring_up_to_date(connection, tmp_path, {}, alone=True)
        finally:
            await connection.close()

    with pytest.raises(asyncpg.DivisionByZeroError):
        asyncio.run(upgrade())
    assert value(usage, "SELECT to_regclass('genai.half')") is None
    assert value(usage, "SELECT max(number) FROM schema_versions") == number - 1


@contextmanager
def _second_service(settings: Settings, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The service once more, on a port of its own."""
    port = {"USAGE_PORT": str(free_ports(1)[0])}
    command = [sys.executable, "-m", "stack.usage"]
    service = subprocess.Popen(
        command, env=os.environ | settings.variables() | port | environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield service
    finally:
        service.terminate()
        service.wait()
        assert service.stderr
        service.stderr.close()


def _around() -> tuple[datetime, datetime]:
    return NOW - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)


def _metric(settings: Settings, name: str) -> float:
    text = httpx.get(f"{settings.usage_url}/metrics", trust_env=False).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def _end_connections(settings: Settings) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'genai_ingest'"
    _as_owner(settings, end)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_loses_nothing_that_was_acknowledged(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with warehouse(small_disk / "state") as settings:
        send(settings, recorded([CALL]))
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(b"\0" * (free - 1_000_000))
        acknowledged, refused = 1, None
        for _ in range(50):
            answer = send(settings, recorded([CALL] * 2000))
            if answer.status_code != 200:
                refused = answer
                break
            acknowledged += 2000
        assert refused is not None
        assert refused.status_code == 503
        assert "disk is full" in refused.text
        ballast.unlink()
        up(settings, only={"postgres", "usage"})
        assert eventually(lambda: send(settings, recorded([CALL])).status_code == 200)
        assert value(settings, "SELECT count(*) FROM calls") == acknowledged + 1
        assert value(settings, "SELECT sum(calls) FROM calls_by_hour") == acknowledged + 1


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk with room for an empty warehouse and little more, which the database's user can enter."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="small-disk-"))
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m,mode=0755", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
