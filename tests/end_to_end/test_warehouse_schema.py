"""The warehouse's schema: exact in every time zone, open to writers beside readers, closed to all others."""

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from stack.clients import Warehouse
from stack.settings import Settings
from stack.usage import store
from stack.warehouse import OWNER, READER, Role, address
from tests.usage import warehouse


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

ZONES = ("UTC", "America/New_York", "Europe/Berlin")


@pytest.fixture(scope="module")
def changes_of_the_clock(usage: Settings) -> Iterator[list[tuple[datetime, datetime]]]:
    """Calls every 17 minutes and at whole hours around the changes of the clock of a year, and random ranges there."""
    spans = [
        (datetime(2026, month, 1, tzinfo=UTC), datetime(2026, month, 1, tzinfo=UTC) + timedelta(days=61))
        for month in (3, 10)
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

    ranges = [(min(ends), max(ends)) for span in spans for _ in range(300) if (ends := [moment(*span), moment(*span)])]
    yield ranges
    _as(
        usage,
        OWNER,
        "TRUNCATE calls, kinds, user_kinds, sums_by_hour, sums_by_day, sums_by_user_day, sums_by_user_month",
    )


@pytest.mark.parametrize("zone", ZONES)
def test_sums_of_a_range_are_those_of_its_calls_in_every_time_zone(
    usage: Settings, changes_of_the_clock: list[tuple[datetime, datetime]], zone: str
) -> None:
    found = Warehouse(f"{address(usage, READER)}?timezone={zone}").rows(
        """
        SELECT current_setting('timezone') AS zone, first, last,
               (SELECT count(*) FROM calls WHERE ended_at >= first AND ended_at < last) AS single,
               (SELECT coalesce(sum(calls), 0) FROM usage_between(first, last)) AS usage,
               (SELECT coalesce(sum(calls), 0) FROM users_between(first, last)) AS users
        FROM unnest($1::timestamptz[], $2::timestamptz[]) AS ranges (first, last)
        """,
        *zip(*changes_of_the_clock, strict=True),
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
