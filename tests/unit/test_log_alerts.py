"""Loki's alerts as series of Prometheus: what the inbox makes of the answers of the ruler, and of none."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stack.clients import Alert
from stack.inbox.log_alerts import LogAlerts, as_series
from tests.serving import serving

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOTHING = as_series([])


def alert(state: Any = "firing", since: datetime = NOON, **labels: str) -> Alert:
    return Alert("Dear", state, since, 1.0, {"alertname": "Dear", **labels}, {})


def lines(*alerts: Alert) -> list[str]:
    return [line for line in as_series(alerts).splitlines() if not line.startswith("#")]


def test_an_alert_is_two_series_without_a_job_and_an_instance_of_the_inbox() -> None:
    assert lines(alert(service="shop")) == [
        'ALERTS{alertname="Dear",alertstate="firing",instance="",job="",service="shop"} 1.0',
        f'ALERTS_FOR_STATE{{alertname="Dear",instance="",job="",service="shop"}} {NOON.timestamp()}',
    ]


def test_a_job_that_a_rule_gives_is_kept() -> None:
    assert 'job="shop"' in lines(alert(job="shop"))[0]


def test_users_are_no_labels_and_those_of_one_alert_are_one_since_the_first_that_fires() -> None:
    late, later = NOON.replace(hour=13), NOON.replace(hour=14)
    found = lines(
        alert("firing", later, user_hash="a"),
        alert("firing", late, user_hash="b", trace_id="t", session_id="s", app_metadata_ticket="7"),
        alert("pending", NOON, user_hash="c"),
    )
    assert found == [
        'ALERTS{alertname="Dear",alertstate="firing",instance="",job=""} 1.0',
        f'ALERTS_FOR_STATE{{alertname="Dear",instance="",job=""}} {late.timestamp()}',
    ]


def test_no_label_can_break_the_format() -> None:
    odd = {"app_feature": 'a"b\\c\nd', "not a label": "x", "__name__": "up"}
    first, _ = lines(Alert("Dear", "firing", NOON, 1.0, {"alertname": "Dear"} | odd, {}))
    assert first == r'ALERTS{alertname="Dear",alertstate="firing",app_feature="a\"b\\c\nd",instance="",job=""} 1.0'


# --- Answers ---------------------------------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    status = 200
    body = b""
    delay = 0.0

    def do_GET(self) -> None:
        time.sleep(self.delay)
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Into nobody's log."""


@pytest.fixture
def handler() -> type[_Handler]:
    class Handler(_Handler):
        """One of a test's own."""

    return Handler


@pytest.fixture
def url(handler: type[_Handler]) -> Iterator[str]:
    """Something that answers as it is told to."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


def _answer() -> bytes:
    item = {
        "labels": {"alertname": "Dear"}, "annotations": {}, "state": "firing",
        "activeAt": "2026-05-01T12:00:00.123456789Z", "value": "1e+00",
    }  # fmt: skip
    return json.dumps({"status": "success", "data": {"alerts": [item]}}).encode()


def test_the_last_answer_stands_in_for_those_that_fail_but_not_for_ever(url: str, handler: type[_Handler]) -> None:
    handler.body = _answer()
    alerts = LogAlerts(url, trusted=0.5)
    found = alerts.exposition()
    assert "ALERTS{" in found
    handler.status = 500
    assert alerts.exposition() == found
    time.sleep(0.6)
    assert alerts.exposition() == NOTHING


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"data": {}}', b'{"data": {"alerts": [{"labels": {}}]}}', b'{"data": []}'],
)
def test_garbage_is_no_alert(url: str, handler: type[_Handler], body: bytes) -> None:
    handler.body = body
    assert LogAlerts(url).exposition() == NOTHING


def test_a_loki_that_hangs_costs_less_time_than_a_scrape_has(url: str, handler: type[_Handler]) -> None:
    handler.delay = 4.0
    began = time.monotonic()
    assert LogAlerts(url).exposition() == NOTHING
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[", "loki:3100", ""])
def test_a_loki_that_is_not_there_has_no_alerts(url: str) -> None:
    assert LogAlerts(url).exposition() == NOTHING
