"""Made-up traffic through the real rules, on Prometheus' own engine."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from stack.replay import gates, inhibition, report, traffic
from stack.replay.engine import Firing, ReplayError
from stack.replay.engine import replay as run
from stack.replay.incidents import INCIDENTS, Incident
from stack.replay.rules import names_in, needed
from stack.replay.traffic import START, STEP, Change
from stack.settings import Settings
from tests.end_to_end.live import eventually

SETTINGS = Settings.load()
RULES = sorted((SETTINGS.root / "prometheus" / "rules").glob("*.yaml"))
BUSY = [replace(calls, night=1.0) for calls in traffic.SERVICES[:2]]  # the replays begin at midnight
FAILURE = Incident(
    name="everything fails",
    service="shop",
    begins=START + timedelta(hours=2),
    lasts=timedelta(minutes=5),
    alters=lambda calls: replace(calls, failing=1.0),
    alerts=frozenset({"GenAIErrorBurst"}),
)


def _rules(file: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def firings(days: float, changes: Sequence[Change] = ()) -> list[Firing]:
    labels, steps = traffic.labels_and_steps(days, seed=1, changes=changes, services=BUSY)
    program = SETTINGS.binaries / "replay"
    return run(program, RULES, labels, steps, start=START, step=STEP)


def test_some_quiet_hours_give_neither_page_nor_warning() -> None:
    told = firings(3 / 24)
    assert report.quiet(told, 3 / 24, Console(quiet=True))
    assert [each for each in told if each.severity in ("critical", "warning")] == []


def test_a_failure_is_told_within_a_minute_and_ends() -> None:
    told = [each for each in firings(2.5 / 24, [FAILURE.change]) if each.name == "GenAIErrorBurst"]
    assert [each.labels["job"] for each in told] == ["shop"]
    assert timedelta() <= told[0].begun - FAILURE.begins <= timedelta(minutes=1)
    assert told[0].ended is not None


def test_every_alert_that_is_to_tell_of_an_incident_exists() -> None:
    exist = {rule["alert"] for file in RULES for rule in _rules(file) if "alert" in rule}
    assert {name for incident in INCIDENTS for name in incident.alerts} <= exist


def test_the_same_seed_gives_the_same_traffic() -> None:
    once, again = (list(traffic.labels_and_steps(1 / 24, seed=7)[1]) for _ in range(2))
    assert once == again
    assert once != list(traffic.labels_and_steps(1 / 24, seed=8)[1])


def test_counters_only_grow_but_for_deploys() -> None:
    labels, steps = traffic.labels_and_steps(5, seed=1, services=traffic.SERVICES[:1])
    counts = [index for index, each in enumerate(labels) if each["__name__"].endswith("_count")]
    before: Sequence[float | None] = [None] * len(labels)
    deploys = 0
    for values in steps:
        for index in counts:
            now, earlier = values[index], before[index]
            assert now is None or earlier is None or now >= earlier
        deploys += (values[counts[0]] is None) != (before[counts[0]] is None)
        before = values
    assert deploys >= 2


def test_a_missing_engine_a_broken_rule_and_bad_samples_are_said_in_one_sentence(tmp_path: Path) -> None:
    labels, steps = [{"__name__": "up", "job": "x"}], [[1.0], [1.0]]
    with pytest.raises(ReplayError, match=r"absent cannot be run \(No such file or directory\): build it"):
        run(tmp_path / "absent", RULES, labels, steps, start=START, step=STEP)
    broken = tmp_path / "rules.yaml"
    broken.write_text("groups: [{name: x, rules: [{alert: X, expr: 'up +'}]}]")
    with pytest.raises(ReplayError, match=r"^replay: .*parse error"):
        run(SETTINGS.binaries / "replay", [broken], labels, steps, start=START, step=STEP)
    with pytest.raises(ReplayError, match=r"^replay: 2 values for 1 series at 2026-01-05T00:00:00Z$"):
        run(SETTINGS.binaries / "replay", RULES, labels, [[1.0, 2.0]], start=START, step=STEP)


def told_of(*times: tuple[str, float, float | None]) -> list[float]:
    """When somebody is told, of firings of one alert: their severity, beginning and end in hours."""

    def at(hours: float) -> datetime:
        return START + timedelta(hours=hours)

    made = [
        Firing({"alertname": "A", "severity": severity, "service": "shop"}, at(begun), None if end is None else at(end))
        for severity, begun, end in times
    ]
    return [(each.begun - START) / timedelta(hours=1) for each in report.messages(made)]


def test_a_replay_tells_what_alertmanager_would_tell_and_when() -> None:
    silent = inhibition.rules(SETTINGS.root / "alertmanager" / "alertmanager.yml")
    assert len(silent) > 10

    def fires(begun: float, ended: float | None, **labels: str) -> Firing:
        end = None if ended is None else START + timedelta(hours=ended)
        return Firing({"severity": "warning", "service": "shop"} | labels, START + timedelta(hours=begun), end)

    dear = fires(1, 3, alertname="GenAIHourlyCostHigh", severity="critical")
    after, during = fires(2, 9, alertname="GenAIDailyCostHigh"), fires(2, 3, alertname="GenAIDailyCostHigh")
    elsewhere = fires(2, 3, alertname="GenAIDailyCostHigh", service="support")
    told = inhibition.told([dear, after, during, elsewhere], silent)
    assert told == [dear, elsewhere, replace(after, begun=START + timedelta(hours=3))]
    endless = replace(dear, ended=None)
    assert inhibition.told([endless, after], silent) == [endless]


def test_escalations_are_not_counted_as_alerts_of_the_shift() -> None:
    begun = START + timedelta(hours=1)
    bursts = [
        Firing({"alertname": "GenAIErrorBurst", "severity": "critical", "service": f"s{n}"}, begun, None)
        for n in range(4)
    ]
    unattended = [replace(each, labels=each.labels | {"alertname": "GenAIUnattended"}) for each in bursts]
    printed = StringIO()
    assert report.eventful([*bursts, *unattended], 1, Console(file=printed, width=200))
    assert "at most 4 alerts in a shift" in printed.getvalue()
    assert "4 escalations to the next people" in printed.getvalue()
    assert not report.eventful(
        [*bursts, replace(bursts[0], labels=bursts[0].labels | {"service": "s4"})], 1, Console(file=StringIO())
    )


def test_a_month_says_since_when_the_baselines_could_tell(tmp_path: Path) -> None:
    labels = {"alertname": "BaselineOpen", "severity": "gate", "baseline": "drift, by score", "measure": "quality"}
    opened = Firing(labels, START + timedelta(days=7), START + timedelta(days=10.5))
    printed = StringIO()
    gates.show([opened], 14, Console(file=printed, width=100))
    assert re.search(r"drift, by score +│ quality +│ 7\.0 +│ 50%", printed.getvalue())
    [group] = yaml.safe_load(gates.write(tmp_path).read_text())["groups"]
    asked = {name for rule in group["rules"] for name in names_in(rule["expr"]) if ":" in name}
    assert len(asked) >= 5
    assert asked <= {rule["record"] for file in RULES for rule in _rules(file) if "record" in rule}


def test_an_interrupted_replay_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    labels, steps = traffic.labels_and_steps(1, seed=1, services=BUSY)

    def interrupted() -> Iterator[list[float | None]]:
        yield from islice(steps, 20)
        assert eventually(lambda: list(tmp_path.glob("genai-replay-*/replay-*")))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(SETTINGS.binaries / "replay", RULES, labels, interrupted(), start=START, step=STEP)
    assert list(tmp_path.iterdir()) == []


def test_an_alert_is_told_once_until_it_ends_and_again_when_it_turns_critical() -> None:
    assert told_of(("warning", 1, 4), ("warning", 2, 6), ("warning", 5, 7)) == [1]
    assert told_of(("warning", 1, 2), ("warning", 3, None), ("warning", 4, 5)) == [1, 3]
    assert told_of(("warning", 1, 6), ("critical", 2, 3), ("critical", 4, 5), ("warning", 5, 9)) == [1, 2]
    assert told_of(("critical", 1, 3), ("warning", 2, 5), ("critical", 6, 7)) == [1, 6]


def test_only_the_rules_are_replayed_that_alerts_are_made_of(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    rules = [
        {"record": "a:b", "expr": "up"},
        {"record": "a:c", "expr": "a:b > 1"},
        {"record": "a:told", "expr": "up"},
        {"record": "a:unused", "expr": "a:c"},
        {"alert": "Down", "expr": "a:c", "annotations": {"summary": '{{ query "a:told" }}'}},
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))

    def kept(*also: str) -> list[str]:
        (copy,) = needed([path], tmp_path / "kept", also=also)
        (group,) = yaml.safe_load(copy.read_text())["groups"]
        return [rule.get("record") or rule["alert"] for rule in group["rules"]]

    assert kept() == ["a:b", "a:c", "a:told", "Down"]
    assert kept("a:unused") == ["a:b", "a:c", "a:told", "a:unused", "Down"]
