"""What the ingest says of its warehouse: a query that runs for long, whoever runs it; backups; a disk of its own."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from stack.settings import Settings
from stack.usage.metrics import Metrics
from stack.usage.service import _FIGURES
from stack.warehouse import INGEST, READER, address
from tests import usage


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The warehouse with its ingest."""
    with usage.warehouse(tmp_path_factory.mktemp("watch")) as settings:
        yield settings


@pytest.mark.parametrize(("program", "seen"), [("a report", True), ("pg_dump", False)])
def test_the_longest_query_is_that_of_anyone_but_a_backup(warehouse: Settings, program: str, seen: bool) -> None:
    async def run() -> float:
        reader = await asyncpg.connect(address(warehouse, READER), server_settings={"application_name": program})
        ingest = await asyncpg.connect(address(warehouse, INGEST))
        slow = asyncio.create_task(reader.execute("SELECT pg_sleep(2)"))
        await asyncio.sleep(1)
        figures = await ingest.fetchrow(_FIGURES)
        await slow
        await reader.close()
        await ingest.close()
        assert figures
        return float(figures["longest_query"])

    assert (asyncio.run(run()) > 0.5) is seen


def test_the_room_on_the_disk_of_a_folder_is_a_metric_once_it_is_watched(tmp_path: Path) -> None:
    metrics = Metrics()
    assert metrics.registry.get_sample_value("usage_disk_free_bytes") is None
    metrics.watch_disk(tmp_path)
    free, size = (metrics.registry.get_sample_value(f"usage_disk_{which}_bytes") for which in ("free", "size"))
    assert free
    assert size
    assert 0 < free < size
