"""Fills a warehouse with made-up calls of many days, as fast as PostgreSQL takes them.

Fifty thousand calls are made up in full, written as the package's records, and read by the ingest service's own reader.
Each becomes a line of COPY's text format in which ids, times and the user are left open. For each call a user is drawn,
and one of the three lines that are this user's. Filled in, they go by COPY into `calls` while it has no indexes, an
hour at a time in the order of time. Then the indexes are made, and the sums with the ingest service's own statement.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs

from stack.benchmarks.calls import SEED, Company, People, services, share
from stack.usage.columns import CALLS, SCORES
from stack.usage.records import Row, read
from stack.usage.store import sums

POOL: Final = 50_000
_LINES_OF_A_USER: Final = 3
_PART: Final = 500
_NAMES: Final = CALLS.names
_OPEN: Final = (
    "id", "ended_at", "started_at", "trace_id", "span_id", "tenant", "user_hash", "user_tier", "session_id",
    "conversation_id", "request_id",
)  # fmt: skip
_AN_HOUR: Final = timedelta(hours=1)

Line = tuple[bytes, float]
"""A line with gaps, and the call's duration."""


async def fill(
    connection: asyncpg.Connection[Any],
    *,
    calls: int,
    days: int,
    end: datetime,
    report: Callable[[str], None],
    pool: int = POOL,
) -> None:
    """Fills an empty warehouse, as its owner; ``report`` is told what is being done."""
    report("making up calls")
    company = Company()
    lines = _lines(company, pool)
    first = end - timedelta(days=days)
    await connection.execute("SET search_path = genai")
    await connection.execute("SET maintenance_work_mem = '1GB'")
    await connection.execute("SET work_mem = '512MB'")
    await connection.execute("SELECT make_partitions($1, $2)", first, end)
    constraint, indexes = await _without_indexes(connection)
    report(f"COPY of {calls:,} calls")
    await connection.copy_to_table("calls", source=_stream(lines, company.people, calls, first, end), columns=_NAMES)
    for definition in (constraint, *indexes):
        report(definition.partition(" USING ")[0])
        await connection.execute(definition)
    report("sums")
    for day in range(0, days, 5):  # in parts that fit into memory
        await connection.execute(_SUMS.format(first + timedelta(days=day), first + timedelta(days=day + 5)))
    report("scores and findings")
    await connection.execute(_SCORES)
    await connection.execute(_FINDINGS)
    report("VACUUM ANALYZE")
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")


async def _without_indexes(connection: asyncpg.Connection[Any]) -> tuple[str, list[str]]:
    """Drops the indexes of `calls`; returns the statements that make them again."""
    constraint = await connection.fetchrow(
        "SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint "
        "WHERE conrelid = 'calls'::regclass AND contype = 'p'"
    )
    assert constraint  # noqa: S101 -- the schema has it
    indexes = await connection.fetch(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index "
        "WHERE indrelid = 'calls'::regclass AND NOT indisprimary"
    )
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    await connection.execute(f"ALTER TABLE calls DROP CONSTRAINT {constraint['conname']}")
    definition = f"ALTER TABLE calls ADD CONSTRAINT {constraint['conname']} {constraint['definition']}"
    return definition, [index["definition"].replace(" ON ONLY ", " ON ") for index in indexes]


def _lines(company: Company, pool: int) -> list[Line]:
    lines = [
        _line(row)
        for service in services()
        for _ in range(round(pool / _PART * share(service)))
        for row in read(encode_logs(company.records(service, _PART)).SerializeToString()).rows[CALLS.name]
    ]
    random.Random(SEED).shuffle(lines)  # noqa: S311 -- not a secret
    return lines


def _line(row: Row) -> Line:
    values = dict(zip(_NAMES, row, strict=True))
    gaps = dict.fromkeys(_OPEN, b"%b") | {
        "response_id": b"\\N%.0b" if values["response_id"] is None else b"chatcmpl-%b",
        "provider_request_id": b"req_%b",
    }
    texts = (gaps.get(name) or _text(value).replace(b"%", b"%%") for name, value in values.items())
    return b"\t".join(texts) + b"\n", values["duration"] or 0.0


def _text(value: Any) -> bytes:
    """As COPY's text format has it: https://www.postgresql.org/docs/18/sql-copy.html."""
    if value is None:
        return b"\\N"
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, list):
        return "{{{}}}".format(",".join(value)).encode()
    return str(value).encode()


async def _stream(
    lines: list[Line], people: People, calls: int, first: datetime, end: datetime
) -> AsyncIterator[bytes]:
    for begins, count in _hours(calls, first, end):
        yield b"".join(_filled(lines, people, begins, count))


def _hours(calls: int, first: datetime, end: datetime) -> Iterator[tuple[datetime, int]]:
    """How many calls each hour has: many at noon, few at night and on Sundays; so many in all."""
    hours = [first + number * _AN_HOUR for number in range(int((end - first) / _AN_HOUR))]
    weights = [
        (0.15 + (1 - math.cos((hour.hour - 4) / 12 * math.pi)) / 2) * (0.5 if hour.weekday() >= 5 else 1.0)
        for hour in hours
    ]
    whole, so_far, given = sum(weights), 0.0, 0
    for hour, weight in zip(hours, weights, strict=True):
        so_far += weight
        count = round(calls * so_far / whole) - given
        given += count
        yield hour, count


def _filled(lines: list[Line], people: People, begins: datetime, count: int) -> Iterator[bytes]:
    start, day = begins.timestamp(), f"-{begins:%m%d}"
    moments = sorted(random.random() * 3600 for _ in range(count))  # noqa: S311 -- not a secret
    digits = os.urandom(48 * count).hex().encode()
    for place, (number, moment) in enumerate(zip(people.numbers(count), moments, strict=True)):
        at = start + moment
        own = digits[96 * place : 96 * place + 96]
        line, duration = lines[(number * _LINES_OF_A_USER + own[0] % _LINES_OF_A_USER) % len(lines)]
        person = people.person(number)
        yield line % (
            b"%012x7%b8%b" % (int(at * 1000), own[:3], own[3:18]),
            _moment(at),
            _moment(at - duration),
            own[18:50],
            own[50:66],
            person.tenant.encode(),
            person.user.encode(),
            person.tier.encode(),
            (person.session + day).encode(),
            person.conversation.encode(),
            own[66:82],
            own[2:31],
            own[34:66],
        )


def _moment(seconds: float) -> bytes:
    return b"%b" % datetime.fromtimestamp(seconds, UTC).isoformat().encode()


_SUMS: Final = "WITH {} SELECT 1".format(
    sums("(SELECT * FROM calls WHERE ended_at >= '{0}' AND ended_at < '{1}') AS part")
)

_SHARED: Final = ", ".join(name for name in _NAMES if name in SCORES.names and name not in ("id", "metadata"))
_SCORES: Final = f"""
    INSERT INTO scores (id, scored_at, {_SHARED}, name, score, label)
    SELECT gen_random_uuid(), ended_at + interval '20 seconds', {_SHARED},
           CASE WHEN kind < 3 THEN 'groundedness' ELSE 'user_feedback' END,
           CASE WHEN kind < 3 THEN 0.6 + 0.4 * random() ELSE (random() > 0.2)::int END,
           CASE WHEN kind >= 3 THEN 'thumbs' END
    FROM (SELECT *, floor(random() * 100) AS kind FROM calls WHERE response_id IS NOT NULL) AS judged
    WHERE kind < 5
"""
"""Of five calls in a hundred."""
_FINDINGS: Final = f"""
    INSERT INTO findings (id, found_at, {_SHARED}, kind, detail, source, matches)
    SELECT gen_random_uuid(), ended_at, {_SHARED},
           (ARRAY['prompt_injection', 'pii', 'system_prompt_leak'])[1 + floor(random() * 3)::int], 'email', 'input', 1
    FROM calls WHERE random() < 0.002
"""
