"""OpenTelemetry's own instrumentation, as the application's providers are set up in its documentation."""

from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

from instrumentation.benchmarks.dropping import Dropped, Providers
from instrumentation.benchmarks.setups import Started


def start(marker: str) -> tuple[Started, Dropped]:
    """Instrument; content is off by default."""
    dropped = Dropped(marker)
    providers = Providers(dropped)
    OpenAIInstrumentor().instrument(
        tracer_provider=providers.tracer, meter_provider=providers.meter, logger_provider=providers.logger
    )
    return Started(flush=providers.flush), dropped
