"""Serves the inbox: ``python -m stack.inbox``.

``INBOX_HOST`` is the address to listen on: loopback, unless a container needs 0.0.0.0 inside its own network.
``PROMETHEUS_URL`` and ``WAREHOUSE_HOST`` or ``USAGE_DATABASE_URL`` say where the stores are that reports ask
(``USAGE_DATABASE_URL_FILE`` a file with the latter's value, in containers);
``ALERTMANAGER_URL`` who is told that an incident is acknowledged; ``TRACE_URL`` where a browser can look at a trace,
whose id stands in it as ``TRACE_ID``.
``INCIDENTS_FILE`` is read in the place of stack/incidents.yaml.
"""

import contextlib
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import uvicorn

from stack.inbox.app import create_app
from stack.inbox.database import Database, StoreUnavailableError
from stack.inbox.pages import Links
from stack.inbox.runbooks import Runbooks
from stack.incidents import FILE, IncidentRules, IncidentRulesError
from stack.settings import Settings, SettingsError
from stack.warehouse import READER, address


def main() -> int:
    """Serve until interrupted; 1 where the inbox cannot start."""
    try:
        settings = _settings()
        rules = IncidentRules.load(Path(os.environ.get("INCIDENTS_FILE") or FILE))
        database = Database(settings.state / "data" / "inbox" / "inbox.sqlite")
        runbooks = Runbooks(settings.root / "docs" / "runbooks")
        app = create_app(database, runbooks, rules, _links(settings), lambda: address(settings, READER))
        listener = _listen(os.environ.get("INBOX_HOST", "127.0.0.1"), settings.inbox_port)
    except (SettingsError, IncidentRulesError, StoreUnavailableError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", access_log=False, log_level="warning")
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _settings() -> Settings:
    settings = Settings.load()
    file = os.environ.get("USAGE_DATABASE_URL_FILE")
    return replace(settings, usage_database_url=Path(file).read_text(encoding="utf-8")) if file else settings


def _links(settings: Settings) -> Links:
    jaeger = f"{settings.jaeger_url}/api/traces/TRACE_ID?prettyPrint=true"  # natively there is no page, but its JSON
    return Links(
        prometheus=os.environ.get("PROMETHEUS_URL") or settings.prometheus_url,
        alertmanager=os.environ.get("ALERTMANAGER_URL") or settings.alertmanager_url,
        trace=os.environ.get("TRACE_URL") or jaeger,
    )


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
