"""OpenInference's instrumentation of openai, which records spans only."""

from openinference.instrumentation import TraceConfig
from openinference.instrumentation.openai import OpenAIInstrumentor

from instrumentation.benchmarks.dropping import Dropped, Providers
from instrumentation.benchmarks.setups import Started


def start(marker: str) -> tuple[Started, Dropped]:
    """Instrument with inputs and outputs hidden."""
    dropped = Dropped(marker)
    providers = Providers(dropped)
    config = TraceConfig(hide_inputs=True, hide_outputs=True)
    OpenAIInstrumentor().instrument(tracer_provider=providers.tracer, config=config)
    return Started(flush=providers.flush), dropped
