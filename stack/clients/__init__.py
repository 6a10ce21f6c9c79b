"""Small clients of the stores: what the stack, its tests and the demo ask of them.

Each reads, none writes. Times given must know their time zone; times returned are in UTC.
"""

from stack.clients._http import StoreError
from stack.clients._log_store import log_store
from stack.clients._results import Alert, Sample, Series
from stack.clients.jaeger import Jaeger, Span
from stack.clients.logs import Line, LogStore, Where
from stack.clients.loki import Entry, Loki
from stack.clients.prometheus import Prometheus
from stack.clients.victorialogs import VictoriaLogs
from stack.clients.warehouse import Warehouse

__all__ = [
    "Alert",
    "Entry",
    "Jaeger",
    "Line",
    "LogStore",
    "Loki",
    "Prometheus",
    "Sample",
    "Series",
    "Span",
    "StoreError",
    "VictoriaLogs",
    "Warehouse",
    "Where",
    "log_store",
]
