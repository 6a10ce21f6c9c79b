"""The people at the other end: a local server that takes what Alertmanager sends to each channel, and notes when."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from stack.rules.escalation import UNACKNOWLEDGED

ANSWERS: Final = {
    "pagerduty": (202, '{"status": "success", "message": "Event processed", "dedup_key": "drill"}'),
    "slack": (200, "ok"),
    "webhook": (200, ""),
    "heartbeat": (200, ""),
}
"""What each channel answers when it has taken a message: status and body. A channel's name is its path."""


@dataclass(frozen=True, slots=True)
class Told:
    """One alert in one message of the webhook."""

    at: datetime
    receiver: str
    name: str
    severity: str
    firing: bool
    labels: dict[str, str]

    def is_of(self, service: str) -> bool:
        """Whether the alert is about a service. One about a provider of models names the environment instead."""
        return service in (
            self.labels.get("service"),
            self.labels.get("job"),
            self.labels.get("service_name"),
            self.labels.get("deployment_environment_name"),
        )


@dataclass(slots=True)
class Receivers:
    """What has been received so far, oldest first."""

    url: str
    told: list[Told] = field(default_factory=list)
    """Every alert that came by the webhook, the one channel whose messages are structured."""
    beats: list[datetime] = field(default_factory=list)
    """When the heartbeat was heard."""
    texts: list[tuple[str, datetime, str]] = field(default_factory=list)
    """Channel, time and body of every message."""

    def channels(self, name: str, service: str, since: datetime) -> set[str]:
        """The channels in which an alert of that name and service came; each message has the link to its runbook."""
        return {
            channel
            for channel, at, text in list(self.texts)
            if at >= since and f"/{name}" in text and service in text and channel != "heartbeat"
        }

    def take(self, channel: str, body: str) -> None:
        """Notes one message."""
        now = datetime.now(UTC)
        self.texts.append((channel, now, body))
        if channel == "heartbeat":
            self.beats.append(now)
        if channel == "webhook":
            self.told += _told(now, json.loads(body))


@contextmanager
def listening() -> Iterator[Receivers]:
    """Receivers on a free port, until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            channel = self.path.strip("/")
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            status, answer = ANSWERS.get(channel, (404, ""))
            if status < 400:
                receivers.take(channel, body)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as in the base class
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receivers = Receivers(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield receivers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _told(now: datetime, message: dict[str, Any]) -> Sequence[Told]:
    return [
        Told(
            at=now,
            receiver=message["receiver"],
            name=alert["labels"]["alertname"],
            severity=alert["labels"].get("severity", ""),
            firing=alert["status"] == "firing",
            labels=alert["labels"],
        )
        for alert in message["alerts"]
        if alert["labels"]["alertname"] != UNACKNOWLEDGED  # nobody acknowledges a drill
    ]
