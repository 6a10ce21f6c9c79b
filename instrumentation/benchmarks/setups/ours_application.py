"""This package on the application's providers, whose spans go to one batch processor, as in most applications."""

import genai_observability

from instrumentation.benchmarks.dropping import Dropped, Providers
from instrumentation.benchmarks.setups import Started, call_plain, call_streamed
from instrumentation.benchmarks.setups.ours import slow_down


def start(marker: str) -> tuple[Started, Dropped]:
    """Instrument with the application's providers."""
    slow_down()
    dropped = Dropped(marker)
    providers = Providers(dropped)
    handle = genai_observability.instrument(
        tracer_provider=providers.tracer, meter_provider=providers.meter, logger_provider=providers.logger
    )
    attributed = genai_observability.attributed_to(feature="search", team="growth", user="alice", session="s-1")

    def flush() -> None:
        handle.force_flush(30)
        providers.flush()

    return Started(flush=flush, plain=attributed(call_plain), streamed=attributed(call_streamed)), dropped
