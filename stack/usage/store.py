"""Writes batches: COPY into a temporary table, then one statement that leaves out what the warehouse has already.

The sums change in the same transaction as the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from stack.usage.columns import CALLS, TABLES, Table
from stack.usage.records import Batch, Refusal, Row

_KIND: Final = (
    "service", "environment", "feature", "team", "tenant", "endpoint", "user_tier", "prompt_name", "prompt_version",
    "experiment", "variant", "operation", "provider", "request_model", "response_model", "service_tier", "outcome",
    "error_type", "finish_reasons", "refused", "stream_end", "retried", "batch", "unpriced_reason", "cost_from",
)  # fmt: skip
"""What the sums by hour and day are grouped by: all that is bounded."""
_USER_KIND: Final = (
    "service", "environment", "feature", "team", "tenant", "user_tier", "provider", "request_model",
)  # fmt: skip
"""What the sums by user are grouped by, beside the user: what a page of the dashboards can be narrowed down to."""
_EXPRESSIONS: Final = {
    "retried": "retries > 0",
    "batch": "batch_id IS NOT NULL",
    "cost_from": "cost_from(cost)",
}
_SUMS: Final = {
    "calls": "count(*)",
    "priced": "count(cost)",
    "cost": "sum(cost)",
    "cache_saved": "sum(cache_saved)",
    "estimated_cost": "sum(estimated_cost)",
    "input_tokens": "coalesce(sum(input_tokens), 0)",
    "output_tokens": "coalesce(sum(output_tokens), 0)",
    "cached_tokens": "coalesce(sum(cached_tokens), 0)",
    "cache_write_tokens": "coalesce(sum(cache_write_tokens), 0)",
    "reasoning_tokens": "coalesce(sum(reasoning_tokens), 0)",
    "retries": "coalesce(sum(retries), 0)",
    "duration": "coalesce(sum(duration), 0)",
}
_USER_SUMS: Final = {name: _SUMS[name] for name in ("calls", "cost", "input_tokens", "output_tokens")} | {
    "failed": "count(*) FILTER (WHERE outcome IN ('error', 'timeout', 'rate_limited'))"
}
_REFUSALS: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""What PostgreSQL says against rows that it will never take."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch's records: their numbers by table, and of all tables."""

    new: dict[str, int]
    known: int
    """Stored before, and therefore not again."""
    refused: int


async def store(connection: asyncpg.Connection[Any], batch: Batch) -> Stored:
    """Stores a batch, whole or not at all; when it returns, it is committed.

    Rows that PostgreSQL refuses are found by halving the batch, and kept as refused records.

    Raises:
        asyncpg.PostgresError, OSError: the warehouse cannot take anything now.
    """
    refusals = list(batch.refusals)
    while True:
        try:
            async with connection.transaction():
                await _make_partitions(connection, batch.rows[CALLS.name])
                new = {table: await _insert(connection, table, rows, _STATEMENTS) for table, rows in batch.rows.items()}
                await _keep(connection, refusals)
            given = sum(map(len, batch.rows.values()))
            return Stored(new=new, known=given - sum(new.values()), refused=len(refusals))
        except _REFUSALS as error:
            for table, found in (await _culprits(connection, batch, error)).items():
                gone = {id(row) for row, _ in found}
                batch.rows[table] = [row for row in batch.rows[table] if id(row) not in gone]
                refusals.extend(_refusal(table, row, reason) for row, reason in found)


async def prepare(connection: asyncpg.Connection[Any]) -> None:
    """Makes what a connection needs to store batches."""
    for table in TABLES:
        await connection.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS new_{table.name} (LIKE {table.name}) ON COMMIT DELETE ROWS"
        )


async def _insert(
    connection: asyncpg.Connection[Any], table: str, rows: Sequence[Row], statements: Mapping[str, str]
) -> int:
    """Inserts the rows that are not there yet; returns their number."""
    if not rows:
        return 0
    await connection.copy_records_to_table(f"new_{table}", records=rows, columns=_NAMES[table])
    return int(await connection.fetchval(statements[table]))


async def _keep(connection: asyncpg.Connection[Any], refusals: Sequence[Refusal]) -> None:
    if refusals:
        rows = [(each.reason, each.record) for each in refusals]
        await connection.copy_records_to_table("refused_records", records=rows, columns=("reason", "record"))


async def _make_partitions(connection: asyncpg.Connection[Any], rows: Sequence[Row]) -> None:
    """For calls of months that are long over, or to come. Cheap where all are there."""
    if rows:
        times = [row[1] for row in rows]
        await connection.execute("SELECT make_partitions($1, $2)", min(times), max(times))


async def _culprits(
    connection: asyncpg.Connection[Any], batch: Batch, error: asyncpg.PostgresError
) -> dict[str, list[tuple[Row, str]]]:
    """By table, all rows that PostgreSQL refuses, and why; raises the error where it refuses no single row."""
    for statements in (_INSERTS, _STATEMENTS):  # without sums first: that is a fraction of the time
        found = {table: await _refused(connection, table, rows, statements) for table, rows in batch.rows.items()}
        if any(found.values()):
            return found
    raise error


async def _refused(
    connection: asyncpg.Connection[Any], table: str, rows: Sequence[Row], statements: Mapping[str, str]
) -> list[tuple[Row, str]]:
    """Of these rows those that PostgreSQL refuses, and why, found by halving."""
    reason = await _complaint(connection, table, rows, statements)
    if not reason or len(rows) == 1:
        return [(row, reason) for row in rows if reason]
    half = len(rows) // 2
    first = await _refused(connection, table, rows[:half], statements)
    return first + await _refused(connection, table, rows[half:], statements)


async def _complaint(
    connection: asyncpg.Connection[Any], table: str, rows: Sequence[Row], statements: Mapping[str, str]
) -> str:
    """What PostgreSQL says against these rows; empty if nothing."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        if table == CALLS.name:
            await _make_partitions(connection, rows)
        await _insert(connection, table, rows, statements)
    except _REFUSALS as error:
        return f"PostgreSQL refuses it: {error}"
    finally:
        await transaction.rollback()
    return ""


def _refusal(table: str, row: Row, reason: str) -> Refusal:
    return Refusal(reason, json.dumps(dict(zip(_NAMES[table], row, strict=True)), default=str))


_NAMES: Final = {table.name: table.names for table in TABLES}


# --- Statements ------------------------------------------------------------------------------------------------------


def _insertion(table: Table) -> str:
    columns = ", ".join(table.names)
    insert = f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM new_{table.name} ON CONFLICT DO NOTHING"
    return f"WITH stored AS ({insert} RETURNING *)"


_COUNT: Final = "SELECT count(*) FROM stored"


def sums(source: str) -> str:
    """Parts of a WITH clause that add the calls of a relation to all sums."""
    hours = _grouped(source, "hour", _KIND, _SUMS)
    user_days = _grouped(f"{source} WHERE user_hash IS NOT NULL", "day", _USER_KIND, _USER_SUMS, "user_hash")
    days, months = _trunc("day", "hour"), _trunc("month", "day")

    def of_users(table: str, period: str, whole: str) -> str:
        return _added_up("user_days", whole, table, period, _USER_SUMS, "user_key")

    return ", ".join(
        (
            f"hours AS MATERIALIZED ({hours})",
            f"new_kinds AS ({_kept('hours', 'kinds', 'key', *_KIND)})",
            f"new_hours AS ({_added_up('hours', 'hour', 'sums_by_hour', 'hour', _SUMS)})",
            f"new_days AS ({_added_up('hours', days, 'sums_by_day', 'day', _SUMS)})",
            f"user_days AS MATERIALIZED (SELECT *, user_key(user_hash) FROM ({user_days}) AS grouped)",
            f"new_user_kinds AS ({_kept('user_days', 'user_kinds', 'key', *_USER_KIND)})",
            f"new_users AS ({_kept('user_days', 'users', 'user_key', 'user_hash')})",
            f"new_user_days AS ({of_users('sums_by_user_day', 'day', 'day')})",
            f"new_user_weeks AS ({of_users('sums_by_user_week', 'week', 'week_of(day)')})",
            f"new_user_months AS ({of_users('sums_by_user_month', 'month', months)})",
        )
    )


def _grouped(source: str, period: str, kind: Sequence[str], sums: Mapping[str, str], *beside: str) -> str:
    """The sums of calls by period, kind, and what else is no part of the kind."""
    by = (*kind, *beside)
    grouped = ", ".join(f"{_EXPRESSIONS.get(each, each)} AS {each}" for each in by)
    summed = ", ".join(f"{expression} AS {name}" for name, expression in sums.items())
    return f"""
        SELECT *, md5(ROW({", ".join(kind)})::text)::uuid AS key FROM (
            SELECT {_trunc(period, "ended_at")} AS {period}, {grouped}, {summed}
            FROM {source} GROUP BY {_places(1 + len(by))}
        ) AS grouped
    """


# Whatever is inserted is so in the order of keys: two services cannot deadlock.


def _kept(source: str, table: str, key: str, *columns: str) -> str:
    """Keeps kinds, or users, that are new."""
    names = ", ".join((key, *columns))
    return f"""
        INSERT INTO {table} ({names}) SELECT DISTINCT ON ({key}) {names} FROM {source} ORDER BY {key}
        ON CONFLICT DO NOTHING
    """


def _added_up(source: str, whole: str, table: str, period: str, sums: Mapping[str, str], *beside: str) -> str:
    """Adds sums by a period, or by a part of it, to those of before."""
    by, columns = ("key", *beside), ", ".join(sums)
    place, places = ", ".join((period, *by)), _places(1 + len(by))
    return f"""
        INSERT INTO {table} ({place}, {columns})
        SELECT {whole}, {", ".join(by)}, {", ".join(f"sum({name})" for name in sums)} FROM {source}
        GROUP BY {places} ORDER BY {places}
        ON CONFLICT ({place}) DO UPDATE SET {", ".join(f"{name} = {_added(table, name)}" for name in sums)}
    """


def _trunc(period: str, moment: str) -> str:
    return f"date_trunc('{period}', {moment}, 'UTC')"


def _places(count: int) -> str:
    """1, 2, 3: columns by their places."""
    return ", ".join(map(str, range(1, count + 1)))


def _added(table: str, name: str) -> str:
    """Money of which there was none stays unknown until there is some."""
    if name in ("cost", "cache_saved", "estimated_cost"):
        return f"coalesce({table}.{name} + excluded.{name}, {table}.{name}, excluded.{name})"
    return f"{table}.{name} + excluded.{name}"


_INSERTS: Final = {table.name: f"{_insertion(table)} {_COUNT}" for table in TABLES}
_STATEMENTS: Final = _INSERTS | {CALLS.name: f"{_insertion(CALLS)}, {sums('stored')} {_COUNT}"}
