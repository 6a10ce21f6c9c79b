"""The price table refreshed in the background, where the user allows it."""

import http.server
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import openai
import pytest
from genai_observability import signals
from genai_observability._call import Price
from genai_observability._pricing import UPDATE_VARIABLE, Prices, Refresh
from genai_prices.data_snapshot import get_snapshot

from instrumentation.tests.recording import Recording
from instrumentation.tests.test_pricing import MILLION, call


class Mirror:
    """A web server that has a price table; ``body`` can be changed."""

    def __init__(self) -> None:
        self.body: object = [
            {
                "id": "openai",
                "name": "OpenAI",
                "api_pattern": "https://api.openai.com",
                "models": [
                    {
                        "id": "gpt-9",
                        "match": {"equals": "gpt-9"},
                        "prices": {"input_mtok": 3, "output_mtok": 4},
                        "price_comments": "Rates checked 2026-11-18, and again checked on 2026-02-31.",
                    }
                ],
            }
        ]
        self.requests = 0
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requests += 1
                if mirror.body is None:
                    self.send_error(503)
                    return
                content = json.dumps(mirror.body).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://user:secret@127.0.0.1:{self._server.server_port}/prices.json"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror()
    yield mirror
    mirror.close()


def settle(prices: Prices) -> None:
    """Wait until the fetch that is under way has ended."""
    assert prices._refresh._thread
    prices._refresh._thread.join(10)


def test_the_table_is_fetched_in_the_background_and_counts_from_then_on(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(UPDATE_VARIABLE, mirror.url)
    prices, used = Prices(), call("gpt-9", input=MILLION, output=0)
    prices.warm_up()
    settle(prices)
    assert prices.price(used) == Price(amount=Decimal(3))
    age = prices.age()
    assert age is not None
    assert age == pytest.approx(time.time() - datetime(2026, 11, 18, tzinfo=UTC).timestamp(), abs=60)
    assert not get_snapshot().from_auto_update  # the application's own use of the library sees nothing of it
    prices.price(used)
    assert mirror.requests == 1


def test_nothing_is_fetched_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "false", "False "):
        monkeypatch.setenv(UPDATE_VARIABLE, value)
        prices = Prices()
        prices.warm_up()
        assert prices._refresh._thread is None


def test_a_value_that_is_no_address_is_told_and_fetches_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(UPDATE_VARIABLE, "daily")
    prices = Prices()
    prices.warm_up()
    assert prices._refresh._thread is None
    assert f"{UPDATE_VARIABLE}=daily is neither true, false nor an address" in caplog.text


def test_true_means_the_public_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(UPDATE_VARIABLE, "true")
    assert Prices()._refresh._url == ""  # the library's own address


def test_a_mirror_that_is_away_is_told_once_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    refresh = Refresh(f"http://user:secret@127.0.0.1:{port}/prices.json", after_failure=0.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert refresh.newest() is None
            assert refresh._thread
            refresh._thread.join(10)
    messages = [record.getMessage() for record in caplog.records if record.name == "genai_observability"]
    assert messages == [
        "The price table could not be updated from 127.0.0.1: ConnectError. The one at hand stays in use."
    ]


@pytest.mark.parametrize(
    ("body", "problem"),
    [(None, "it answers 503"), ([], "it lists no models"), ({"no": "table"}, "ValueError"), ([1], "ValidationError")],
)
def test_an_answer_that_is_no_table_changes_nothing(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, body: object, problem: str
) -> None:
    mirror.body = body
    monkeypatch.setenv(UPDATE_VARIABLE, mirror.url)
    prices = Prices()
    prices.warm_up()
    settle(prices)
    assert prices.price(call("gpt-4o", input=MILLION, output=0)).amount == Decimal("2.50")
    assert f"could not be updated from 127.0.0.1: {problem}." in caplog.text
    assert "secret" not in caplog.text


def test_a_table_that_cannot_be_worked_with_costs_the_price_and_not_the_call(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(mirror.body, list)
    mirror.body[0]["models"][0]["match"] = {"regex": "("}
    monkeypatch.setenv(UPDATE_VARIABLE, mirror.url)
    prices = Prices()
    prices.warm_up()
    settle(prices)
    for _ in range(2):
        assert prices.price(call("gpt-4o", input=1, output=1)) == Price(unpriced="no_price")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "A call could not be priced"
    ]


def test_a_failed_fetch_is_tried_again_and_a_good_one_is_renewed_in_time(mirror: Mirror) -> None:
    refresh = Refresh(mirror.url, every=3_600.0, after_failure=0.0)
    mirror.body, table = None, mirror.body
    refresh.newest()
    assert refresh._thread
    refresh._thread.join(10)
    mirror.body = table
    refresh.newest()
    refresh._thread.join(10)
    assert refresh.newest() is not None
    assert mirror.requests == 2
    refresh._next = 0.0  # an hour later
    refresh.newest()
    refresh._thread.join(10)
    assert mirror.requests == 3


def test_the_age_of_the_table_is_a_metric_once_there_are_calls(client: openai.OpenAI, recording: Recording) -> None:
    assert recording.points(signals.PRICES_AGE.name) == []
    client.embeddings.create(model="text-embedding-3-small", input="a")
    (point,) = recording.points(signals.PRICES_AGE.name)
    newest = max(
        day
        for provider in get_snapshot().providers
        for model in provider.models
        for day in re.findall(r"(?:checked|verified) on (\d{4}-\d{2}-\d{2})", model.price_comments or "")
    )
    assert 0 <= point.value <= time.time() - datetime.fromisoformat(newest).replace(tzinfo=UTC).timestamp()
