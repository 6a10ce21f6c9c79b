"""Starts the sample application: ``python -m demo.app``.

DEMO_PORT (8011) is its port on 127.0.0.1. It talks to the simulated provider (``python -m demo.provider``), or, with
PROVIDER=openai and OPENAI_API_KEY, to the real one. DEMO_TIMEOUT_SECONDS (5) is how long it waits for an answer.
"""

import logging
import os
import sys

import genai_observability
import uvicorn
from genai_observability import Budget

from demo.app.clients import Clients, ConfigurationError
from demo.app.routes import create_app
from stack.settings import Settings, SettingsError


def main() -> int:
    """Serves until it is ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # else one line for every request of the client
    try:
        settings = Settings.load()
        clients = Clients.connect(settings)
    except (SettingsError, ConfigurationError) as error:
        sys.stderr.write(f"{error}\n")
        return 2

    # Only because the stack's ports can be moved: otherwise the default, localhost:4318, is right.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", settings.otlp_http_url)
    handle = genai_observability.instrument(
        service_name="demo",
        logs=True,  # what it logs itself, in the traces of its requests
        detect_threats=True,  # counts signs of attacks and leaks; no question or answer leaves the process
        budgets=[Budget(by="team", per="hour", usd=20.00, on_exceeded="warn")],
    )

    uvicorn.run(
        create_app(clients, on_shutdown=handle.shutdown),
        host=settings.demo_host,
        port=settings.demo_port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=15,
        timeout_keep_alive=75,  # longer than clients keep an idle connection, or a request could meet a closing one
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
