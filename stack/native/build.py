"""Builds the servers."""

from rich.console import Console

from stack.settings import Settings


def build(settings: Settings, *, console: Console) -> None:
    """Builds the servers that are missing or out of date."""
