"""The names under which the inbox answers.

A page of a stranger can make its own name point to this machine (DNS rebinding) and then read and send what it likes,
as the browser takes both for one site; but its requests carry that name. An address of numbers has no owner.
"""

import ipaddress
from collections.abc import Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from stack.inbox.forms import RefusedError

_OWN: Final = ("localhost", "inbox")
"""The latter in containers: Alertmanager and Prometheus ask for it, and no name of the internet is without a dot."""
_PUBLIC: Final = ("/status", "/status.json", "/status/style.css", "/healthz")
"""For everybody, under whatever name a proxy in front has."""


class KnownHosts:
    """Middleware that lets requests pass which were sent to the inbox under one of its names."""

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str], refused: Callable[[Request, Exception], Response]
    ) -> None:
        """``hosts`` are names besides its own; ``refused`` makes the answer to all other requests."""
        self._app = app
        self._hosts = {*_OWN, *hosts}
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = self._app
        if scope["type"] == "http" and scope["path"] not in _PUBLIC:
            request = Request(scope)
            if not self._knows(request.headers.get("host", "")):
                sentence = "The inbox is not known by this name: add it to `hosts` in stack/incidents.yaml."
                answer = self._refused(request, RefusedError(403, "host", sentence))
        await answer(scope, receive, send)

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self._hosts or bool(ipaddress.ip_address(name))
        except ValueError:
            return False
