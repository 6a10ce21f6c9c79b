"""The application's own ``logging`` records, sent to the same place with the trace id they were written under."""

import logging
import logging.config
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

from opentelemetry._logs import LoggerProvider
from opentelemetry.instrumentation.logging.handler import LoggingHandler, _overwrite_logging_config_fns
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk._logs import LoggingHandler as SDKLoggingHandler
from opentelemetry.util.types import AnyValue

from genai_observability._context.attribution import text
from genai_observability._export.exporters import is_true

_SWITCH: Final = "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION"  # the variable that the upstream log instrumentation reads
"""``true`` sends the application's ``logging`` records too. ``instrument(logs=...)`` goes before it."""
_LEVEL: Final = "OTEL_PYTHON_LOG_HANDLER_LEVEL"
"""The lowest level of the application's ``logging`` records that are sent: ``INFO`` by default."""
_CARRIED: Final = (str, bool, int, float, bytes, type(None), Mapping, Sequence)
_TELEMETRY: Final = ("opentelemetry", "genai_observability")
_CONFIGURING: Final[tuple[tuple[Any, str], ...]] = (
    (logging, "basicConfig"),
    (logging.config, "dictConfig"),
    (logging.config, "fileConfig"),
)


def wanted(*, asked: bool | None) -> bool:
    """Whether to send the application's records: as the code asks, else as the environment says, else not.

    What the environment asks for may be done already, by a handler of OpenTelemetry.
    """
    done = any(isinstance(each, LoggingHandler | SDKLoggingHandler) for each in logging.getLogger().handlers)
    return is_true(_SWITCH) and not done if asked is None else asked


def send(logger_provider: LoggerProvider, undo: ExitStack) -> None:
    """Send records of INFO and above, by a handler of the root logger, until ``undo`` is closed.

    Not DEBUG, unless asked for: at that level the clients log whole requests, prompts included.
    """
    level = logging.getLevelName(os.environ.get(_LEVEL, "INFO").strip().upper())
    handler = _ApplicationLogs(logger_provider, level if isinstance(level, int) else logging.INFO)
    logging.getLogger().addHandler(handler)
    undo.callback(logging.getLogger().removeHandler, handler)
    # Keeps logging.basicConfig() and its like working: they do nothing, or remove ours, once the root has a handler.
    originals = [(owner, name, getattr(owner, name)) for owner, name in _CONFIGURING]
    _overwrite_logging_config_fns(handler)
    for owner, name, original in originals:
        undo.callback(_put_back, owner, name, getattr(owner, name), original)
    if celery := sys.modules.get("celery.signals"):  # its workers remove every handler of the root logger
        celery.after_setup_logger.connect(handler.put_back)


def _put_back(owner: Any, name: str, ours: object, original: object) -> None:
    if getattr(owner, name) is ours:
        setattr(owner, name, original)


class _ApplicationLogs(LoggingHandler):
    """Sends the application's records, and lets everything be printed that would be printed without it."""

    def __init__(self, logger_provider: LoggerProvider, lowest: int) -> None:
        super().__init__(logger_provider=logger_provider)
        self._lowest = lowest

    def put_back(self, **_: object) -> None:
        logging.getLogger().addHandler(self)

    def handle(self, record: logging.LogRecord) -> bool:
        # Python prints warnings that no handler takes. Ours would silence them in an application without handlers.
        if logging.lastResort and record.levelno >= logging.lastResort.level and self._is_alone(record.name):
            logging.lastResort.handle(record)
        # Not telemetry's own records, nor those of the HTTP client that exports: they would feed themselves.
        telemetry = record.name.partition(".")[0] in _TELEMETRY
        wanted = record.levelno >= self._lowest and not telemetry and is_instrumentation_enabled()
        return super().handle(record) if wanted else False

    def _get_attributes(self, record: logging.LogRecord) -> tuple[dict[str, AnyValue], str | None]:
        """Give objects of any kind, which libraries put into ``extra``, as text: the SDK warns of each of them."""
        given, event = super()._get_attributes(record)
        return {name: value if isinstance(value, _CARRIED) else text(value) for name, value in given.items()}, event

    def _is_alone(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return False
            logger = logger.parent if logger.propagate else None
        return True
