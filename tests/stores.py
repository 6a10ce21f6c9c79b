"""The real stores for a test: started on ports of their own, filled over OTLP, and ended."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path

from stack.native import down, up
from stack.settings import Settings


@contextmanager
def running(state: Path) -> Iterator[Settings]:
    """Prometheus, Loki, Jaeger and the Collector in front of them, with their data in ``state``."""
    names = [field.name for field in fields(Settings) if field.name.endswith("_port")]
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        ports = {name.upper(): str(each.getsockname()[1]) for name, each in zip(names, sockets, strict=True)}
    binaries = str(Settings.load().binaries)
    settings = Settings.load({**ports, "GENAI_STACK_DIR": str(state), "GENAI_STACK_BIN": binaries})
    try:
        up(settings, only={"prometheus", "loki", "jaeger", "collector"})
        yield settings
    finally:
        down(settings)
