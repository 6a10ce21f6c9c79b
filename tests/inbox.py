"""The inbox for tests: messages as Alertmanager sends them, and the process that takes them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.serving import free_port

NO_WAREHOUSE = "postgresql://nobody:none@127.0.0.1:1/genai"
NOW = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


def alert(fingerprint: str = "f1", status: str = "firing", **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "GenAIErrorBurst", "severity": "critical", "service": "shop", **labels},
        "annotations": {
            "summary": f"Summary of {fingerprint}",
            "description": "What it means.",
            "runbook_url": "http://localhost:8093/runbooks/GenAIErrorBurst",
            "dashboard_url": "http://localhost:3000/d/genai-overview",
        },
        "startsAt": NOW.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else (NOW + timedelta(minutes=5)).isoformat(),
        "fingerprint": fingerprint,
        "generatorURL": "http://prometheus:9090/graph",
    }


def message(*alerts: dict[str, Any]) -> dict[str, Any]:
    status = "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved"
    return {
        "version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": status, "receiver": "inbox",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
    }  # fmt: skip


@contextmanager
def running(
    state: Path, *, shell_limit: str = "true", **environment: str
) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    port = free_port()
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'{shell_limit}; exec "{sys.executable}" -m stack.inbox'],
        env={
            **os.environ,
            "GENAI_STACK_DIR": str(state),
            "INBOX_PORT": str(port),
            "ALERTMANAGER_URL": "http://127.0.0.1:1",  # nobody: never the one of a stack that runs here
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            deadline = time.monotonic() + 20
            while True:
                try:
                    assert client.get("/healthz").status_code == 200
                    break
                except httpx.ConnectError:
                    assert process.poll() is None, process.communicate()[1]
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield client, process
    finally:
        process.kill()
        process.communicate()
