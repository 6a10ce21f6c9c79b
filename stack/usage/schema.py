"""Brings the warehouse's schema up to date: numbered files, forward only, each in one transaction.

Thirty lines in place of a tool: those looked at (yoyo-migrations, Alembic) need another driver, or an ORM, for what is
here a loop over files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from stack.secret_files import WAREHOUSE_PASSWORDS
from stack.usage.columns import OWN, RESOURCE, TABLES
from stack.usage.scram import verifier
from stack.warehouse import INGEST, OWNER, READER

SCHEMA: Final = "genai"
"""All of it lies in a schema of its own, as the database may be the user's own."""
AHEAD: Final = "2 months"
"""Partitions that are there before the first call of their month comes."""
SUMS: Final = (
    "kinds", "sums_by_hour", "sums_by_day",
    "user_kinds", "users", "sums_by_user_day", "sums_by_user_week", "sums_by_user_month",
)  # fmt: skip
"""Tables of sums, and of what they are grouped by."""
OLDEST_SERVER: Final = 150_000
_LOCK: Final = f"LOCK TABLE {SCHEMA}.schema_versions IN SHARE ROW EXCLUSIVE MODE"
"""Held while the schema changes, so that two services never do it at once. Whoever may only select cannot take it."""
_READER_TIMEOUT: Final = "30s"
"""A query of a reader that takes longer is ended: dashboards wait no longer, and the ingest needs the machine, too."""
_READER_IDLE: Final = "5min"
"""A transaction that a reader leaves open longer is ended: it would keep the schema from changing."""


class SchemaError(Exception):
    """The warehouse cannot be used as it is; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    sql: str


def migrations(folder: Path) -> list[Migration]:
    """The numbered files of a folder, in their order.

    Raises:
        SchemaError: a number is missing or stands twice.
    """
    found = [
        Migration(int(match[1]), path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.sql"))
        if (match := re.fullmatch(r"(\d{4})_\w+\.sql", path.name))
    ]
    if not found or [each.number for each in found] != list(range(1, len(found) + 1)):
        raise SchemaError(f"{folder} must have SQL files numbered 0001, 0002 and so on, without a gap.")
    return found


async def bring_up_to_date(
    connection: asyncpg.Connection[Any], folder: Path, passwords: dict[str, str], *, alone: bool
) -> None:
    """Applies what is missing, as the owner of the database; makes roles, partitions and comments.

    Args:
        connection: one of the owner.
        folder: with the numbered files.
        passwords: of the roles that write and read.
        alone: the database holds nothing else, so that rights which every role has may be taken away.

    Raises:
        SchemaError: the database's schema is newer than the files, the server is too old, its encoding is not UTF8,
            or a password is none.
    """
    if connection.get_server_version() < (OLDEST_SERVER // 10_000, 0):
        raise SchemaError(
            f"The warehouse is PostgreSQL {connection.get_server_version().major}: 15 or newer is needed."
        )
    if (encoding := await connection.fetchval("SHOW server_encoding")) != "UTF8":
        raise SchemaError(
            f"The warehouse's database has the encoding {encoding}, which cannot hold every text: name one in "
            "USAGE_DATABASE_URL that was made with ENCODING 'UTF8' TEMPLATE template0."
        )
    wanted = migrations(folder)
    await connection.execute(_VERSIONS)
    for migration in wanted:
        async with connection.transaction():
            await connection.execute(_LOCK)
            await connection.execute(f"SET LOCAL search_path = {SCHEMA}, pg_temp")
            newest = await connection.fetchval("SELECT coalesce(max(number), 0) FROM schema_versions")
            if newest > wanted[-1].number:
                raise SchemaError(
                    f"The warehouse has schema {newest}, and this program knows {wanted[-1].number}: it was used by a "
                    "newer release. Update this one, or restore a backup from before."
                )
            if migration.number > newest:
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_versions (number, name) VALUES ($1, $2)", migration.number, migration.name
                )
    async with connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute(f"SET LOCAL search_path = {SCHEMA}, pg_temp")
        for statement in (*_roles(passwords), *(_CLOSED if alone else ()), *_comments()):
            await connection.execute(statement)
        await connection.execute(f"SELECT make_partitions(now(), now() + interval '{AHEAD}')")


_VERSIONS: Final = f"""
    DO $$ BEGIN
        CREATE SCHEMA IF NOT EXISTS {SCHEMA};
        CREATE TABLE IF NOT EXISTS {SCHEMA}.schema_versions (
            number int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
        );
    EXCEPTION WHEN unique_violation OR duplicate_schema OR duplicate_table THEN NULL; -- another service was first
    END $$
"""


def password_of(address: str) -> str:
    """The password in an address."""
    return unquote(urlsplit(address).password or "")


def _roles(passwords: dict[str, str]) -> Iterator[str]:
    """The roles that write and read, with what each may do; a changed password counts from the next start on."""
    for role in (INGEST, READER):
        yield f"""
            DO $$ BEGIN
                CREATE ROLE {role} LOGIN;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$
        """
        yield f"ALTER ROLE {role} PASSWORD {_quoted(_verifier(role, passwords[role]))}"
        yield f"ALTER ROLE {role} SET search_path = {SCHEMA}, pg_temp"
        # Whose query runs for how long: without it, a role sees its own alone. A database of the user's own may refuse.
        yield f"""
            DO $$ BEGIN
                GRANT pg_read_all_stats TO {role};
            EXCEPTION WHEN insufficient_privilege THEN NULL;
            END $$
        """
        yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}"
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {role}"
        yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {SCHEMA} GRANT SELECT ON TABLES TO {role}"
    yield f"ALTER ROLE {READER} SET default_transaction_read_only = on"
    yield f"ALTER ROLE {READER} SET statement_timeout = '{_READER_TIMEOUT}'"
    yield f"ALTER ROLE {READER} SET idle_in_transaction_session_timeout = '{_READER_IDLE}'"
    written = ", ".join((*(table.name for table in TABLES), "refused_records", *SUMS))
    yield f"GRANT INSERT, UPDATE ON {written} TO {INGEST}"
    yield "REVOKE ALL ON FUNCTION make_partitions FROM PUBLIC"
    yield f"GRANT EXECUTE ON FUNCTION make_partitions TO {INGEST}"


_CLOSED: Final = (
    f"GRANT TEMPORARY ON DATABASE {OWNER} TO {INGEST}",
    f"REVOKE TEMPORARY ON DATABASE {OWNER} FROM PUBLIC",
    "REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC",
)
"""Every role may fill the disk with temporary tables and large objects: only the ingest needs the former."""


def _verifier(role: str, password: str) -> str:
    try:
        return verifier(password)
    except ValueError as error:
        raise SchemaError(f"The password of {role} in secrets/{WAREHOUSE_PASSWORDS[role]} is none: {error}.") from error


def _comments() -> Iterator[str]:
    """What each column means, from the catalogue of signals."""
    for table in TABLES:
        for name in table.names:
            if name in OWN:
                yield f"COMMENT ON COLUMN {table.name}.{name} IS {_quoted(OWN[name])}"
        for column in (*RESOURCE, *table.columns):
            unit = f" ({column.signal.unit.strip('{}')})" if column.signal.unit else ""
            yield f"COMMENT ON COLUMN {table.name}.{column.name} IS {_quoted(column.signal.meaning + unit)}"
    for name, meaning in _TABLE_COMMENTS.items():
        yield f"COMMENT ON {name} IS {_quoted(meaning)}"


_TABLE_COMMENTS: Final = {
    "TABLE calls": "Every model call, once",
    "TABLE scores": "Every evaluation and every piece of feedback, once",
    "TABLE findings": "Every sign of an attack or a leak, once",
    "TABLE refused_records": "Records that could not be stored, whole, with the reason",
    "VIEW calls_by_hour": "Exact sums of calls, by the hour in UTC in which they ended and all that is bounded",
    "VIEW calls_by_day": "The same by the day",
    "VIEW calls_by_user_day": "Exact sums of the calls of users, by the day in UTC on which they ended",
    "VIEW calls_by_user_month": "The same by the month",
    "VIEW usage_ever": "Exact sums of all calls, by all that is bounded",
    "VIEW users_ever": "Exact sums of all calls of users",
    "TABLE kinds": "What the sums by hour and by day are grouped by",
    "TABLE user_kinds": "What the sums by user are grouped by",
    "TABLE sums_by_hour": "See the view calls_by_hour",
    "TABLE sums_by_day": "See the view calls_by_day",
    "TABLE users": "Users by the digest of their hash that the sums have",
    "TABLE sums_by_user_week": "Weeks that make up months: see the function week_of",
    "TABLE sums_by_user_day": "See the view calls_by_user_day",
    "TABLE sums_by_user_month": "See the view calls_by_user_month",
    "VIEW llm_usage": "Calls in plain columns",
    "VIEW scored_calls": "Scores with the calls that they are about",
    "FUNCTION usage_between": "Exact sums of calls between two moments, by all that is bounded",
    "FUNCTION users_between": "Exact sums of users' calls between two moments",
}


def _quoted(text: str) -> str:
    """A text as a literal: these statements take no parameters."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
