"""The warehouse's schema: exact in every time zone, open to writers beside readers, closed to all others."""

import asyncio
import base64
import hashlib
import hmac
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import asyncpg
import pytest

from stack.clients import StoreError, Warehouse
from stack.native.ports import free_ports
from stack.settings import Settings
from stack.usage import schema, scram, store
from stack.warehouse import INGEST, OWNER, READER, Role, address
from tests.usage import CALL, NOW, recorded, rows, send, value, warehouse


@pytest.fixture(scope="module")
def usage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with warehouse(tmp_path_factory.mktemp("schema")) as settings:
        yield settings


def _as(settings: Settings, role: Role, *statements: str) -> None:
    """Executes statements as a role, each in a transaction of its own."""

    async def execute() -> None:
        connection = await asyncpg.connect(address(settings, role))
        try:
            await connection.execute("SET search_path = genai, pg_temp")
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())


# --- Time zones ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ranges(usage: Settings) -> Iterator[list[tuple[datetime, datetime]]]:
    """Random ranges around the changes of the clock of a year, with calls every 17 minutes and at whole hours."""
    spans = [
        (begin, begin + timedelta(days=61)) for month in (3, 10) for begin in [datetime(2024, month, 1, tzinfo=UTC)]
    ]
    series = " UNION ALL ".join(
        f"SELECT generate_series('{first}'::timestamptz, '{last}', interval '{step}')"
        for first, last in spans
        for step in ("17 minutes", "1 hour")
    )
    _as(
        usage,
        OWNER,
        *(f"SELECT make_partitions('{first}', '{last}')" for first, last in spans),
        "INSERT INTO calls (id, ended_at, outcome, user_hash) "
        f"SELECT gen_random_uuid(), at, 'success', 'u' FROM ({series}) AS moments (at)",
        f"WITH {store.sums('calls')} SELECT 1",
    )
    numbers = random.Random(7)
    steps = (timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1))

    def moment(first: datetime, last: datetime) -> datetime:
        step = numbers.choice(steps)
        return first + numbers.randrange((last - first) // step) * step

    yield [(min(ends), max(ends)) for span in spans for _ in range(300) for ends in [(moment(*span), moment(*span))]]
    _as(usage, OWNER, f"TRUNCATE calls, {', '.join(schema.SUMS)}")


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Europe/Berlin"])
def test_sums_of_a_range_are_those_of_its_calls_in_every_time_zone(
    usage: Settings, ranges: list[tuple[datetime, datetime]], zone: str
) -> None:
    found = Warehouse(f"{address(usage, READER)}?timezone={zone}").rows(
        """
        SELECT current_setting('timezone') AS zone, first, last,
               (SELECT count(*) FROM calls WHERE ended_at >= first AND ended_at < last) AS single,
               (SELECT coalesce(sum(calls), 0) FROM usage_between(first, last)) AS usage,
               (SELECT coalesce(sum(calls), 0) FROM users_between(first, last)) AS users
        FROM unnest($1::timestamptz[], $2::timestamptz[]) AS ranges (first, last)
        """,
        *zip(*ranges, strict=True),
    )
    assert {row["zone"] for row in found} == {zone}
    assert sum(row["single"] for row in found) > 0
    assert [row for row in found if not row["single"] == row["usage"] == row["users"]] == []


def test_the_planner_sees_through_the_functions_of_ranges(usage: Settings) -> None:
    """Else no index would be used, and each range would be computed row by row."""
    for function in ("usage_between", "users_between"):
        explained = Warehouse(address(usage, READER)).rows(f"EXPLAIN (VERBOSE) SELECT * FROM {function}(now(), now())")
        plan = "\n".join(row["QUERY PLAN"] for row in explained)
        assert "Index" in plan
        assert function not in plan
        assert "first_whole" not in plan


# --- Partitions ------------------------------------------------------------------------------------------------------


def test_calls_of_a_new_month_are_stored_and_read_beside_an_open_reader(usage: Settings) -> None:
    """Such as a backup, a report, or a psql that somebody left open."""
    late = replace(CALL, started=NOW - timedelta(days=95))

    async def beside_a_reader() -> tuple[list[int], float]:
        reader = await asyncpg.connect(address(usage, READER))
        try:
            async with reader.transaction():
                await reader.fetchval("SELECT count(*) FROM calls")
                began = time.monotonic()
                answers = [await asyncio.to_thread(send, usage, recorded([call])) for call in (late, CALL)]
                return [answer.status_code for answer in answers], time.monotonic() - began
        finally:
            await reader.close()

    month = f"calls_{late.started:%Y_%m}"
    assert value(usage, "SELECT to_regclass($1::text)", month) is None
    codes, seconds = asyncio.run(beside_a_reader())
    assert codes == [200, 200]
    assert seconds < 5
    assert value(usage, "SELECT count(*) FROM calls") == 2
    assert value(usage, f"SELECT count(*) FROM {month}") == 1


def test_a_transaction_that_a_reader_leaves_open_is_ended(usage: Settings) -> None:
    async def is_ended(reader: str) -> bool:
        connection = await asyncpg.connect(reader)
        await connection.execute("BEGIN")
        await asyncio.sleep(1)
        return connection.is_closed()

    assert value(usage, "SELECT current_setting('idle_in_transaction_session_timeout')") == "5min"
    assert asyncio.run(is_ended(f"{address(usage, READER)}?idle_in_transaction_session_timeout=50"))


def test_a_partition_has_the_indexes_the_checks_and_the_bounds_of_its_month(usage: Settings) -> None:
    """In whatever time zone it was made, and each index once, as a part of that of the whole."""
    elsewhere = "SET timezone = 'Asia/Kolkata'; SET datestyle = 'SQL, DMY';"
    _as(usage, OWNER, f"{elsewhere} SELECT make_partitions('2025-05-31 20:00Z', '2025-06-02 00:00Z')")
    parts = [
        row["part"]
        for row in rows(
            usage, "SELECT inhrelid::regclass::text AS part FROM pg_inherits WHERE inhparent = 'calls'::regclass"
        )
    ]
    assert {"calls_2025_05", "calls_2025_06"} <= set(parts)
    whole = value(usage, "SELECT count(*) FROM pg_index WHERE indrelid = 'calls'::regclass")
    checks = "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = $1::text::regclass"
    for part in parts:
        attached = (
            "SELECT count(*) AS all, count(inhparent) AS attached FROM pg_index "
            "LEFT JOIN pg_inherits ON inhrelid = indexrelid WHERE indrelid = $1::text::regclass"
        )
        assert rows(usage, attached, part) == [{"all": whole, "attached": whole}]
        assert value(usage, f"{checks} AND NOT conislocal", part) == value(usage, checks, "calls") == 2
    bounds = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'calls_2025_06'"
    assert value(usage, bounds) == "FOR VALUES FROM ('2025-06-01 00:00:00+00') TO ('2025-07-01 00:00:00+00')"


def test_several_that_make_the_same_partitions_at_once_are_harmless(usage: Settings) -> None:
    async def at_once() -> None:
        makers = [await asyncpg.connect(address(usage, INGEST)) for _ in range(6)]
        await asyncio.gather(*(each.execute("SELECT make_partitions('2023-01-01Z', '2023-12-31Z')") for each in makers))
        for each in makers:
            await each.close()

    asyncio.run(at_once())
    made = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'calls'::regclass AND inhrelid::regclass::text ~ '2023'"
    assert value(usage, made) == 12


# --- Passwords -------------------------------------------------------------------------------------------------------


async def _brought_up_to_date(settings: Settings, passwords: dict[str, str], owner: str = "") -> None:
    connection = await asyncpg.connect(owner or address(settings, OWNER))
    try:
        await schema.bring_up_to_date(connection, settings.root / "postgres", passwords, alone=not owner)
    finally:
        await connection.close()


def _passwords(settings: Settings) -> dict[str, str]:
    return {role: schema.password_of(address(settings, role)) for role in (INGEST, READER)}


def test_a_verifier_is_that_of_the_standards_example() -> None:
    """The exchange of RFC 7677, section 3: its proof and its signature follow from what the verifier holds."""
    first = "n=user,r=rOprNGfwEbeRWgbNEkqO"
    salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchanged = f"{first},r={nonce},s={salt},i=4096,c=biws,r={nonce}".encode()
    found = scram.verifier("pencil", base64.b64decode(salt), 4096)
    assert found.startswith(f"SCRAM-SHA-256$4096:{salt}$")
    stored_key, server_key = (base64.b64decode(each) for each in found.split("$")[2].split(":"))
    assert base64.b64encode(hmac.digest(server_key, exchanged, "sha256")) == (
        b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(stored_key, exchanged, "sha256")
    client_key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key


def test_passwords_let_in_and_stand_in_no_log(usage: Settings) -> None:
    passwords = _passwords(usage) | {READER: "a'b\\c\"d$e%20f/@:#?[x]"}
    logged = f"{address(usage, OWNER)}?log_min_duration_statement=0"
    try:
        asyncio.run(_brought_up_to_date(usage, passwords, logged))
        changed = address(usage, READER).replace(_passwords(usage)[READER], quote(passwords[READER], safe=""))
        assert Warehouse(changed).rows("SELECT current_user::text AS me") == [{"me": READER}]
        with pytest.raises(StoreError, match="password authentication failed"):
            rows(usage, "SELECT 1")
    finally:
        asyncio.run(_brought_up_to_date(usage, _passwords(usage)))
    assert rows(usage, "SELECT 1 AS one") == [{"one": 1}]
    log = (usage.state / "logs" / "postgres.log").read_text()
    assert "ALTER ROLE genai_reader PASSWORD E'SCRAM-SHA-256$4096:" in log
    assert [each for each in (*passwords.values(), *_passwords(usage).values(), "a''b") if each in log] == []


@pytest.mark.parametrize("password", ["", "schön", "two\nlines"])
def test_a_password_that_cannot_be_made_a_verifier_of_is_refused(usage: Settings, password: str) -> None:
    with pytest.raises(schema.SchemaError) as refused:
        asyncio.run(_brought_up_to_date(usage, _passwords(usage) | {READER: password}))
    assert str(refused.value) == (
        "The password of genai_reader in secrets/warehouse-reader-password is none: it must be of printable ASCII "
        "characters."
    )
    assert rows(usage, "SELECT 1 AS one") == [{"one": 1}]


# --- Rights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMPORARY TABLE mine AS SELECT 1",
        "CREATE TABLE genai.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE SCHEMA mine",
        "SELECT lo_creat(-1)",
        "SELECT lo_create(4711)",
        "SELECT lo_from_bytea(4712, 'x')",
        "SELECT lo_import('/etc/hostname')",
        "SELECT make_partitions(now(), now())",
        "UPDATE calls SET cost = 0",
        "DELETE FROM calls",
        "BEGIN; LOCK TABLE schema_versions IN SHARE ROW EXCLUSIVE MODE",
        "BEGIN; LOCK TABLE calls IN SHARE UPDATE EXCLUSIVE MODE",
        "COPY calls TO PROGRAM 'cat'",
    ],
)
def test_a_reader_who_wants_to_write_is_denied(usage: Settings, sql: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        _as(usage, READER, "SET default_transaction_read_only = off", sql)


def test_what_a_reader_changes_of_its_own_role_lasts_until_the_next_start(usage: Settings) -> None:
    _as(
        usage,
        READER,
        "SET default_transaction_read_only = off",
        "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
        "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
    )
    asyncio.run(_brought_up_to_date(usage, _passwords(usage)))
    assert value(usage, "SELECT current_setting('statement_timeout')") == "30s"


def test_a_reader_keeps_no_service_from_starting(usage: Settings) -> None:
    async def beside_a_reader() -> None:
        reader = await asyncpg.connect(address(usage, READER))
        try:
            async with reader.transaction():
                await reader.execute("LOCK TABLE schema_versions IN ACCESS SHARE MODE")
                await reader.execute("SELECT pg_advisory_lock(7240118034)")  # what was once waited for
                await reader.fetchval("SELECT count(*) FROM calls, scores, llm_usage")
                await asyncio.wait_for(_brought_up_to_date(usage, _passwords(usage)), 10)
        finally:
            await reader.close()

    asyncio.run(beside_a_reader())


def test_several_services_that_find_an_empty_database_make_one_schema(usage: Settings) -> None:
    _as(usage, OWNER, "CREATE DATABASE empty")
    empty = address(usage, OWNER).removesuffix("/genai") + "/empty"

    async def at_once() -> int:
        await asyncio.gather(*(_brought_up_to_date(usage, _passwords(usage), empty) for _ in range(4)))
        connection = await asyncpg.connect(empty)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM genai.schema_versions"))
        finally:
            await connection.close()

    assert asyncio.run(at_once()) == len(schema.migrations(usage.root / "postgres"))


def test_a_database_that_others_use_keeps_its_rights(usage: Settings) -> None:
    """The stack takes nothing from roles that it did not make."""
    _as(usage, OWNER, "CREATE DATABASE shared")
    shared = replace(usage, usage_database_url=address(usage, OWNER).removesuffix("/genai") + "/shared")
    asyncio.run(_brought_up_to_date(usage, _passwords(usage), address(shared, OWNER)))
    allowed = "SELECT has_database_privilege('pg_monitor', current_database(), 'TEMPORARY')"
    assert value(shared, allowed)
    assert not value(usage, allowed)


# --- Encoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_refused_in_one_sentence(usage: Settings, encoding: str) -> None:
    name = encoding.lower()
    _as(usage, OWNER, f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'")
    variables = usage.variables() | {
        "USAGE_DATABASE_URL": address(usage, OWNER).removesuffix("/genai") + f"/{name}",
        "USAGE_PORT": str(free_ports(1)[0]),
    }
    service = subprocess.run(
        [sys.executable, "-m", "stack.usage"], env=os.environ | variables, capture_output=True, text=True, timeout=60
    )
    assert service.returncode == 1
    assert service.stderr == (
        f"The warehouse's database has the encoding {encoding}, which cannot hold every text: name one in "
        "USAGE_DATABASE_URL that was made with ENCODING 'UTF8' TEMPLATE template0.\n"
    )
