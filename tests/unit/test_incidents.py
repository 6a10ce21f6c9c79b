"""Incidents: how alerts become one, what people do with it, its clocks, and the public status."""

import itertools
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.inbox.database import Database
from stack.inbox.forms import MAX_FORM_BYTES
from stack.inbox.incident import State
from stack.inbox.incident_store import KEPT_FIRINGS, MOST_ENTRIES, MOST_OPEN, IncidentStore
from stack.inbox.notification import FORGOTTEN_AFTER, Alert
from stack.inbox.status import Level, status
from stack.incidents import FILE, IncidentRules, IncidentRulesError
from tests.inbox import alert, message, running
from tests.serving import free_port

RULES = IncidentRules.load()
START = datetime(2026, 5, 1, 9, 0, tzinfo=UTC)
ANN = "Ann Other"


# --- Grouping, by the clock of the test ------------------------------------------------------------------------------


class Timeline:
    """Alerts that come at minutes of a day, into a real file."""

    def __init__(self, folder: Path, rules: IncidentRules = RULES) -> None:
        self.database = Database(folder / "inbox.sqlite")
        self.store = IncidentStore(self.database, rules)
        self.started: dict[str, datetime] = {}
        self._transaction: Callable[[], AbstractContextManager[sqlite3.Connection]] = self.database.writing

    def fires(self, minute: float, fingerprint: str, **labels: str) -> None:
        """An alert fires, anew or still."""
        now = START + timedelta(minutes=minute)
        self._record(now, fingerprint, "firing", self.started.setdefault(fingerprint, now), labels)

    def ends(self, minute: float, fingerprint: str, **labels: str) -> None:
        """An alert ends."""
        now = START + timedelta(minutes=minute)
        self._record(now, fingerprint, "resolved", self.started.pop(fingerprint), labels)

    def passes(self, minute: float) -> None:
        """Nothing comes, and it is noticed what has ended."""
        with self.database.writing() as connection:
            self.store.record(connection, [], START + timedelta(minutes=minute))

    def _record(self, now: datetime, fingerprint: str, state: str, started: datetime, labels: dict[str, str]) -> None:
        sent = alert(fingerprint, state, **labels) | {"startsAt": started.isoformat()}
        sent["endsAt"] = now.isoformat() if state == "resolved" else "0001-01-01T00:00:00Z"
        del sent["generatorURL"]
        with self._transaction() as connection:
            self.store.record(connection, [Alert(**sent)], now)

    @contextmanager
    def one_transaction(self) -> Iterator[None]:
        """What comes meanwhile is written at once, which is much faster."""
        with self.database.writing() as connection:
            self._transaction = lambda: nullcontext(connection)
            yield
        self._transaction = self.database.writing

    def incidents(self) -> list[dict[str, Any]]:
        """What is kept, without the settling by the real clock that a question would do."""
        with self.database.reading() as connection:
            return [json.loads(row[0]) for row in connection.execute("SELECT document FROM incidents ORDER BY id")]


@pytest.fixture
def day(tmp_path: Path) -> Timeline:
    return Timeline(tmp_path)


def test_alerts_of_one_service_are_one_incident_while_it_is_open(day: Timeline) -> None:
    day.fires(0, "a", alertname="A")
    day.fires(59, "b", alertname="B", severity="warning")
    (incident,) = day.incidents()
    assert (incident["alerts"], incident["services"]) == (["A", "B"], ["shop"])
    assert incident["started_at"] == START.isoformat(timespec="milliseconds")


def test_alerts_of_two_services_without_anything_in_common_are_two_incidents(day: Timeline) -> None:
    day.fires(0, "a", alertname="A", service="shop")
    day.fires(1, "b", alertname="B", service="search")
    assert len(day.incidents()) == 2


@pytest.mark.parametrize("common", [{"alertname": "A"}, {"gen_ai_provider_name": "openai"}])
def test_what_two_services_have_in_common_joins_them_if_it_follows_soon(tmp_path: Path, common: dict[str, str]) -> None:
    for minute, incidents in ((9, 1), (11, 2)):
        day = Timeline(tmp_path / str(minute))
        day.fires(0, "a", **{"alertname": "X", "service": "shop"} | common)
        day.fires(minute, "b", **{"alertname": "Y", "service": "search"} | common)
        assert len(day.incidents()) == incidents


def test_environments_are_never_mixed(day: Timeline) -> None:
    day.fires(0, "a", deployment_environment_name="production")
    day.fires(1, "b", deployment_environment_name="staging")
    assert [incident["environment"] for incident in day.incidents()] == ["production", "staging"]


def test_an_incident_ends_by_itself_when_all_its_alerts_have_ended_for_ten_minutes(day: Timeline) -> None:
    day.fires(0, "a", alertname="A")
    day.fires(1, "b", alertname="B")
    day.ends(5, "a")
    day.passes(30)
    assert day.incidents()[0]["state"] == "detected"
    day.ends(31, "b")
    day.passes(40)
    assert day.incidents()[0]["state"] == "detected"
    day.passes(90)
    (incident,) = day.incidents()
    assert (incident["state"], incident["resolved_by"]) == ("resolved", "")
    assert datetime.fromisoformat(incident["resolved_at"]) == START + timedelta(minutes=41)
    assert incident["acknowledged_at"] is None


def test_an_alert_that_fires_again_within_15_minutes_reopens_the_incident_and_later_opens_another(
    day: Timeline,
) -> None:
    day.fires(0, "a")
    day.ends(1, "a")
    day.passes(11)  # resolved
    day.fires(25, "a")
    (incident,) = day.incidents()
    assert (incident["state"], incident["resolved_at"]) == ("detected", None)
    assert datetime.fromisoformat(incident["opened_at"]) == START + timedelta(minutes=25)
    day.ends(26, "a")
    day.passes(36)
    day.fires(52, "a")
    assert [incident["state"] for incident in day.incidents()] == ["resolved", "detected"]


def test_a_repeated_message_changes_nothing_and_does_not_reopen_what_was_resolved_by_hand(day: Timeline) -> None:
    day.fires(0, "a")
    with day.database.writing() as connection:  # as a person does, at the time of the test's day
        incident = day.store._current(connection, 1, START)
        day.store._become(connection, incident, State.RESOLVED, START + timedelta(minutes=2), who=ANN)
    day.fires(10, "a")
    (found,) = day.incidents()
    assert (found["state"], found["resolved_by"]) == ("resolved", ANN)


def test_an_alert_that_is_never_heard_of_again_does_not_keep_its_incident_open(day: Timeline) -> None:
    day.fires(0, "a")
    day.passes(74)
    assert day.incidents()[0]["state"] == "detected"
    day.passes(FORGOTTEN_AFTER.total_seconds() / 60 + 1)
    assert day.incidents()[0]["state"] == "resolved"


def test_alerts_of_other_severities_open_nothing(day: Timeline) -> None:
    for severity in ("info", "none", ""):
        day.fires(0, severity, severity=severity)
    assert day.incidents() == []


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ([{"severity": "warning"}], "SEV4"),
        ([{"severity": "critical"}], "SEV2"),
        ([{"severity": "warning"}, {"severity": "warning", "service": "search"}], "SEV3"),
        ([{"severity": "critical"}, {"severity": "warning", "service": "search"}], "SEV1"),
        ([{"severity": "warning", "alertname": name} for name in "ABC"], "SEV4"),
        ([{"severity": "warning", "alertname": name} for name in "ABCD"], "SEV3"),
        ([{"severity": "critical", "alertname": name} for name in "ABCD"], "SEV1"),
    ],
)
def test_the_severity_follows_from_the_gravest_alert_the_services_and_the_alerts(
    day: Timeline, alerts: list[dict[str, str]], expected: str
) -> None:
    for number, labels in enumerate(alerts):
        day.fires(0, str(number), **labels)
    (incident,) = day.incidents()
    assert incident["severity"] == expected


def test_a_start_in_the_future_or_ages_ago_does_not_disturb(day: Timeline) -> None:
    day.started["a"] = datetime(1, 1, 1, tzinfo=UTC)
    day.started["b"] = datetime(9000, 1, 1, tzinfo=UTC)
    for minute in (0, 60):
        day.fires(minute, "a")
        day.fires(minute, "b")
    assert [firing.started_at for firing in day.store.firings(1)] == [START, START]


def test_an_alert_that_flaps_for_ever_and_monsters_of_labels_are_bounded(day: Timeline) -> None:
    with day.one_transaction():
        for number in range(KEPT_FIRINGS + 20):
            labels = {f"l{number}-{each}": "x" * 5_000 for each in range(80)} if number % 100 == 0 else {}
            day.fires(number, "a", service="shop", alertname=f"A{number}", **labels)
            day.ends(number + 0.5, "a", service="shop")
    assert len(day.store.firings(1)) == KEPT_FIRINGS
    (incident,) = day.incidents()
    assert len(json.dumps(incident)) < 20_000
    assert all(len(json.dumps(firing.labels)) < 100_000 for firing in day.store.firings(1))


def test_no_more_incidents_are_open_than_anyone_can_look_at(day: Timeline) -> None:
    with day.one_transaction():
        for number in range(MOST_OPEN + 50):
            day.fires(number / 100, str(number), service=f"s{number}", alertname=f"A{number}")
    assert len(day.incidents()) == MOST_OPEN
    assert len(day.store.firings(MOST_OPEN)) == 51


# --- The file of an older inbox --------------------------------------------------------------------------------------

OLD_SCHEMA = """
CREATE TABLE notifications (id INTEGER PRIMARY KEY AUTOINCREMENT, received_at TEXT NOT NULL, message TEXT NOT NULL);
CREATE INDEX notifications_received_at ON notifications (received_at);
CREATE TABLE alerts (
    fingerprint TEXT PRIMARY KEY,
    notification_id INTEGER NOT NULL REFERENCES notifications ON DELETE CASCADE,
    status TEXT NOT NULL, message TEXT NOT NULL
);
CREATE INDEX alerts_notification_id ON alerts (notification_id);
"""


def test_the_file_of_an_inbox_without_incidents_is_taken_over_and_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "data" / "inbox" / "inbox.sqlite"
    file.parent.mkdir(parents=True)
    now = datetime.now(UTC)
    with sqlite3.connect(file) as connection:
        connection.executescript(OLD_SCHEMA)
        for number, (hours, fingerprint, state) in enumerate(
            [(30, "old", "firing"), (29.5, "old", "resolved"), (0.2, "new", "firing")], start=1
        ):
            at = now - timedelta(hours=hours)
            sent = alert(fingerprint, state) | {"startsAt": (now - timedelta(hours=hours)).isoformat()}
            sent |= {"endsAt": at.isoformat()} if state == "resolved" else {}
            del sent["generatorURL"]
            body = {"status": state, "receiver": "inbox", "alerts": [sent]}
            connection.execute(
                "INSERT INTO notifications (received_at, message) VALUES (?, ?)",
                (at.isoformat(timespec="milliseconds"), json.dumps(body)),
            )
            connection.execute(
                "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?)", (fingerprint, number, state, json.dumps(sent))
            )
    connection.close()
    for _ in range(2):  # the second start finds it done
        with running(tmp_path) as (client, _process):
            assert len(client.get("/api/notifications").json()) == 3
            assert "1 firing" in client.get("/").text
            resolved, open_ = sorted(client.get("/api/incidents").json(), key=lambda incident: incident["id"])
            assert (resolved["state"], open_["state"]) == ("resolved", "detected")
            days = client.get("/status.json").json()["components"][0]["days"]
            assert [each["status"] for each in days[-2:]] != ["no data"] * 2
            assert days[0]["status"] == "no data"


# --- Over HTTP, the real process -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the running inbox."""
    return tmp_path_factory.mktemp("inbox") / "data" / "inbox" / "inbox.sqlite"


@pytest.fixture(scope="module")
def server(file: Path) -> Iterator[httpx.Client]:
    """A running inbox, the stores of which are away."""
    nobody = "http://127.0.0.1:1"
    with running(file.parents[2], PROMETHEUS_URL=nobody, LOKI_URL=nobody) as (client, _):
        yield client


_numbers = itertools.count(1)


@pytest.fixture
def number(server: httpx.Client) -> int:
    """The number of a new incident, of a service of its own."""
    each = next(_numbers)
    return opened(server, f"f{each}", alertname=f"Alert{each}", service=f"service-{each}")


def opened(client: httpx.Client, fingerprint: str, **labels: str) -> int:
    sent = alert(fingerprint, **labels) | {"startsAt": datetime.now(UTC).isoformat()}
    assert client.post("/alerts", json=message(sent)).status_code == 204
    found = client.get(f"/alerts/{fingerprint}")
    assert found.status_code == 303
    return int(found.headers["location"].rpartition("/")[2])


def token(client: httpx.Client, number: int) -> str:
    page = client.get(f"/incidents/{number}").text
    return page.partition('name="token" value="')[2].partition('"')[0]


def post(client: httpx.Client, number: int, action: str, **fields: str) -> httpx.Response:
    """As a browser sends a form of the page."""
    return client.post(
        f"/incidents/{number}/{action}",
        data={"token": token(client, number), "who": ANN, **fields},
        headers={"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"},
    )


def incident(client: httpx.Client, number: int) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/incidents/{number}").raise_for_status().json()
    return found


def test_an_incident_goes_through_its_states_by_forms_and_says_who_did_it(server: httpx.Client, number: int) -> None:
    for state, field in (
        ("acknowledged", "acknowledged_at"), ("mitigating", "mitigated_at"), ("resolved", "resolved_at")
    ):  # fmt: skip
        answer = post(server, number, "state", state=state, note=f"note of {state}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/incidents/{number}")
        found = incident(server, number)
        assert found["state"] == state
        assert found[field]
    assert found["resolved_by"] == ANN
    page = server.get(f"/incidents/{number}").text
    assert "mitigating: note of mitigating" in page
    assert f"({ANN})" in page
    assert post(server, number, "state", state="acknowledged").status_code == 303  # reopened
    again = incident(server, number)
    assert again["state"] == "acknowledged"
    assert again["resolved_at"] is None
    assert again["opened_at"] > found["resolved_at"]


def test_the_name_is_remembered_for_the_next_form(server: httpx.Client, number: int) -> None:
    answer = post(server, number, "note", text="x", who='Ann "O\'Hara" <b>')
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    page = server.get(f"/incidents/{number}", headers={"cookie": cookie.partition(";")[0]}).text
    assert 'value="Ann &#34;O&#39;Hara&#34; &lt;b&gt;"' in page


def test_the_same_is_done_over_the_api(server: httpx.Client, number: int) -> None:
    url = f"/api/incidents/{number}"
    assert server.post(f"{url}/state", json={"state": "mitigating", "who": ANN}).json()["state"] == "mitigating"
    assert incident(server, number)["acknowledged_at"] == incident(server, number)["mitigated_at"]
    assert server.post(f"{url}/severity", json={"severity": "SEV1", "who": ANN}).json()["severity_by"] == ANN
    assert server.post(f"{url}/note", json={"text": "a note", "who": ANN}).json()["log"][-1]["text"] == "a note"
    found = server.post(
        f"{url}/post-mortem",
        json={"root_cause": "cause", "contributing_factors": "", "prevention": "test", "revision": "0", "who": ANN},
    ).json()
    assert (found["root_cause"], found["revision"]) == ("cause", 1)
    assert found["post_mortem_at"]
    assert [each["id"] for each in server.get("/api/incidents?state=open").json()].count(number) == 1
    assert number not in [each["id"] for each in server.get("/api/incidents?state=resolved").json()]


def test_a_severity_set_by_hand_stays_whatever_comes(server: httpx.Client, number: int) -> None:
    service = incident(server, number)["services"][0]
    assert post(server, number, "severity", severity="SEV4").status_code == 303
    for each in "ABCDE":
        assert opened(server, f"{number}-{each}", alertname=each * 3 + str(number), service=service) == number
    assert incident(server, number)["severity"] == "SEV4"


def test_the_longest_post_mortem_is_kept_in_any_script(server: httpx.Client, number: int) -> None:
    longest = "🎉" * 10_000
    fields = dict.fromkeys(("root_cause", "contributing_factors", "prevention"), longest)
    assert post(server, number, "post-mortem", revision="0", **fields).status_code == 303
    assert incident(server, number)["prevention"] == longest


def test_two_people_do_not_do_the_same_and_do_not_overwrite_each_other(server: httpx.Client, number: int) -> None:
    assert post(server, number, "state", state="acknowledged").status_code == 303
    answer = post(server, number, "state", state="acknowledged")
    assert answer.status_code == 409
    assert f"Incident {number} is acknowledged already." in answer.text
    text = {"root_cause": "first", "contributing_factors": "", "prevention": ""}
    assert post(server, number, "post-mortem", revision="0", **text).status_code == 303
    answer = post(server, number, "post-mortem", revision="0", **text | {"root_cause": "second"})
    assert answer.status_code == 409
    assert "Somebody else has changed the post-mortem" in answer.text
    assert incident(server, number)["root_cause"] == "first"


def short_rules(folder: Path, **changes: str) -> str:
    """A file of rules with some times changed."""
    text = FILE.read_text()
    for name, value in changes.items():
        text, count = re.subn(rf"^( *{name}): .*$", rf"\1: {value}", text, flags=re.MULTILINE)
        assert count == 1, name
    file = folder / "incidents.yaml"
    file.write_text(text)
    return str(file)


def test_the_clocks_count_and_turn_red_when_a_step_is_late(tmp_path: Path) -> None:
    rules = short_rules(tmp_path, acknowledged="1s", mitigated="1s")
    with running(tmp_path, INCIDENTS_FILE=rules) as (client, _):
        number = opened(client, "f")
        assert post(client, number, "state", state="acknowledged").status_code == 303
        frame = client.get(f"/incidents/{number}/clocks").text
        assert 'http-equiv="refresh" content="5"' in frame
        assert re.search(r'<li class="done">acknowledge\s+after <b>0 s</b> of 1 s', frame)
        assert re.search(r'<li class="running">resolve\s+<b>59 min \d+ s</b> left of 1 h', frame)
        time.sleep(1.5)
        assert re.search(
            r'<li class="late">mitigate\s+<b>\d s late</b>', client.get(f"/incidents/{number}/clocks").text
        )
        assert 'class="late">mitigate' in client.get("/").text
        assert metrics(client)['inbox_incidents_late{step="mitigate",severity="SEV2"}'] == 1
        assert metrics(client)['inbox_incidents_late{step="mitigate",severity="SEV4"}'] == 0
        assert metrics(client)['inbox_incidents_late{step="acknowledge",severity="SEV2"}'] == 0
        late = {clock["step"]: (clock["done"], clock["late"]) for clock in incident(client, number)["clocks"]}
        assert late == {"acknowledge": (True, False), "mitigate": (False, True), "resolve": (False, False)}
        # Nothing fires any more: there is no reason to hurry.
        client.post("/alerts", json=message(alert("f", "resolved", service="s-f"))).raise_for_status()
        assert metrics(client)['inbox_incidents_late{step="mitigate",severity="SEV2"}'] == 0


def test_a_post_mortem_is_due_a_day_after_the_end_of_a_grave_incident_and_of_no_other(
    server: httpx.Client, number: int
) -> None:
    def steps() -> dict[str, bool]:
        return {clock["step"]: clock["done"] for clock in incident(server, number)["clocks"]}

    assert "post-mortem" not in steps()
    assert post(server, number, "state", state="resolved").status_code == 303
    assert steps()["post-mortem"] is False
    assert "23 h 59 min</b> left of 1 d" in server.get(f"/incidents/{number}/clocks").text
    text = {"contributing_factors": "", "revision": "0"}
    assert post(server, number, "post-mortem", root_cause="a", prevention="b", **text).status_code == 303
    assert steps()["post-mortem"] is True
    assert post(server, number, "severity", severity="SEV3").status_code == 303
    assert "post-mortem" not in steps()


def test_an_incident_ends_by_itself_and_reopens_in_the_real_process(tmp_path: Path) -> None:
    rules = short_rules(tmp_path, resolved_after="1s")
    with running(tmp_path, INCIDENTS_FILE=rules) as (client, _):
        number = opened(client, "f")
        ended = alert("f", "resolved") | {"startsAt": datetime.now(UTC).isoformat()}
        assert client.post("/alerts", json=message(ended | {"endsAt": datetime.now(UTC).isoformat()})).is_success
        assert incident(client, number)["state"] == "detected"
        time.sleep(1.2)
        assert "No incidents" not in client.get("/incidents").text
        found = incident(client, number)
        assert (found["state"], found["resolved_by"], found["acknowledged_at"]) == ("resolved", "", None)
        assert metrics(client)["inbox_incident_time_to_acknowledge_seconds_count"] == 0
        assert metrics(client)["inbox_incident_time_to_resolve_seconds_count"] == 1
        assert opened(client, "f") == number
        assert incident(client, number)["state"] == "detected"
        assert "reopened: it fires again" in client.get(f"/incidents/{number}").text


def test_html_in_labels_notes_and_names_is_shown_and_not_interpreted(server: httpx.Client) -> None:
    evil = "<script>alert(1)</script>"
    sent = alert("evil<>", alertname=f"A{evil}", service=evil, app_feature=evil, gen_ai_provider_name=evil)
    sent["annotations"] = dict.fromkeys(("summary", "description", "runbook_url"), f"javascript:{evil}")
    assert server.post("/alerts", json=message(sent)).status_code == 204
    number = int(server.get("/alerts/evil%3C%3E").headers["location"].rpartition("/")[2])
    assert post(server, number, "note", text=evil, who=evil).status_code == 303
    assert post(server, number, "public", text=evil).status_code == 303
    fields = {"root_cause": evil, "contributing_factors": evil, "prevention": evil, "revision": "0"}
    assert post(server, number, "post-mortem", **fields).status_code == 303
    assert post(server, number, "severity", severity="SEV1").status_code == 303
    own = [f"/incidents/{number}{path}" for path in ("", "/clocks", "/report", "/impact")]
    for path in ("/", "/incidents", "/status", f"/report?from={_hour_ago()}", *own):
        answer = server.get(path)
        assert answer.status_code == 200, path
        assert "<script" not in answer.text, path
        assert 'href="javascript' not in answer.text, path
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
    markdown = server.get(f"/incidents/{number}/report.md").text
    assert "<script" not in markdown.replace("\\<script", "")


def _hour_ago() -> str:
    return (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")


# --- What is refused -------------------------------------------------------------------------------------------------


def test_forms_go_to_the_inbox_alone(server: httpx.Client, number: int) -> None:
    policy = server.get(f"/incidents/{number}").headers["content-security-policy"]
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize(
    ("headers", "fields", "status", "sentence"),
    [
        ({"origin": "https://evil.example"}, {}, 403, "sent from a page of another site"),
        ({"origin": "null"}, {}, 403, "sent from a page of another site"),
        ({"sec-fetch-site": "cross-site"}, {}, 403, "sent from a page of another site"),
        ({"sec-fetch-site": "same-site"}, {}, 403, "sent from a page of another site"),
        ({"host": "evil.example"}, {}, 403, "is not known by this name"),
        ({"host": "localhost.evil.example"}, {}, 403, "is not known by this name"),
        ({"host": "["}, {}, 403, "is not known by this name"),
        ({"origin": "http://["}, {}, 403, "sent from a page of another site"),
        ({}, {"token": "wrong"}, 403, "not of this inbox"),
        ({}, {"token": "ä"}, 403, "not of this inbox"),
        ({}, {"who": ""}, 400, "&#34;who&#34; is missing"),
        ({}, {"who": "x" * 81}, 400, "&#34;who&#34; is longer than 80 characters"),
        ({}, {"state": "gone"}, 400, "&#34;state&#34; is none of acknowledged, mitigating, resolved"),
        ({}, {"state": "detected"}, 400, "&#34;state&#34; is none of"),
        ({"content-type": "text/plain"}, {}, 415, "takes forms and application/json only"),
        ({"content-type": "multipart/form-data; boundary=x"}, {}, 415, "takes forms and application/json only"),
    ],
)
def test_a_form_from_elsewhere_or_with_faults_is_refused_with_a_sentence(
    server: httpx.Client, number: int, headers: dict[str, str], fields: dict[str, str], status: int, sentence: str
) -> None:
    data = {"token": token(server, number), "who": ANN, "state": "acknowledged", **fields}
    answer = server.post(f"/incidents/{number}/state", data=data, headers=headers)
    assert answer.status_code == status
    assert sentence in answer.text
    assert incident(server, number)["state"] == "detected"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "inbox.evil.example:8093", "["])
def test_under_a_strangers_name_nothing_is_read_and_nothing_is_taken(
    server: httpx.Client, number: int, host: str
) -> None:
    def counted() -> float:
        (line,) = re.findall(r'inbox_requests_refused_total\{reason="host"\} (\d+)', server.get("/metrics").text)
        return float(line)

    before, kept = counted(), server.get("/api/notifications").json()
    paths = ("/", "/api/notifications", "/api/incidents", f"/incidents/{number}", "/report", "/runbooks", "/metrics")
    refused = [server.get(path, headers={"host": host}) for path in paths]
    refused.append(server.post("/alerts", json={"alerts": []}, headers={"host": host}))
    assert {answer.status_code for answer in refused} == {403}
    assert all("is not known by this name" in answer.text for answer in refused)
    assert server.get("/api/notifications").json() == kept
    assert counted() - before == len(refused)
    assert server.get("/status", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8093", "127.0.0.1", "[::1]:8093", "inbox:8093"])
def test_under_its_own_names_the_inbox_answers(server: httpx.Client, host: str) -> None:
    assert server.get("/api/notifications", headers={"host": host}).status_code == 200


def test_a_form_without_a_token_is_refused_though_no_header_speaks_against_it(
    server: httpx.Client, number: int
) -> None:
    answer = server.post(f"/incidents/{number}/state", data={"who": ANN, "state": "acknowledged"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"%ff%fe=1", "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe\x00", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % each for each in range(1000)), "application/x-www-form-urlencoded", 400),
        (b"x=" + b"1" * MAX_FORM_BYTES, "application/x-www-form-urlencoded", 413),
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"who": 7}', "application/json", 400),
        (b'{"who": "\\udc80", "state": "resolved"}', "application/json", 400),
    ],
)
def test_garbage_and_huge_bodies_are_refused_and_counted(
    server: httpx.Client, number: int, content: bytes, kind: str, status: int
) -> None:
    def refused() -> float:
        return sum(value for name, value in metrics(server).items() if name.startswith("inbox_requests_refused_total"))

    before = refused()
    for path in (f"/incidents/{number}/state", f"/api/incidents/{number}/state"):
        answer = server.post(path, content=content, headers={"content-type": kind})
        assert answer.status_code == status
    assert "error" in answer.json()
    assert refused() == before + 2
    assert incident(server, number)["state"] == "detected"


@pytest.mark.parametrize("path", ["/incidents/999999", "/incidents/99999999999999999999", "/api/incidents/0"])
def test_an_incident_that_is_not_there_is_said_to_be_missing(server: httpx.Client, path: str) -> None:
    answer = server.get(path)
    assert answer.status_code == 404
    assert "There is no incident" in answer.text


@pytest.mark.parametrize("query", ["?before=x", "?before=-1", "?before=9999999999999999999999", "?before=%00"])
def test_a_list_from_nowhere_is_refused(server: httpx.Client, query: str) -> None:
    assert server.get(f"/incidents{query}").status_code == 400


def test_the_log_of_an_incident_is_bounded_and_it_can_be_resolved_nevertheless(
    server: httpx.Client, file: Path, number: int
) -> None:
    url = f"/api/incidents/{number}"
    with sqlite3.connect(file) as connection:  # as fast as a disk allows
        connection.executemany(
            "INSERT INTO entries (incident_id, at, kind, who, text) VALUES (?, ?, 'note', ?, 'x')",
            [(number, datetime.now(UTC).isoformat(), ANN)] * (MOST_ENTRIES - 1),
        )
    connection.close()
    answer = server.post(f"{url}/note", json={"text": "x", "who": ANN})
    assert (answer.status_code, answer.json()["error"]) == (
        409, f"The log of incident {number} is full: it has {MOST_ENTRIES} entries."
    )  # fmt: skip
    assert server.post(f"{url}/state", json={"state": "resolved", "who": ANN}).status_code == 200
    assert len(incident(server, number)["log"]) == MOST_ENTRIES


# --- Metrics ---------------------------------------------------------------------------------------------------------


def metrics(client: httpx.Client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_the_metrics_count_open_incidents_their_alerts_and_how_long_the_steps_took(
    server: httpx.Client, number: int
) -> None:
    before = metrics(server)
    severity = 'inbox_incidents_open{severity="SEV2"}'
    assert 0 < before["inbox_disk_free_bytes"] < before["inbox_disk_size_bytes"]
    assert before[f'inbox_incident_alerts{{incident="{number}",severity="SEV2"}}'] == 1
    server.post(f"/api/incidents/{number}/state", json={"state": "resolved", "who": ANN}).raise_for_status()
    after = metrics(server)
    assert after[severity] == before[severity] - 1
    assert f'inbox_incident_alerts{{incident="{number}",severity="SEV2"}}' not in after
    for step in ("acknowledge", "mitigate", "resolve"):
        name = f"inbox_incident_time_to_{step}_seconds"
        for series in (f"{name}_count", f'{name}_bucket{{le="60"}}', f'{name}_bucket{{le="+Inf"}}'):
            assert after[series] == before[series] + 1
        assert 0 < after[f"{name}_sum"] - before[f"{name}_sum"] < 60


# --- The public status -----------------------------------------------------------------------------------------------

COMPONENTS = """{
    search: {name: Search, services: [shop-search]},
    chat: {name: "Chat <b>assistant</b>", features: [chat]},
    other: {name: Other, services: [other]}}"""


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An inbox whose status page has components."""
    folder = tmp_path_factory.mktemp("public")
    with running(folder, INCIDENTS_FILE=short_rules(folder, components=COMPONENTS.replace("\n", " "))) as (client, _):
        yield client


def components(client: httpx.Client) -> dict[str, str]:
    found = client.get("/status.json").raise_for_status().json()
    assert all(each["days"][-1]["status"] >= "" for each in found["components"])
    return {each["name"]: each["status"] for each in found["components"]}


def test_an_incident_degrades_the_components_it_is_about_and_says_nothing_of_the_alerts(public: httpx.Client) -> None:
    calm = {"Search": "operational", "Chat <b>assistant</b>": "operational", "Other": "operational"}
    assert components(public) == calm
    secrets = {"alertname": "GenAISecretName", "user_hash": "deadbeefdeadbeef", "severity": "critical"}
    number = opened(public, "s", service="shop-search", app_feature="hidden-feature", **secrets)
    assert components(public) == calm | {"Search": "degraded"}
    assert "We are investigating a problem with Search." in public.get("/status").text
    post(public, number, "state", state="acknowledged", note="hidden-note")
    assert "We are working on a problem with Search." in public.get("/status").text
    post(public, number, "severity", severity="SEV1")
    assert components(public) == calm | {"Search": "outage"}
    post(public, number, "public", text="Search answers slowly.")
    shown = public.get("/status").text + public.get("/status.json").text
    assert "Search answers slowly." in shown
    internals = (
        "GenAI", "deadbeef", "shop-search", "hidden", "Summary of", "What it means", "SEV", ANN, "runbook",
        "shop", "critical", "cost", "/incidents", "grafana", "localhost",
    )  # fmt: skip
    assert [word for word in internals if word.lower() in shown.lower()] == []
    post(public, number, "state", state="resolved")
    assert components(public) == calm
    found = public.get("/status.json").json()
    assert found["current_incidents"] == []
    assert found["past_incidents"][0]["text"] == "Search answers slowly."
    days = {each["name"]: each["days"] for each in found["components"]}
    assert len(days["Search"]) == 90
    assert (days["Search"][-1]["status"], days["Other"][-1]["status"]) == ("outage", "operational")


def test_a_feature_is_a_component_and_a_mild_incident_is_not_told(public: httpx.Client) -> None:
    opened(public, "c", service="x", app_feature="chat", alertname="C")
    assert components(public)["Chat <b>assistant</b>"] == "degraded"
    opened(public, "w", service="other", alertname="W", severity="warning")
    assert components(public)["Other"] == "operational"
    page = public.get("/status").text
    assert "Chat &lt;b&gt;assistant&lt;/b&gt;" in page


def test_the_public_page_has_no_forms_and_loads_nothing_but_its_style(public: httpx.Client) -> None:
    answer = public.get("/status")
    assert "form-action 'none'" in answer.headers["content-security-policy"]
    assert "<form" not in answer.text
    assert set(re.findall(r'(?:href|src)="([^"]*)"', answer.text)) == {"/status/style.css", "/status.json"}
    assert public.get("/status/style.css").headers["content-type"].startswith("text/css")
    assert public.get("/status.json").headers["access-control-allow-origin"] == "*"


def test_without_components_there_is_one_and_the_stack_itself_is_not_part_of_it(tmp_path: Path) -> None:
    with running(tmp_path) as (client, _):
        opened(client, "a", service="observability-stack", alertname="GenAIStackServerDown")
        assert components(client) == {"AI features": "operational"}
        opened(client, "b", service="shop", alertname="B")
        assert components(client) == {"AI features": "degraded"}


def test_the_history_has_the_worst_of_each_day_and_says_from_when_on_it_is_known(day: Timeline) -> None:
    day.store.since = START - timedelta(days=1)
    for hour in range(25):
        day.fires(60 * hour, "a", severity="critical")
    day.ends(60 * 24, "a")
    day.passes(60 * 24 + 11)
    found = status(day.store, RULES.status_page, START + timedelta(days=5))
    (component,) = found.components
    levels = {each.isoformat(): level for each, level in component.days}
    assert [levels[f"2026-05-0{number}"] for number in range(1, 6)] == [
        Level.DEGRADED, Level.DEGRADED, Level.OPERATIONAL, Level.OPERATIONAL, Level.OPERATIONAL,
    ]  # fmt: skip
    assert levels["2026-04-29"] is Level.UNKNOWN
    assert levels["2026-04-30"] is Level.OPERATIONAL


# --- The file of rules -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("acknowledged", "5", 'clocks.acknowledged must be a time such as "15s", "10m", "1h" or "2d", but is \'5\''),
        ("acknowledged", "0m", "clocks.acknowledged must be a time"),
        ("mitigated", "2m", "clocks must allow no less time for each next step"),
        ("post_mortem_for", "[SEV5]", "clocks.post_mortem_for must be one of SEV1, SEV2, SEV3, SEV4, but is 'SEV5'"),
        ("outage", "[SEV2]", "status_page.degraded has SEV2, which is in outage already"),
        ("components", "{a: {name: A}}", "status_page.components.a must list services, features or both"),
        ("components", "{a: {names: A}}", "status_page.components.a.names is unknown"),
        ("hosts", "[https://x]", "hosts must be a name of a host"),
        ("title", "[a]", "status_page.title must be words on one line"),
    ],
)
def test_a_fault_in_the_file_is_refused_with_its_line(tmp_path: Path, name: str, value: str, sentence: str) -> None:
    file = Path(short_rules(tmp_path, **{name: value}))
    with pytest.raises(IncidentRulesError) as error:
        IncidentRules.load(file)
    assert re.match(rf"{re.escape(str(file))}, line \d+: {re.escape(sentence)}", str(error.value))


def test_an_inbox_with_a_fault_in_the_file_does_not_start_and_says_why(tmp_path: Path) -> None:
    file = short_rules(tmp_path, resolved="soon")
    done = subprocess.run(
        [sys.executable, "-m", "stack.inbox"],
        env=os.environ | {"GENAI_STACK_DIR": str(tmp_path), "INBOX_PORT": str(free_port()), "INCIDENTS_FILE": file},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"{file}, line ")
    assert done.stderr.count("\n") == 1
