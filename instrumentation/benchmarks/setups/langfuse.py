"""Langfuse's integration of openai, which records spans only."""

import langfuse.openai  # noqa: F401 - wraps the client
from langfuse import Langfuse

from instrumentation.benchmarks.dropping import Dropped, DropSpans
from instrumentation.benchmarks.setups import Started


def start(marker: str) -> tuple[Started, Dropped]:
    """Start its client; a mask is its way to leave content out."""
    dropped = Dropped(marker)
    client = Langfuse(
        public_key="pk-benchmark",
        secret_key="sk-benchmark",
        span_exporter=DropSpans(dropped),
        mask=lambda **_data: None,
    )
    return Started(flush=client.flush), dropped
