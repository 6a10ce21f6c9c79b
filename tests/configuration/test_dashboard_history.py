"""Over more than a day, panels read what rules have recorded: every query finds it, by the names and labels it has."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stack.benchmarks import history
from stack.clients import Prometheus, VictoriaLogs, Warehouse
from stack.dashboards import Stores, Window, ask, dashboards, queries
from stack.native import down, up
from tests.stores import settings_at

_WINDOW = Window(timedelta(days=2))
_EVERY = ((52.0, 240.0),)
"""Two days and a little, a sample every four minutes."""

_QUERIES = {
    name.removesuffix(".json"): [
        query
        for query in queries(page, _WINDOW)
        # The demonstration has what servers tell of themselves.
        if query.store == "prometheus" and (name != "health.json" or "genai_observability" in query.expr)
    ]
    for name, page in dashboards().items()
}
_OF_NO_METRIC = {("overview", "Alerts in this time range"), ("errors", "Circuit breakers")}
"""Prometheus' own alerts, and a state that is exactly 1: the demonstration has them."""

_NO_LOGS, _NO_WAREHOUSE = VictoriaLogs("http://127.0.0.1:9"), Warehouse("")
"""Nothing of them is asked."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, datetime]]:
    """One that is filled with what an application exports and rules record, and the time of its last samples."""
    settings = settings_at(tmp_path_factory.mktemp("history"))
    # A minute after a sample: some panels look no further back than two.
    step = int(_EVERY[0][1])
    end = datetime.fromtimestamp((int(time.time()) - 60) // step * step + 60, UTC)
    asked = (query.expr for page in _QUERIES.values() for query in page)
    series = [*history.application(30), *history.recorded(settings.root, asked, 30)]
    directory = settings.state / "data" / "prometheus"
    directory.mkdir(parents=True)
    coarse = (replace(each, every=_EVERY) for each in series)
    history.fill(settings.binaries / "fill", directory, coarse, end=end, on_block=lambda _: None)
    try:
        up(settings, only={"prometheus"})
        yield Prometheus(settings.prometheus_url, timeout=60), end
    finally:
        down(settings)


@pytest.mark.parametrize("page", _QUERIES)
def test_every_query_finds_what_is_recorded(page: str, prometheus: tuple[Prometheus, datetime]) -> None:
    store, end = prometheus
    stores = Stores(store, _NO_LOGS, _NO_WAREHOUSE)
    empty = [
        f"{query.panel}, {query.ref}: {query.expr}"
        for query in _QUERIES[page]
        if (page, query.panel) not in _OF_NO_METRIC and not ask(query, end=end, stores=stores)
    ]
    assert not empty, "\n".join(empty)


def test_the_program_says_what_is_wrong_with_its_input(tmp_path: Path) -> None:
    program = settings_at(tmp_path).binaries / "fill"
    faulty = history.Series("calls", {}, ())
    end = datetime(2026, 1, 5, tzinfo=UTC)
    with pytest.raises(history.FillError, match="line 1 does not say how fine the series is"):
        history.fill(program, tmp_path, [faulty], end=end, on_block=lambda _: None)
    with pytest.raises(history.FillError, match=r"cannot be run .* build it with `make up`"):
        history.fill(tmp_path / "absent", tmp_path, [faulty], end=end, on_block=lambda _: None)
