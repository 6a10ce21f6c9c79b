"""Small servers of the tests, each in a thread of its own while it is needed."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from stack.native.ports import free_ports

_Server = TypeVar("_Server", bound=socketserver.BaseServer)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    (port,) = free_ports(1)
    return port


@contextmanager
def serving(server: _Server) -> Iterator[_Server]:
    """Have a server answer; its socket is closed at the end."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Listening:
    """What has a server of its own, which answers while it is entered."""

    def __init__(self, server: socketserver.TCPServer) -> None:
        self._server = server
        self._serving = serving(server)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._serving.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._serving.__exit__(None, None, None)
