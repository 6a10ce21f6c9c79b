"""A relay in front of a server: passes every request on, and keeps it with its answer."""

from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.serving import Listening

_NOT_PASSED_ON = (
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    path: str
    request: bytes
    status: int
    answer: bytes


class Relay(Listening):
    """Listens on a port of its own while it is entered."""

    def __init__(self, target: str) -> None:
        self.exchanges: list[Exchange] = []
        self._target = target
        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), self._handler()))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                answer = httpx.post(relay._target + self.path, content=body, headers=headers, trust_env=False)
                relay.exchanges.append(Exchange(self.path, body, answer.status_code, answer.content))
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in _NOT_PASSED_ON:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler
