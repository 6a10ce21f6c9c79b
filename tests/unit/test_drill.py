"""What the drill reads, what it takes for right, and that nobody is woken up by it."""

import asyncio
import fcntl
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import httpx
import pytest
import yaml

from demo.drill.bounds import ALLOWANCE, Patience, Rules
from demo.drill.faults import OneRequest, UnpricedModel
from demo.drill.past import Past, remember
from demo.drill.receivers import Receivers, Told, listening
from demo.drill.run import Outcome, is_right
from demo.drill.scene import Service, Stack, channels_of_drill, standing
from demo.drill.table import DRILLS, Drill
from demo.provider.faults import Fault as ProviderFault
from stack.native import StackError
from stack.settings import Settings

ROOT = Settings.load().root

RULES = """
groups:
  - name: some
    rules:
      - {record: "job:errors:ratio5m", expr: "rate(errors[5m]) / job:calls:rate10m"}
      - {record: "job:calls:rate10m", expr: "rate(calls[10m:1m] anchored)"}
      - {alert: Slow, expr: "job:errors:ratio5m > 1", for: 1m, keep_firing_for: 1h30m, labels: {severity: critical}}
      - {alert: Slow, expr: "rate(errors[30s]) > 1", labels: {severity: warning, server: "{{ $labels.job }}"}}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    (tmp_path / "some.yaml").write_text(RULES)
    return Rules(tmp_path)


def test_an_alerts_window_is_the_longest_of_all_that_it_reads(rules: Rules) -> None:
    assert rules.patience("Slow", "critical") == Patience(window=600, for_=60, keep=5400)
    assert rules.patience("Slow", "critical").bound == 660 + ALLOWANCE


def test_a_label_that_the_rule_fills_in_fits_every_value(rules: Rules) -> None:
    assert rules.patience("Slow", "warning", server="loki").window == 30


@pytest.mark.parametrize("drill", DRILLS.values(), ids=DRILLS)
def test_every_drill_is_about_an_alert_that_there_is(drill: Drill) -> None:
    rules = Rules(ROOT / "prometheus" / "rules")
    assert rules.has(drill.alert, drill.severity)
    assert all(any(rules.has(name, severity) for severity in ("critical", "warning", "info")) for name in drill.also)
    assert drill.service.startswith("drill-") or drill.server


@pytest.fixture
def scene() -> tuple[Stack, Service]:
    settings = Settings.load()
    return Stack(settings, Receivers("")), Service(settings, "drill-some", rate=1.0)


def test_one_request_is_changed_and_no_other(scene: tuple[Stack, Service]) -> None:
    visits = scene[1].visits()
    assert not any("x-demo-fault" in str(visit.body) for visit in islice(visits, 50))
    asyncio.run(OneRequest(ProviderFault.HEAVY).begin(*scene))
    changed = [visit for visit in islice(visits, 50) if "x-demo-fault: heavy" in str(visit.body)]
    assert [visit.path for visit in changed] == ["/ask/stream"]


def test_nobody_comes_to_the_model_without_a_price_but_in_that_drill(scene: tuple[Stack, Service]) -> None:
    visits = scene[1].visits()
    assert "/sort" not in {visit.path for visit in islice(visits, 50)}
    asyncio.run(UnpricedModel().begin(*scene))
    assert "/sort" in {visit.path for visit in islice(visits, 50)}
    asyncio.run(UnpricedModel().end(*scene))
    assert "/sort" not in {visit.path for visit in islice(visits, 50)}


def test_users_do_something_else_until_it_is_mended(scene: tuple[Stack, Service]) -> None:
    visits = scene[1].visits()
    users = DRILLS["duplicates"].fault
    asyncio.run(users.begin(*scene))
    assert len({(visit.path, visit.body["user"], visit.body["question"]) for visit in islice(visits, 20)}) == 1
    asyncio.run(users.end(*scene))
    assert len({visit.body["user"] for visit in islice(visits, 20)}) == 20


def message(status: str) -> dict[str, object]:
    labels = {
        "alertname": "GenAIErrorBurst",
        "severity": "critical",
        "service": "shop",
        "deployment_environment_name": "eu",
    }
    return {"receiver": "critical", "alerts": [{"status": status, "labels": labels}], "link": "x/GenAIErrorBurst"}


def test_receivers_note_who_was_told_what_and_when() -> None:
    before = datetime.now(UTC)
    with listening() as receivers, httpx.Client(base_url=receivers.url, trust_env=False) as client:
        assert client.post("/pagerduty", json=message("firing")).status_code == 202
        assert client.post("/webhook", json=message("firing")).status_code == 200
        assert client.post("/webhook", json=message("resolved")).status_code == 200
        assert client.post("/elsewhere", json={}).status_code == 404
        assert receivers.channels("GenAIErrorBurst", "shop", before) == {"pagerduty", "webhook"}
        assert receivers.channels("GenAIErrorBurst", "other", before) == set()
        assert receivers.channels("GenAIErrorBurst", "shop", before + timedelta(hours=1)) == set()
    firing, resolved = receivers.told
    assert (firing.firing, resolved.firing, firing.receiver) == (True, False, "critical")
    assert firing.is_of("shop")
    assert firing.is_of("eu")
    assert not firing.is_of("other")


def test_a_drill_reaches_none_of_the_channels_that_the_user_has_switched_on(tmp_path: Path) -> None:
    path = tmp_path / "channels.yaml"
    given = yaml.safe_load((ROOT / "stack" / "channels.yaml").read_text())
    given["email"]["enabled"] = given["pagerduty"]["enabled"] = given["webhook"]["enabled"] = True
    given["teams"] = {"search": {"pagerduty": True}}
    path.write_text(yaml.safe_dump(given))
    channels = channels_of_drill(path, "http://127.0.0.1:1")
    assert not channels["email"]["enabled"]
    assert not channels["jira"]["enabled"]
    assert channels["pagerduty"]["address"] == "http://127.0.0.1:1/pagerduty"
    assert channels["teams"] == {}


@pytest.mark.parametrize(
    ("seen", "faults"),
    [
        ({"measured": 20.0, "resolved": 90.0}, []),
        ({}, ["not told"]),
        ({"note": "seen only by an outside heartbeat"}, []),
        ({"measured": 61.0, "resolved": 90.0}, ["too late"]),
        ({"measured": 20.0}, ["end not told"]),
        ({"measured": 20.0, "note": "end not waited for: up to 71 min"}, []),
        ({"measured": 20.0, "resolved": 9.0, "missing": {"slack"}}, ["not told to slack"]),
        ({"measured": 20.0, "resolved": 9.0, "others": {"GenAINoSuccess"}}, ["other alerts"]),
    ],
)
def test_what_is_wrong_with_a_drill_is_said_shortly(seen: dict[str, object], faults: list[str]) -> None:
    assert Outcome(drill=DRILLS["error-burst"], bound=60.0, **seen).faults == faults  # type: ignore[arg-type]


def test_a_second_drill_in_the_same_folder_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    settings = replace(Settings.load(), state=tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "drill").mkdir()
    with (tmp_path / "run" / "drill.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(StackError, match="Another drill is running"),
            standing(settings, thresholds=None, report=lambda _: None),
        ):
            pytest.fail("must not get here")
    assert (tmp_path / "drill").exists()


def drill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "demo.drill", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_list_names_every_drill_and_starts_nothing() -> None:
    done = drill("--list")
    assert done.returncode == 0
    assert all(name in done.stdout for name in DRILLS)


@pytest.mark.parametrize("arguments", [("--only", "nothing"), ("--rate", "0"), ("--patience", "-1")])
def test_an_option_that_cannot_be_used_is_refused(arguments: tuple[str, ...]) -> None:
    done = drill(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_a_prometheus_of_the_drill_knows_the_hours_before_it(tmp_path: Path) -> None:
    promtool, data = Settings.load().binaries / "promtool", tmp_path / "data"
    remember([("drill-shop", Past("job_cache:hits", 0.8, {"cache": "answers"}))], promtool=promtool, data=data)
    (data / "wal").mkdir()  # as a Prometheus that has run
    dumped = subprocess.run([promtool, "tsdb", "dump", data], capture_output=True, text=True, check=True).stdout
    samples = [line for line in dumped.splitlines() if 'job="drill-shop"' in line and 'cache="answers"' in line]
    times = [datetime.fromtimestamp(int(line.split()[-1]) / 1000, UTC) for line in samples]
    assert len(times) > 6 * 60
    assert timedelta(minutes=25) < datetime.now(UTC) - max(times) < timedelta(minutes=35)
    assert all(" 0.8 " in line for line in samples)
    with pytest.raises(StackError, match="make up"):
        remember([("drill-shop", Past("x", 1.0))], promtool=tmp_path / "promtool", data=data)


def test_what_the_traffic_itself_raises_is_right_in_every_drill_and_a_warning_of_it_is_not() -> None:
    def told(severity: str) -> Told:
        labels = {"service": "drill-error-burst"}
        name = "GenAIHourlyTokensHigh"
        return Told(datetime.now(UTC), receiver="webhook", name=name, severity=severity, firing=True, labels=labels)

    assert is_right(told("info"), DRILLS["error-burst"])
    assert not is_right(told("warning"), DRILLS["error-burst"])
