"""The report of an incident, from calls that a real application made; and every query of every runbook."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from genai_observability import signals

from stack.clients import Prometheus, Warehouse
from stack.incidents import FILE
from stack.settings import Settings
from stack.warehouse import READER, address
from tests.calls import Call, send
from tests.end_to_end.live import ROOT, eventually, without_otel
from tests.inbox import NO_WAREHOUSE, alert, message, running

SERVICE = 'report "shop" (a|b)'  # a name that is markup in queries
PROGRAM = """
import contextlib, openai, genai_observability
handle = genai_observability.instrument()
client = openai.OpenAI(max_retries=0)
def ask(user, fault=None, words="hello"):
    headers = {"x-demo-fault": fault} if fault else {}
    with genai_observability.attributed_to(feature="search" if fault else "chat", team="growth", user=user):
        with contextlib.suppress(openai.OpenAIError):
            client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": words}], extra_headers=headers)
for number in range(6):
    ask(f"user-{number}@example.com")
ask("user-0@example.com", words="a long question " * 400)
for number in range(3):
    ask("user-1@example.com", fault="server_error")
ask("user-2@example.com", fault="bad_request")
handle.shutdown()
"""
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


def queries(page: Path, language: str) -> list[str]:
    """The queries of a runbook, about this test's service, each on a line."""
    found = re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [" ".join(query.split()).replace("SERVICE", "reported") for query in found]


@pytest.fixture(scope="module")
def called(stack: Settings, provider: str) -> datetime:
    """When an application began to make seven good calls and four bad ones, all of which have arrived."""
    began = datetime.now(UTC)
    environment = without_otel(
        OTEL_SERVICE_NAME=SERVICE,
        OTEL_EXPORTER_OTLP_ENDPOINT=stack.otlp_http_url,
        OPENAI_BASE_URL=f"{provider}/v1",
        OPENAI_API_KEY="test",
        GENAI_OBSERVABILITY_USER_KEY="key",
    )
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
    stored = "SELECT count(*) AS calls FROM calls WHERE service = $1"
    assert eventually(lambda: rows(stack, stored, SERVICE)[0]["calls"] == 11)
    count = f"sum({signals.CALL_DURATION.prometheus}_count{{job={_quoted(SERVICE)}}})"
    assert eventually(lambda: [each.value for each in Prometheus(stack.prometheus_url).query(count)] == [11])
    return began


def rows(stack: Settings, sql: str, *arguments: object) -> list[dict[str, Any]]:
    return Warehouse(address(stack, READER)).rows(sql, *arguments)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def incident(client: httpx.Client, began: datetime, fingerprint: str = "report") -> int:
    """The number of an incident of the service, which began when the calls did."""
    sent = alert(fingerprint, service=SERVICE) | {"startsAt": began.isoformat()}
    assert client.post("/alerts", json=message(sent)).status_code == 204
    return int(client.get(f"/alerts/{fingerprint}").headers["location"].rpartition("/")[2])


@pytest.fixture(scope="module")
def inbox(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An inbox beside the stack's own, which other tests' alerts go to: they would join the incidents."""
    ports = {name: stack.variables()[name] for name in ("JAEGER_PORT", "POSTGRES_PORT")}
    with running(tmp_path_factory.mktemp("inbox"), PROMETHEUS_URL=stack.prometheus_url, **ports) as (client, _):
        client.timeout = httpx.Timeout(40)
        yield client


def test_the_report_of_an_incident_has_the_calls_features_users_and_worst_traces(
    stack: Settings, inbox: httpx.Client, called: datetime
) -> None:
    number = incident(inbox, called)
    report = inbox.get(f"/api/incidents/{number}/report").raise_for_status().json()
    assert (report["evidence"]["metrics"]["problem"], report["evidence"]["calls"]["problem"]) == ("", "")
    window, before = (report["evidence"]["metrics"]["value"][name] for name in ("window", "before"))
    assert (round(window["calls"]), round(window["failed"]), before["calls"]) == (11, 4, 0)
    assert window["tokens"] > 400
    assert 0 < window["p95"] < 60
    calls = report["evidence"]["calls"]["value"]
    assert {each["name"]: (each["calls"], each["failed"]) for each in calls["features"]} == {
        "search": (4, 4), "chat": (7, 0),
    }  # fmt: skip
    (spent,) = rows(stack, "SELECT sum(cost)::float8 AS usd FROM calls WHERE service = $1", SERVICE)
    assert (calls["window"]["calls"], calls["before"]["calls"]) == (11, 0)
    assert calls["window"]["spent"] == pytest.approx(spent["usd"])
    assert sum(each["cost"] for each in calls["features"]) == pytest.approx(spent["usd"])
    assert (calls["users"], calls["users_failed"], calls["anonymous"]) == (6, 2, 0)
    assert calls["lost"] == 0  # the provider charges nothing for a call that it refuses
    assert [(count, call["error"]) for count, call in calls["failures"]] == [
        (3, "openai.InternalServerError"), (1, "openai.BadRequestError"),
    ]  # fmt: skip
    dearest, *others = calls["dearest"]
    assert len(others) == 4
    assert dearest["cost"] > 3 * others[0]["cost"]
    assert [call["seconds"] for call in calls["slowest"]] == sorted(
        (call["seconds"] for call in calls["slowest"]), reverse=True
    )
    page = inbox.get(f"/incidents/{number}/report").text
    link = re.search(rf'href="([^"]*{dearest["trace_id"]}[^"]*)"', page)
    assert link
    trace = httpx.get(link[1], trust_env=False)
    assert dearest["trace_id"] in trace.text
    impact = inbox.get(f"/incidents/{number}/impact").text
    assert "<b>4</b> of 11 calls failed" in impact
    assert "search (4 failed)" in impact
    assert "Users with a failed call: <b>2</b> of 6" in impact


def test_no_user_is_in_a_report(stack: Settings, inbox: httpx.Client, called: datetime) -> None:
    number = incident(inbox, called)
    hashes = {row["user_hash"] for row in rows(stack, "SELECT user_hash FROM calls WHERE service = $1", SERVICE)}
    assert len(hashes) == 6
    for path in ("report", "report.md", "impact"):
        text = inbox.get(f"/incidents/{number}/{path}").text
        assert not any(each[:12] in text for each in hashes)


def test_money_of_failed_calls_is_counted_as_lost(stack: Settings, inbox: httpx.Client) -> None:
    now = datetime.now(UTC)
    failed = Call(outcome="timeout", error="APITimeoutError", cost=0.25, user="u-1", ago=5)
    late = Call(outcome="timeout", error="APITimeoutError", cost=1, user="u-2", ago=120)
    send(stack, "lossy", *([failed] * 3), Call(cost=0.5, ago=5), Call(outcome="cancelled", cost=0.1, ago=5), late)
    query = {"from": (now - timedelta(minutes=1)).isoformat(), "to": now.isoformat(), "service": "lossy"}
    report = inbox.get("/api/report", params=query).raise_for_status().json()["evidence"]["calls"]["value"]
    assert (report["lost"], report["window"]["spent"]) == (pytest.approx(0.75), pytest.approx(1.35))
    assert (report["before"]["spent"], report["before"]["calls"]) == (1, 1)
    assert (report["users"], report["users_failed"], report["anonymous"]) == (1, 1, 2)
    assert [(count, call["error"]) for count, call in report["failures"]] == [(3, "APITimeoutError")]


def test_every_call_counts_however_many_there_are_and_wherever_the_window_begins(
    stack: Settings, inbox: httpx.Client
) -> None:
    """Over midnights: exact sums of days and hours, single calls at the ends."""
    now = datetime.now(UTC)
    hours = range(1, 60)
    send(
        stack,
        "busy",
        *(Call(user=f"u-{hour % 7}", cost=hour, ago=hour * 3600 + 1) for hour in hours for _ in range(20)),
    )
    for length in (1.5, 24.25, 50):
        query = {"from": (now - timedelta(hours=length)).isoformat(), "to": now.isoformat(), "service": "busy"}
        report = inbox.get("/api/report", params=query).raise_for_status().json()["evidence"]["calls"]["value"]
        inside = [hour for hour in hours if hour < length]
        assert report["window"]["calls"] == 20 * len(inside)
        assert report["window"]["spent"] == pytest.approx(20 * sum(inside))
        assert report["users"] == len({hour % 7 for hour in inside})
        assert [call["cost"] for call in report["dearest"]] == [max(inside)] * 5


def test_the_report_of_a_window_has_the_incidents_and_the_calls_in_it(inbox: httpx.Client, called: datetime) -> None:
    number = incident(inbox, called)
    query = {"from": (called - timedelta(minutes=1)).isoformat(), "service": SERVICE}
    report = inbox.get("/api/report", params=query).raise_for_status().json()
    assert number in [each["id"] for each in report["incidents"]]
    assert round(report["evidence"]["metrics"]["value"]["window"]["calls"]) == 11
    assert any(event["kind"] == "alert" and event["incident"] == number for event in report["timeline"])
    answer = inbox.get("/report.md", params=query)
    assert answer.headers["content-type"].startswith("text/markdown")
    assert "| search | 4 | 4 | $0.00 |" in answer.text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("from=yesterday", "&#34;from&#34; is not a time like 2026-01-31T09:00:00Z"),
        ("from=2026-01-02&to=2026-01-01", "&#34;from&#34; must be before &#34;to&#34;"),
        ("from=2999-01-01", "must be before"),
        ("from=2020-01-01&to=2026-01-01", "A report covers 30 days at most."),
        ("from=0001-01-01T00:00:00%2B10:00", "is not a time like"),
    ],
)
def test_a_window_that_is_none_is_refused_with_a_sentence(inbox: httpx.Client, query: str, sentence: str) -> None:
    answer = inbox.get(f"/report?{query}")
    assert answer.status_code == 400
    assert sentence in answer.text


def test_the_next_incident_of_the_kind_says_how_the_last_one_was_resolved(called: datetime, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:1"
    rules = tmp_path / "incidents.yaml"
    rules.write_text(re.sub("reopened_within: .*", "reopened_within: 1s", FILE.read_text()))
    with running(tmp_path, PROMETHEUS_URL=nobody, USAGE_DATABASE_URL=NO_WAREHOUSE, INCIDENTS_FILE=str(rules)) as (
        client,
        _,
    ):
        first = incident(client, called, "one")
        for change, fields in (
            ("state", {"state": "resolved", "note": "rolled back | to version 7"}),
            ("post-mortem", {"root_cause": "a new prompt", "contributing_factors": "no <review>",
                             "prevention": "review prompts", "revision": "0"}),
        ):  # fmt: skip
            client.post(f"/api/incidents/{first}/{change}", json={"who": "Ann", **fields}).raise_for_status()
        unlike = alert("other", service="other", alertname="Other")
        assert client.post("/alerts", json=message(unlike)).status_code == 204
        time.sleep(1.1)
        second = incident(client, called, "two")
        assert second != first
        own = client.get(f"/incidents/{first}/report.md").text
        for part in ("a new prompt", "no &lt;review>", "review prompts", "None before this one."):
            assert part in own
        later = client.get(f"/incidents/{second}/report.md").text
        assert "resolved by Ann: rolled back \\| to version 7; cause: a new prompt" in later
        assert "Other" not in later.partition("## Similar incidents")[2]
        (similar,) = client.get(f"/api/incidents/{second}/report").json()["similar"]
        assert (similar["incident"]["id"], similar["same_service"]) == (first, True)


def test_a_store_that_is_away_or_hangs_is_said_in_a_sentence_and_the_rest_is_shown(
    stack: Settings, called: datetime, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # takes the connection and never answers
        silent = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        hangs = f"postgresql://genai:none@{silent.removeprefix('http://')}/genai"
        for name, prometheus, database, there, sentences in (
            ("1", "http://127.0.0.1:1", "", "2 of 6 users", ["Prometheus is not reachable at"]),
            ("2", stack.prometheus_url, hangs, "11 calls, 4 failed", ["The warehouse is not reachable"]),
        ):
            port = stack.variables()["POSTGRES_PORT"]
            own = {"PROMETHEUS_URL": prometheus, "USAGE_DATABASE_URL": database, "POSTGRES_PORT": port}
            with running(tmp_path / name, **own) as (client, _):
                number = incident(client, called)
                began = time.monotonic()
                answer = client.get(f"/incidents/{number}/report")
                assert time.monotonic() - began < 15
                assert answer.status_code == 200
                for part in (there, *sentences, "GenAIErrorBurst"):
                    assert part in answer.text
                markdown = client.get(f"/incidents/{number}/report.md").text
                assert there in markdown


def test_reports_that_wait_for_a_store_do_not_delay_the_messages_of_alertmanager(
    called: datetime, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        silent = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        hangs = f"postgresql://genai:none@{silent.removeprefix('http://')}/genai"
        with (
            running(tmp_path, PROMETHEUS_URL=silent, USAGE_DATABASE_URL=hangs) as (client, _),
            ThreadPoolExecutor(5) as pool,
        ):
            number = incident(client, called)
            reports = [pool.submit(client.get, f"/api/incidents/{number}/report") for _ in range(5)]
            time.sleep(0.5)
            began = time.monotonic()
            assert incident(client, called, "another") == number
            assert time.monotonic() - began < 2
            answers = [report.result() for report in reports]
            assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]
            assert {answer.json()["error"] for answer in answers if answer.status_code == 503} == {
                "2 reports are being made already: try again in some seconds."
            }


# --- Metrics ---------------------------------------------------------------------------------------------------------


def test_the_share_that_was_acknowledged_in_time_is_asked_as_the_guide_says(stack: Settings) -> None:
    (query,) = queries(ROOT / "docs" / "incidents.md", "promql")
    prometheus = Prometheus(stack.prometheus_url)
    count = "inbox_incident_time_to_acknowledge_seconds_count"
    assert eventually(lambda: prometheus.query(count))  # scraped once before something happens
    sent = alert("timed", service="timed", alertname="Timed") | {"startsAt": datetime.now(UTC).isoformat()}
    with httpx.Client(base_url=stack.inbox_url, trust_env=False) as inbox:
        assert inbox.post("/alerts", json=message(sent)).status_code == 204
        number = inbox.get("/alerts/timed").headers["location"].rpartition("/")[2]
        state = {"state": "acknowledged", "who": "Ann"}
        inbox.post(f"/api/incidents/{number}/state", json=state).raise_for_status()
    assert eventually(lambda: [each.value for each in prometheus.query(query) if each.value == pytest.approx(1)])


# --- Runbooks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_every_query_of_every_runbook_is_understood_by_its_store(stack: Settings, page: Path) -> None:
    prometheus = Prometheus(stack.prometheus_url)
    metrics, calls = queries(page, "promql"), queries(page, "sql")
    assert metrics or calls, f"{page.name} has no query"
    assert not queries(page, "logql")
    for query in metrics:
        prometheus.query(query)
    for query in calls:
        assert '"' not in query  # it stands in such quotes on the command line
        rows(stack, query)


def test_every_question_of_a_runbook_about_calls_finds_them(stack: Settings, called: datetime) -> None:
    """Of a service that has one of everything that runbooks look for."""
    send(
        stack,
        "reported",
        *(
            Call(trace=1, user="USER", outcome=outcome, error="E", cost=1, input_tokens=60_000, seconds=9)
            for outcome in ("error", "timeout", "rate_limited", "success")
        ),
    )
    silent = {
        page.stem: query
        for page in RUNBOOKS
        for query in queries(page, "sql")
        if "FROM calls" in query
        and not re.search("retries > 0|unpriced_reason|prompt_version|provider = |TRACE", query)
        and not rows(stack, query)
    }
    assert called
    assert not silent


def test_the_inbox_renders_every_runbook(inbox: httpx.Client) -> None:
    index = inbox.get("/runbooks").text
    for page in RUNBOOKS:
        assert f'href="/runbooks/{page.stem}"' in index
        assert f"<h1>{page.stem}</h1>" in inbox.get(f"/runbooks/{page.stem}").text
