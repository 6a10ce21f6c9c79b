"""Between a client and a provider: the bytes of the requests, and a provider of arbitrary answers."""

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.serving import serving

_BOUNDARY = re.compile(rb"boundary=\"?([0-9a-f]{32})")


@dataclass
class Wire:
    """What passed a relay in front of a provider."""

    url: str
    sent: bytearray = field(default_factory=bytearray)

    def take(self) -> bytes:
        """The bytes sent since the last time; the random boundaries of forms are made the same."""
        taken, self.sent[:] = bytes(self.sent), b""
        for boundary in _BOUNDARY.findall(taken):
            taken = taken.replace(boundary, b"the-boundary")
        return taken


@contextmanager
def relay(provider: str) -> Iterator[Wire]:
    """A relay to a provider: an address of its own, behind which everything is the provider's."""
    address = urlsplit(provider)
    wire = Wire("")

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((str(address.hostname), address.port or 80)) as upstream:
                back = threading.Thread(target=_pump, args=(upstream, self.request, lambda _: None))
                back.start()
                _pump(self.request, upstream, wire.sent.extend)
                back.join()

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)) as server:
        wire.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield wire


def _pump(source: socket.socket, target: socket.socket, note: Callable[[bytes], object]) -> None:
    try:
        while data := source.recv(65536):
            note(data)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one of the two has gone
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Answer:
    """An answer of the scripted provider; where it ``breaks``, its connection does before the end of the body."""

    body: bytes
    kind: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    breaks: bool = False


@contextmanager
def scripted(answers: Mapping[str, Answer]) -> Iterator[str]:
    """A provider that gives each path its answer, however malformed; anything in ``answers`` may change meanwhile."""

    class Provider(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.do_GET()

        def do_GET(self) -> None:
            answer = answers[urlsplit(self.path).path]
            self.send_response(answer.status)
            self.send_header("content-type", answer.kind)
            self.send_header("content-length", str(len(answer.body) + answer.breaks))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.breaks

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with serving(_Server(("127.0.0.1", 0), Provider)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections at once
