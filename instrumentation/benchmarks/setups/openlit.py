"""OpenLIT, with its instrumentation of openai alone."""

import json
import tempfile
from pathlib import Path

import openlit
from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider

from instrumentation.benchmarks.dropping import Dropped, Providers
from instrumentation.benchmarks.setups import Started

_PRICES = {"chat": {"gpt-4o-mini": {"promptPrice": 0.00015, "completionPrice": 0.0006}}}  # US dollars, 1,000 tokens


def start(marker: str) -> tuple[Started, Dropped]:
    """Start it on the application's providers, with prices from a file: by default it fetches them at each start."""
    dropped = Dropped(marker)
    providers = Providers(dropped)
    trace.set_tracer_provider(providers.tracer)
    metrics.set_meter_provider(providers.meter)
    set_logger_provider(providers.logger)
    with tempfile.TemporaryDirectory() as folder:
        prices = Path(folder) / "prices.json"
        prices.write_text(json.dumps(_PRICES), encoding="utf-8")
        openlit.init(
            capture_message_content=False,
            pricing_json=str(prices),
            disabled_instrumentors=[name for name in openlit.MODULE_NAME_MAP if name != "openai"],
        )
    return Started(flush=providers.flush), dropped
