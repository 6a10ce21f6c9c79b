"""Which log store there is."""

from stack.clients.logs import LogStore
from stack.clients.loki import Loki
from stack.clients.victorialogs import VictoriaLogs
from stack.settings import Settings


def log_store(settings: Settings) -> LogStore:
    """The log store of the stack that runs: VictoriaLogs, or Loki in containers and where LOGS asks for it."""
    victorialogs, loki = VictoriaLogs(settings.victorialogs_url), Loki(settings.loki_url)
    if settings.logs == "loki" or (not victorialogs.answers() and loki.answers()):
        return loki
    return victorialogs
