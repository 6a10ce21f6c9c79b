"""The alert inbox: what it takes, keeps, shows and refuses."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.testclient import TestClient

from stack.inbox.app import MAX_BODY_BYTES, create_app
from stack.inbox.database import Database, StoreUnavailableError
from stack.inbox.notification import FORGOTTEN_AFTER
from stack.inbox.pages import Links
from stack.inbox.runbooks import Runbooks
from stack.inbox.store import KEPT_NOTIFICATIONS
from stack.incidents import IncidentRules
from stack.rules.model import worst_calls
from tests.inbox import NO_WAREHOUSE, alert, message, running
from tests.serving import free_port


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "inbox.sqlite"


@pytest.fixture
def runbooks(tmp_path: Path) -> Path:
    directory = tmp_path / "runbooks"
    directory.mkdir()
    (directory / "GenAIErrorBurst.md").write_text(
        "# GenAIErrorBurst\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<script>x</script>\n"
    )
    return directory


@pytest.fixture
def client(file: Path, runbooks: Path) -> TestClient:
    return inbox(file, runbooks)


def inbox(file: Path, runbooks: Path, *, kept: int = KEPT_NOTIFICATIONS) -> TestClient:
    away = "http://127.0.0.1:1"
    nobody = Links(prometheus=away, alertmanager=away, trace="http://traces/TRACE_ID")
    rules = IncidentRules.load()
    return TestClient(
        create_app(Database(file), Runbooks(runbooks), rules, nobody, lambda: NO_WAREHOUSE, kept=kept),
        base_url="http://localhost",
    )


def send(client: TestClient, *alerts: dict[str, Any]) -> None:
    assert client.post("/alerts", json=message(*alerts)).status_code == 204


# --- What it keeps and shows -----------------------------------------------------------------------------------------


def test_a_notification_is_given_out_as_it_came(client: TestClient) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    send(client, alert())
    (notification,) = client.get("/api/notifications").json()
    assert notification["status"] == "firing"
    assert notification["receiver"] == "inbox"
    assert before <= datetime.fromisoformat(notification["received_at"]) <= datetime.now(UTC)
    (kept,) = notification["alerts"]
    sent = alert()
    assert kept == {key: sent[key] for key in ("status", "labels", "annotations", "startsAt", "endsAt", "fingerprint")}


def test_notifications_come_newest_first(client: TestClient) -> None:
    for fingerprint in ("a", "b", "c"):
        send(client, alert(fingerprint))
    listed = client.get("/api/notifications").json()
    assert [notification["alerts"][0]["fingerprint"] for notification in listed] == ["c", "b", "a"]
    assert [notification["id"] for notification in listed] == [3, 2, 1]


def test_since_leaves_out_what_came_before(client: TestClient) -> None:
    send(client, alert("old"))
    time.sleep(0.002)
    now = datetime.now(UTC)
    send(client, alert("new"))
    for since in (now.isoformat(), now.astimezone(None).isoformat(), now.isoformat().replace("+00:00", "Z")):
        (notification,) = client.get("/api/notifications", params={"since": since}).json()
        assert notification["alerts"][0]["fingerprint"] == "new"


@pytest.mark.parametrize("since", ["yesterday", "", "2026-05-01T09:30:00", "0001-01-01T00:00:00+10:00"])
def test_a_since_that_is_no_time_is_refused_with_a_sentence(client: TestClient, since: str) -> None:
    response = client.get("/api/notifications", params={"since": since})
    assert response.status_code == 400
    assert response.json()["error"].startswith('"since" is not a time like 2026-01-31T09:00:00Z')


def test_the_page_shows_an_alert_with_its_links_and_labels(client: TestClient) -> None:
    sent = alert(app_feature="search")
    sent["annotations"] |= {"impact": "Nobody gets an answer.", "trace_url": "http://localhost:3000/explore"}
    send(client, sent)
    page = client.get("/").text
    for text in (
        "1 firing",
        "Summary of f1",
        "What it means.",
        "Impact: Nobody gets an answer.",
        "since 2026-05-01 09:30:00 UTC",
        "app_feature</span> search",
    ):
        assert text in page
    assert 'href="http://localhost:8093/runbooks/GenAIErrorBurst"' in page
    assert 'href="http://localhost:3000/d/genai-overview"' in page
    assert 'href="http://localhost:3000/explore"' in page


def test_the_link_to_a_trace_leads_to_wherever_traces_are_kept(client: TestClient) -> None:
    answer = client.get(f"/traces/{0xDA:032x}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"http://traces/{0xDA:032x}")
    assert client.get("/traces/..%2Fadmin").status_code == 404
    assert client.get("/traces/javascript:alert(1)").status_code == 404


def test_the_link_to_the_calls_of_an_alert_leads_to_their_report(client: TestClient) -> None:
    path = worst_calls(service="shop+%26+co")
    at = re.sub(r"\{\{ \(\(toTime .*? \}\}", "2026-05-01T09:00:00Z", path)
    page = client.get(re.sub(r"\{\{ .*? \}\}", "2026-05-01T09:30:00Z", at))
    assert page.status_code == 200
    assert "shop &amp; co" in page.text
    assert "2026-05-01 09:00:00 UTC" in page.text
    assert "2026-05-01 09:30:00 UTC" in page.text


def test_the_page_shows_critical_before_warning_before_resolved(client: TestClient) -> None:
    send(client, alert("over", "resolved"), alert("grave"))
    send(client, alert("mild", severity="warning"))
    page = client.get("/").text
    assert page.index("2 firing") < page.index("Summary of grave") < page.index("Summary of mild")
    assert page.index("Summary of mild") < page.index("Resolved") < page.index("Summary of over")


def test_a_resolved_message_ends_the_firing_of_the_same_alert(client: TestClient) -> None:
    send(client, alert())
    send(client, alert(status="resolved"))
    page = client.get("/").text
    assert "Nothing is firing" in page
    assert page.count("Summary of f1") == 1


def test_an_alert_that_is_no_longer_repeated_is_not_shown_as_firing(client: TestClient, file: Path) -> None:
    send(client, alert())
    long_ago = (datetime.now(UTC) - FORGOTTEN_AFTER - timedelta(minutes=1)).isoformat(timespec="milliseconds")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE notifications SET received_at = ?", (long_ago,))
    connection.close()
    assert "Nothing is firing" in client.get("/").text
    assert "\ninbox_alerts_firing 0\n" in client.get("/metrics").text


def test_an_empty_inbox_says_so(client: TestClient) -> None:
    assert "Nothing is firing" in client.get("/").text
    assert client.get("/api/notifications").json() == []


def test_only_the_newest_notifications_are_kept(file: Path, runbooks: Path) -> None:
    client = inbox(file, runbooks, kept=3)
    for number in range(5):
        send(client, alert(f"f{number}"))
    kept = [notification["alerts"][0]["fingerprint"] for notification in client.get("/api/notifications").json()]
    assert kept == ["f4", "f3", "f2"]
    assert "Summary of f1" not in client.get("/").text
    assert "\ninbox_notifications_received_total 5\n" in client.get("/metrics").text


def test_the_data_survives_a_restart(client: TestClient, file: Path, runbooks: Path) -> None:
    send(client, alert())
    restarted = inbox(file, runbooks)
    assert "Summary of f1" in restarted.get("/").text
    assert len(restarted.get("/api/notifications").json()) == 1


def test_the_metrics_are_prometheus_text(client: TestClient) -> None:
    send(client, alert())
    client.post("/alerts", content=b"{", headers={"content-type": "application/json"})
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = dict(line.split(" ") for line in response.text.splitlines() if not line.startswith("#"))
    assert values["inbox_notifications_received_total"] == "1"
    assert values["inbox_notifications_refused_total"] == "1"
    assert values["inbox_alerts_firing"] == "1"
    assert float(values["inbox_last_notification_timestamp_seconds"]) == pytest.approx(time.time(), abs=10)


# --- What it refuses -------------------------------------------------------------------------------------------------


def changed(**values: object) -> bytes:
    return json.dumps(message(alert()) | values).encode()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is not JSON in UTF-8."),
        (b"\xff\xfe\x00", "The body is not JSON in UTF-8."),
        (b"[" * 100_000, "The body is not JSON in UTF-8."),
        (changed(receiver="\udc80"), "The body is not JSON in UTF-8."),
        (b"[]", "The body is not a JSON object."),
        (changed(version="3"), 'The webhook\'s "version" is not "4".'),
        (changed(status="odd"), '"status" is neither "firing" nor "resolved".'),
        (changed(status=["firing"]), '"status" is neither "firing" nor "resolved".'),
        (changed(receiver=7), '"receiver" is not a text.'),
        (changed(alerts={}), '"alerts" is not a list.'),
        (changed(alerts=["x"]), '"alerts[0]" is not a JSON object.'),
        (changed(alerts=[alert(), alert() | {"labels": {"a": 1}}]), '"alerts[1].labels" is not an object of texts.'),
        (changed(alerts=[alert() | {"annotations": None}]), '"alerts[0].annotations" is not an object of texts.'),
        (
            changed(alerts=[alert() | {"startsAt": "now"}]),
            '"alerts[0].startsAt" is not an ISO 8601 time with its zone.',
        ),
        (
            changed(alerts=[alert() | {"endsAt": "0001-01-01T00:00:00+10:00"}]),
            '"alerts[0].endsAt" is not an ISO 8601 time with its zone.',
        ),
        (changed(alerts=[alert() | {"fingerprint": ""}]), '"alerts[0].fingerprint" is not a text.'),
    ],
)
def test_a_malformed_body_is_refused_with_a_sentence(client: TestClient, body: bytes, sentence: str) -> None:
    response = client.post("/alerts", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()) == (400, {"error": sentence})
    assert client.get("/api/notifications").json() == []
    assert client.get("/").status_code == 200


def test_a_body_above_the_limit_is_refused_whether_or_not_it_says_its_length(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    body = b" " * (MAX_BODY_BYTES + 1)
    assert client.post("/alerts", content=body, headers=headers).status_code == 413
    assert client.post("/alerts", content=iter([body[:1000], body]), headers=headers).status_code == 413


def test_a_body_at_the_limit_is_taken(client: TestClient) -> None:
    body = json.dumps(message(alert())).encode().ljust(MAX_BODY_BYTES)
    assert client.post("/alerts", content=body, headers={"content-type": "application/json"}).status_code == 204


def test_another_content_type_is_refused_so_that_no_web_page_can_post_here(client: TestClient) -> None:
    response = client.post("/alerts", content=json.dumps(message(alert())), headers={"content-type": "text/plain"})
    assert response.status_code == 415


def test_html_in_an_alert_is_shown_and_not_interpreted(client: TestClient) -> None:
    evil = "<script>alert(1)</script>"
    sent = alert(app_feature=evil, severity='"><img src=x onerror=alert(1)>')
    sent["labels"][evil] = evil
    sent["annotations"] = dict.fromkeys(("summary", "description"), evil)
    send(client, sent)
    response = client.get("/")
    assert "<script" not in response.text
    assert "<img" not in response.text
    assert response.text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 5
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("address", ["javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,x", " http://x"])
def test_an_address_that_is_none_of_the_web_becomes_no_link(client: TestClient, address: str) -> None:
    send(client, alert() | {"annotations": {"runbook_url": address, "dashboard_url": address}})
    page = client.get("/").text
    assert "Runbook</a>" not in page
    assert "Dashboard</a>" not in page


def test_an_alert_without_labels_or_annotations_is_shown(client: TestClient) -> None:
    send(client, alert() | {"annotations": {}, "labels": {}})
    assert "An alert without a name" in client.get("/").text


def test_a_locked_file_is_answered_with_503_and_taken_once_it_is_free(client: TestClient, file: Path) -> None:
    other = sqlite3.connect(file)
    other.execute("BEGIN IMMEDIATE")
    response = client.post("/alerts", json=message(alert()))
    assert response.status_code == 503
    assert response.json()["error"] == f"The inbox cannot use {file}: database is locked."
    other.rollback()
    other.close()
    send(client, alert())


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "inbox.sqlite"
    file.write_text("this is no database, and it is long enough to be mistaken for one" * 100)
    with pytest.raises(StoreUnavailableError, match=r"inbox\.sqlite: file is not a database"):
        Database(file)


# --- Runbooks --------------------------------------------------------------------------------------------------------


def test_a_runbook_is_rendered_and_its_raw_html_is_not_interpreted(client: TestClient) -> None:
    page = client.get("/runbooks/GenAIErrorBurst").text
    assert "<h1>GenAIErrorBurst</h1>" in page
    assert "<td>1</td>" in page
    assert "<script" not in page


def test_the_runbooks_are_listed(client: TestClient) -> None:
    assert 'href="/runbooks/GenAIErrorBurst"' in client.get("/runbooks").text


@pytest.mark.parametrize("name", ["Nothing", "..%2F..%2Fsecret", "%2e%2e", "GenAIErrorBurst.md", "a%00b"])
def test_a_name_that_is_no_runbook_is_not_found(client: TestClient, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.md").write_text("secret")
    response = client.get(f"/runbooks/{name}")
    assert response.status_code == 404
    assert "secret" not in response.text


# --- The process -----------------------------------------------------------------------------------------------------


def test_the_inbox_takes_little_memory_and_ends_quietly_on_ctrl_c(tmp_path: Path) -> None:
    with running(tmp_path) as (client, process):
        for _ in range(20):
            assert client.post("/alerts", json=message(alert())).status_code == 204
            assert client.get("/").status_code == 200
        assert client.get("/runbooks/GenAIErrorBurst").status_code == 200
        assert psutil.Process(process.pid).memory_info().rss < 65_000_000
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, "")


def test_a_full_disk_is_answered_with_503_and_the_inbox_lives_on(tmp_path: Path) -> None:
    # A limit on the size of files stands for the full disk: both make a write fail.
    with running(tmp_path, shell_limit="ulimit -f 800") as (client, _):
        large = alert(app_feature="x" * 20_000)
        statuses = {client.post("/alerts", json=message(large)).status_code for _ in range(30)}
        assert statuses == {204, 503}
        assert client.get("/").status_code == 200
        assert client.get("/api/notifications").json()


def failing_start(**environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "stack.inbox"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 1
    return result.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert failing_start(GENAI_STACK_DIR=str(tmp_path), INBOX_PORT=str(port)) == (
            f"The inbox cannot listen on 127.0.0.1:{port}: Address already in use. "
            "INBOX_HOST and INBOX_PORT change the address.\n"
        )


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the way")
    errors = failing_start(GENAI_STACK_DIR=str(tmp_path), INBOX_PORT=str(free_port()))
    assert errors == f"The inbox cannot create {tmp_path}/data/inbox: Not a directory.\n"


def test_a_port_that_is_no_number_is_named(tmp_path: Path) -> None:
    assert "INBOX_PORT is 'many'" in failing_start(GENAI_STACK_DIR=str(tmp_path), INBOX_PORT="many")
