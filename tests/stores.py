"""Stacks for tests: settings with ports and folders of their own, and the real stores running in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.native import down, up
from stack.native.ports import settings_at
from stack.settings import Settings

__all__ = ["running", "settings_at"]


@contextmanager
def running(state: Path) -> Iterator[Settings]:
    """Every store and the Collector in front of them, with their data in ``state``."""
    settings = settings_at(state)
    try:
        up(settings, only={"prometheus", "victorialogs", "jaeger", "postgres", "usage", "collector"})
        yield settings
    finally:
        down(settings, volumes=True)
