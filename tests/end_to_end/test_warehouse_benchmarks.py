"""What the warehouse is measured with: the calls that are sent, and those that it is filled with."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from stack.benchmarks.calls import Company
from stack.benchmarks.fill import fill
from stack.benchmarks.sender import Request
from stack.benchmarks.warehouse import questions
from stack.settings import Settings
from stack.usage.columns import CALLS
from stack.usage.records import read
from stack.warehouse import OWNER, address
from tests.usage import rows, value, warehouse

_INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'calls%' ORDER BY indexname"


def test_each_call_that_is_sent_is_another_one_of_now() -> None:
    company = Company()
    request = Request(company.records("shop", 200))
    found = []
    for _ in range(3):
        request.renew(company.people, now=time.time_ns(), every=0.001)
        batch = read(bytes(request.body))
        assert not batch.refusals
        found += [dict(zip(CALLS.names, row, strict=True)) for row in batch.rows["calls"]]
    for column in ("id", "ended_at", "trace_id", "span_id", "provider_request_id", "request_id"):
        assert len({call[column] for call in found}) == 600, column
    responses = [call["response_id"] for call in found if call["response_id"]]
    assert len(set(responses)) == len(responses) > 400
    assert {call["user_hash"] for call in found} <= set(company.people.hashes)
    assert max(call["ended_at"] for call in found) - min(call["ended_at"] for call in found) < timedelta(minutes=1)
    assert 0 < sum(call["outcome"] != "success" for call in found) < 60


def test_a_filled_warehouse_has_every_call_its_sums_and_its_indexes(tmp_path: Path) -> None:
    with warehouse(tmp_path) as settings:
        before = rows(settings, _INDEXES)
        asyncio.run(_fill(address(settings, OWNER)))
        assert value(settings, "SELECT count(*) FROM calls") == 20_000
        assert {row["indexdef"] for row in before} <= {row["indexdef"] for row in rows(settings, _INDEXES)}
        whole = "sum(calls) AS calls, sum(cost) AS cost, sum(output_tokens) AS tokens"
        single = rows(settings, "SELECT count(*) AS calls, sum(cost) AS cost, sum(output_tokens) AS tokens FROM calls")
        for sums in ("calls_by_hour", "calls_by_day", "calls_by_user_day", "calls_by_user_month", "usage_ever"):
            assert rows(settings, f"SELECT {whole} FROM {sums}") == single, sums
        assert value(settings, "SELECT count(*) FROM scored_calls") > 500


async def _fill(where: str) -> None:
    connection = await asyncpg.connect(where)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await fill(connection, calls=20_000, days=40, end=end, report=lambda _: None, pool=2000)
    await connection.close()


def test_the_ten_questions_of_the_guide_are_asked() -> None:
    found = dict(questions(Settings.load().root / "docs" / "warehouse.md"))
    assert len(found) == 10
    assert all(title.endswith("?") for title in found)
    assert all(sql.startswith("SELECT") and not sql.endswith(";") for sql in found.values())
