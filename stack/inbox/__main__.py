"""Serves the inbox: ``python -m stack.inbox``.

``INBOX_HOST`` is the address to listen on: loopback, unless a container needs 0.0.0.0 inside its own network.
"""

import contextlib
import os
import socket
import sys

import uvicorn

from stack.inbox.app import create_app
from stack.inbox.runbooks import Runbooks
from stack.inbox.store import Store, StoreUnavailableError
from stack.settings import Settings, SettingsError


def main() -> int:
    """Serve until interrupted; 1 where the inbox cannot start."""
    try:
        settings = Settings.load()
        store = Store(settings.state / "data" / "inbox" / "inbox.sqlite")
        listener = _listen(os.environ.get("INBOX_HOST", "127.0.0.1"), settings.inbox_port)
    except (SettingsError, StoreUnavailableError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    app = create_app(store, Runbooks(settings.root / "docs" / "runbooks"))
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", access_log=False, log_level="warning")
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]  # without the address, which is named already
        raise OSError(
            f"The inbox cannot listen on {host}:{port}: {reason}. INBOX_HOST and INBOX_PORT change the address."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
