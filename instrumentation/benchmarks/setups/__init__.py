"""How an application starts each variant: a module each, with a function ``start``. Content is off wherever it can be.

They run in the variant's own environment and import what is installed there alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from instrumentation.benchmarks.provider import PLAIN, STREAMED


def call_plain(client: Any) -> None:
    """A plain call, as applications write it."""
    client.chat.completions.create(**PLAIN)


def call_streamed(client: Any) -> None:
    """A streamed call, read to its end."""
    for _chunk in client.chat.completions.create(**STREAMED):
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A variant that records."""

    flush: Callable[[], object]
    """Waits for the work that was left to other threads: it belongs to the calls' CPU time."""
    plain: Callable[[Any], None] = call_plain
    streamed: Callable[[Any], None] = call_streamed
