"""The application's own lines about errors: the only thing that a panel asks the log store.

In Grafana that is Loki, which is asked in LogQL; the preview asks whichever store there is. Both are made from the same
conditions.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from genai_observability.signals import EVENT_NAME

from stack.clients.logs import ENVIRONMENT, SERVICE, SEVERITY, TRACE_ID, LogStore, Where
from stack.clients.loki import label, logql

MOST: Final = 50
CONDITIONS: Final = (
    Where(SERVICE, "=~", "$service"),
    Where(ENVIRONMENT, "=~", "$environment"),
    Where(EVENT_NAME.name, "=", ""),  # what has one is a record of a call, a score or a finding
    # ERROR, FATAL and what is between, whatever a library calls them:
    # https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
    Where("severity_number", "=~", "1[7-9]|2[0-4]"),
)
TIME: Final = "time"
MESSAGE: Final = "message"
FIELDS: Final = (SERVICE, SEVERITY, TRACE_ID)
"""What a row shows besides its time and the line."""


def expr() -> str:
    """In LogQL, with all that a row shows as labels."""
    moment = f'label_format {TIME}=`{{{{ __timestamp__ | date "2006-01-02 15:04:05" }}}}`'
    shown = ", ".join([TIME, MESSAGE, *map(label, FIELDS)])
    return f"{logql(*CONDITIONS)} | {moment} | label_format {MESSAGE}=`{{{{ __line__ }}}}` | keep {shown}"


def rows(store: LogStore, where: Sequence[Where], *, start: datetime, end: datetime) -> list[dict[str, str]]:
    """The same of any store, newest first; ``where`` is ``CONDITIONS`` with the choices of the page.

    Raises:
        StoreError: the store cannot be asked.
    """
    return [
        {TIME: f"{line.time:%Y-%m-%d %H:%M:%S}", MESSAGE: line.body}
        | {label(field): line.fields[field] for field in FIELDS if field in line.fields}
        for line in islice(store.lines(*where, start=start, end=end), MOST)
    ]
