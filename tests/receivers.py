"""What alerts are delivered to, on this machine: the APIs of PagerDuty, Slack and Jira, a webhook and a mail server."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests import formats
from tests.serving import free_port, serving


@dataclass
class Receiver:
    """Slack, PagerDuty, Jira and a webhook in one: keeps what is sent to each path, and answers as they do."""

    url: str
    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    """Paths that are answered with an error of the server."""
    hanging: set[str] = field(default_factory=set)
    """Paths that are not answered for as long as anyone waits."""
    accepted: list[str] = field(default_factory=list)
    """The paths of the requests that were answered as Alertmanager wishes, in the end."""
    faults: list[str] = field(default_factory=list)
    """What is wrong with a request by the published format of its API."""

    def bodies(self, path: str) -> list[Any]:
        return [body for _, where, _, body in list(self.requests) if where == path]


@contextmanager
def http_receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    def made(receiver: Receiver) -> int:
        return min(1, len(receiver.bodies("/rest/api/2/issue")))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.requests.append((self.command, self.path, dict(self.headers), body))
            receiver.faults += [f"{self.path}: {fault}" for fault in formats.faults(self.command, self.path, body)]
            while self.path in receiver.hanging:
                time.sleep(0.1)
            # Jira is asked whether it has the issue already; Slack says no more than this.
            known = [{"key": "OPS-1", "fields": {"status": {"statusCategory": {"key": "new"}}}}] * made(receiver)
            search = self.path in ("/rest/api/2/search", "/rest/api/3/search/jql")
            self.answer(json.dumps({"issues": known}).encode() if search else b"ok")

        def do_GET(self) -> None:
            self.answer(b'{"transitions": [{"id": "31", "name": "Done"}]}')

        def answer(self, answer: bytes) -> None:
            self.send_response(500 if self.path in receiver.failing else 202 if self.path == "/pagerduty" else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            if self.path not in receiver.failing:
                receiver.accepted.append(self.path)

        do_PUT = do_POST  # noqa: N815 -- its name

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield receiver


class Mailbox:
    """A mail server that wants the password, and what it was sent."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self.messages: list[tuple[list[str], EmailMessage]] = []
        self.encrypted: list[bool] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 -- its name
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.encrypted.append(session.ssl is not None)
        self.messages.append((envelope.rcpt_tos, message))
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, method: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"alerts", self._password)
        return AuthResult(success=right, handled=False)  # the server is to answer


@contextmanager
def mail_server(mailbox: Mailbox, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    port = free_port()
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=port,
        authenticator=mailbox.authenticate,
        auth_required=True,
        tls_context=tls,
        require_starttls=tls is not None,
        auth_require_tls=tls is not None,  # Alertmanager sends a password in clear text to this machine only
        auth_exclude_mechanism=["LOGIN"],  # aiosmtpd asks for it in words that Go's clients do not know
    )
    controller.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        controller.stop()


def tls_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    return context
