"""Under ``opentelemetry-instrument``: recording starts before the other instrumentations are loaded."""

import logging
from typing import Final

from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.logging import LoggingInstrumentor

from genai_observability._export import application_logs
from genai_observability._export.providers import existing
from genai_observability._instrument import instrument

_EXPECTED: Final = "Attempting to instrument while already instrumented"


def start() -> None:
    """Record with the providers that the distribution has set up, or else with ours.

    The upstream wrappers of clients and logs are then loaded by ``opentelemetry-instrument`` as well. It finds those
    of clients in place already, which it need not say. Its handler of logs, which sends them unasked, is left to a
    distribution that has set up a provider for them, but where it would send each record a second time.
    """
    left_to_it = existing(get_logger_provider()) is not None and not application_logs.wanted(asked=None)
    if not instrument().recording:
        return
    logging.getLogger("opentelemetry.instrumentation.instrumentor").addFilter(
        lambda record: record.getMessage() != _EXPECTED
    )
    if not left_to_it:
        LoggingInstrumentor().instrument(enable_log_auto_instrumentation=False)
