"""The application's own ``logging`` records, sent to the same place with the trace id they were written under."""

import logging
import os
from typing import Final

from opentelemetry._logs import LoggerProvider
from opentelemetry.instrumentation.logging.handler import LoggingHandler, _setup_logging_handler
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

_SWITCH: Final = "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION"  # the variable that the upstream log instrumentation reads
_LEVEL: Final = "OTEL_PYTHON_LOG_HANDLER_LEVEL"
_TELEMETRY: Final = ("opentelemetry", "genai_observability")


def wanted(*, asked: bool | None) -> bool:
    """Whether to send the application's records: as the code asks, else as the environment says, else yes."""
    return asked if asked is not None else os.environ.get(_SWITCH, "true").strip().lower() == "true"


def send(logger_provider: LoggerProvider) -> LoggingHandler:
    """Send records of INFO and above from now on.

    Not DEBUG, unless asked for: at that level the clients log whole requests, prompts included.
    """
    level = logging.getLevelName(os.environ.get(_LEVEL, "INFO").strip().upper())
    # Upstream's own set-up, as it keeps logging.basicConfig() working, which does nothing once a handler is there.
    handler = _setup_logging_handler(logger_provider, level=level if isinstance(level, int) else logging.INFO)
    handler.addFilter(_is_applications)
    return handler


def _is_applications(record: logging.LogRecord) -> bool:
    """Not telemetry's own records, nor those of the HTTP client that exports: they would feed themselves."""
    return is_instrumentation_enabled() and record.name.partition(".")[0] not in _TELEMETRY
