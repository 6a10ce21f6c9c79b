"""OpenTelemetry's own instrumentation without its metrics: the least that anything built on it can cost."""

from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.metrics import NoOpMeterProvider

from instrumentation.benchmarks.dropping import Dropped, Providers
from instrumentation.benchmarks.setups import Started


def start(marker: str) -> tuple[Started, Dropped]:
    """Instrument for spans alone."""
    dropped = Dropped(marker)
    providers = Providers(dropped)
    OpenAIInstrumentor().instrument(
        tracer_provider=providers.tracer, meter_provider=NoOpMeterProvider(), logger_provider=NoOpLoggerProvider()
    )
    return Started(flush=providers.flush), dropped
