"""Alerts on the servers of this stack itself."""

from stack.rules.model import Alert, Group
from stack.thresholds import Duration, Thresholds

SERVERS = ("collector", "prometheus", "loki", "alertmanager", "inbox")
"""Scraped in every installation; the label ``job`` of a scrape target is the server's name."""
TRACE_STORES = ("jaeger", "tempo")
"""One of them keeps the traces, depending on how the stack is run."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """One group: a server that is down."""
    return (Group(name="genai_stack_health", interval=Duration("5s"), rules=(_server_down(thresholds),)),)


def _server_down(thresholds: Thresholds) -> Alert:
    # A target that vanished from the scrape configuration has no `up` at all.
    absent = "\n".join(f'or absent(up{{job="{server}"}})' for server in SERVERS)
    traces = "|".join(TRACE_STORES)
    return Alert(
        name="GenAIStackServerDown",
        severity="critical",
        expr=f'up{{job=~"{"|".join((*SERVERS, *TRACE_STORES))}"}} == 0\n{absent}\n'
        f'or label_replace(absent(up{{job=~"{traces}"}}), "job", "trace store", "", "")',
        for_=thresholds.server_down.for_,
        why="for: a restart takes less. The scrape (10 s) and the message (2 s) come on top, all within a minute.",
        service="observability-stack",
        labels={"server": "{{ $labels.job }}"},
        summary="The {{ $labels.job }} of the observability stack is down",
        description="Prometheus cannot reach it. Applications are not affected; what they report is kept by the "
        "Collector while it runs and its disk lasts.",
    )
