"""Alertmanager's configuration: valid, routed as the table says, and delivering for real."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from stack.inbox.notification import FORGOTTEN_AFTER
from stack.settings import Settings
from tests.serving import free_port

SETTINGS = Settings.load()
CONFIGURATION = SETTINGS.root / "alertmanager" / "alertmanager.yml"
INBOX_URL = "http://inbox:8093"


def amtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [SETTINGS.binaries / "amtool", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_amtool_accepts_the_configuration() -> None:
    result = amtool("check-config", CONFIGURATION)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"severity": "critical", "alertname": "GenAIErrorBurst", "team": "platform"}, "inbox"),
        ({"severity": "critical", "alertname": "GenAIStackServerDown"}, "inbox"),
        ({"severity": "warning", "alertname": "GenAIUnpricedModel"}, "inbox"),
        ({"severity": "info"}, "inbox"),
        ({}, "inbox"),
        ({"severity": "info", "alertname": "GenAIWatchdog"}, "nobody"),
    ],
)
def test_an_alert_goes_to_its_receiver(labels: dict[str, str], receivers: str) -> None:
    matchers = [f"{name}={value}" for name, value in labels.items()]
    result = amtool("config", "routes", "test", f"--config.file={CONFIGURATION}", *matchers)
    assert result.stdout.strip() == receivers, result.stderr


def test_the_inbox_expects_no_repetition_later_than_it_comes() -> None:
    repeat = yaml.safe_load(CONFIGURATION.read_text())["route"]["repeat_interval"]
    assert repeat == "1h"
    assert timedelta(hours=1) < FORGOTTEN_AFTER


# --- The real Alertmanager and the real inbox ------------------------------------------------------------------------


def wait_for(what: Callable[[], Any], *, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.1)
    return found


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


class Pair:
    """An Alertmanager that delivers to an inbox, both on ports of their own."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._inbox_port = free_port()
        self._alertmanager_port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    def start_alertmanager(self) -> None:
        configuration = self._state / "alertmanager.yml"
        configuration.write_text(
            CONFIGURATION.read_text().replace(INBOX_URL, f"http://127.0.0.1:{self._inbox_port}"), encoding="utf-8"
        )
        url = f"http://127.0.0.1:{self._alertmanager_port}"
        self._start(
            SETTINGS.binaries / "alertmanager",
            f"--config.file={configuration}",
            f"--storage.path={self._state / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self._alertmanager_port}",
            "--cluster.listen-address=",  # a single one: no gossip
        )
        wait_for(lambda: is_ready(f"{url}/-/ready"), seconds=20)

    def start_inbox(self) -> None:
        self._start(
            sys.executable, "-m", "stack.inbox", GENAI_STACK_DIR=str(self._state), INBOX_PORT=str(self._inbox_port)
        )
        wait_for(lambda: is_ready(f"http://127.0.0.1:{self._inbox_port}/healthz"), seconds=20)

    def post(self, *alerts: dict[str, Any]) -> None:
        url = f"http://127.0.0.1:{self._alertmanager_port}/api/v2/alerts"
        httpx.post(url, json=list(alerts)).raise_for_status()

    def received(self, alertname: str, status: str) -> list[dict[str, Any]]:
        notifications = httpx.get(f"http://127.0.0.1:{self._inbox_port}/api/notifications").json()
        return [
            alert
            for notification in notifications
            for alert in notification["alerts"]
            if (alert["labels"]["alertname"], alert["status"]) == (alertname, status)
        ]

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(timeout=20)

    def _start(self, *command: str | Path, **environment: str) -> None:
        log = (self._state / f"{len(self._processes)}.log").open("wb")
        with log:
            self._processes.append(
                subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT)
            )


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    try:
        yield pair
    finally:
        pair.stop()


def alert(name: str = "GenAIErrorBurst", severity: str = "critical", *, ended: bool = False) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, "severity": severity, "service": "shop", "team": "platform"},
        "annotations": {"summary": "30% of the model calls of shop fail"},
        "startsAt": (now - timedelta(seconds=1)).isoformat(),
        "endsAt": (now if ended else now + timedelta(minutes=5)).isoformat(),
    }


def test_a_critical_alert_reaches_the_inbox_within_seconds_and_so_does_its_end(pair: Pair) -> None:
    pair.start_inbox()
    pair.start_alertmanager()
    pair.post(alert())
    (arrived,) = wait_for(lambda: pair.received("GenAIErrorBurst", "firing"), seconds=5)
    assert arrived["annotations"]["summary"] == "30% of the model calls of shop fail"
    pair.post(alert(ended=True))
    assert wait_for(lambda: pair.received("GenAIErrorBurst", "resolved"), seconds=15)


def test_a_critical_alert_silences_its_warning_but_not_another_one(pair: Pair) -> None:
    pair.start_inbox()
    pair.start_alertmanager()
    pair.post(
        alert("GenAIErrorRatioHigh", "critical"),
        alert("GenAIErrorRatioHigh", "warning"),
        alert("GenAIUnpricedModel", "warning"),
    )
    # Both warnings are due at the same time: when the one has come, the other would have.
    wait_for(lambda: pair.received("GenAIUnpricedModel", "firing"), seconds=25)
    time.sleep(1)
    (only,) = pair.received("GenAIErrorRatioHigh", "firing")
    assert only["labels"]["severity"] == "critical"


def test_an_alert_waits_for_an_inbox_that_is_down(pair: Pair) -> None:
    pair.start_alertmanager()
    pair.post(alert())
    time.sleep(4)  # the first attempts fail
    pair.start_inbox()
    assert wait_for(lambda: pair.received("GenAIErrorBurst", "firing"), seconds=30)
