"""Stacks for tests: settings with ports and folders of their own, and the real stores running in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from stack.native import down, up
from stack.native.ports import free_ports
from stack.settings import Settings


def settings_at(state: Path) -> Settings:
    """Settings with free ports, with everything below ``state`` but the servers that are built already."""
    names = [field.name.upper() for field in fields(Settings) if field.name.endswith("_port")]
    ports = {name: str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}
    return Settings.load({**ports, "GENAI_STACK_DIR": str(state), "GENAI_STACK_BIN": str(Settings.load().binaries)})


@contextmanager
def running(state: Path) -> Iterator[Settings]:
    """Prometheus, Loki, Jaeger and the Collector in front of them, with their data in ``state``."""
    settings = settings_at(state)
    try:
        up(settings, only={"prometheus", "loki", "jaeger", "collector"})
        yield settings
    finally:
        down(settings)
