"""Logfire's integration of openai. It has no switch to leave content out."""

import logfire
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from instrumentation.benchmarks.dropping import Dropped, DropSpans, metric_reader
from instrumentation.benchmarks.setups import Started


def start(marker: str) -> tuple[Started, Dropped]:
    """Configure it to send nothing home and to print nothing."""
    dropped = Dropped(marker)
    logfire.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[BatchSpanProcessor(DropSpans(dropped))],
        metrics=logfire.MetricsOptions(additional_readers=[metric_reader(dropped)]),
    )
    logfire.instrument_openai()
    return Started(flush=logfire.force_flush), dropped
