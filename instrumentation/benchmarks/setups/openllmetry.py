"""OpenLLMetry's instrumentation of openai, without the rest of Traceloop's SDK."""

from opentelemetry.instrumentation.openai import OpenAIInstrumentor

from instrumentation.benchmarks.dropping import Dropped, Providers
from instrumentation.benchmarks.setups import Started


def start(marker: str) -> tuple[Started, Dropped]:
    """Instrument; content is switched off by TRACELOOP_TRACE_CONTENT, which the worker's environment sets."""
    dropped = Dropped(marker)
    providers = Providers(dropped)
    OpenAIInstrumentor().instrument(
        tracer_provider=providers.tracer, meter_provider=providers.meter, logger_provider=providers.logger
    )
    return Started(flush=providers.flush), dropped
