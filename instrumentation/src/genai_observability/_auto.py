"""Under ``opentelemetry-instrument``: recording starts before the other instrumentations are loaded."""

import logging
from typing import Final

from opentelemetry.instrumentation.logging import LoggingInstrumentor

from genai_observability._instrument import instrument

_EXPECTED: Final = "Attempting to instrument while already instrumented"


def start() -> None:
    """Record with the providers that the distribution has set up, or else with ours.

    The upstream wrappers of clients and logs are then loaded by ``opentelemetry-instrument`` as well. It finds those
    of clients in place already, which it need not say; its handler of logs would send each record a second time.
    """
    if not instrument().recording:
        return
    logging.getLogger("opentelemetry.instrumentation.instrumentor").addFilter(
        lambda record: record.getMessage() != _EXPECTED
    )
    LoggingInstrumentor().instrument(enable_log_auto_instrumentation=False)
