"""The inbox's own figures, in Prometheus' text format."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from stack.inbox.incident import State, clocks
from stack.inbox.incident_store import BUCKETS, Histogram, IncidentStore
from stack.inbox.store import Store
from stack.incidents import Clocks, Sev

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_STEPS = {State.ACKNOWLEDGED: "acknowledge", State.MITIGATING: "mitigate", State.RESOLVED: "resolve"}
_REASONS = ("host", "origin", "token", "type", "size", "malformed", "conflict", "busy")
_MOST_INCIDENTS = 100
"""Of those open, the gravest: each is a series."""

Row = tuple[str, float]


def exposition(
    store: Store, incidents: IncidentStore, allowed: Clocks, *, notifications_refused: int, refused: Mapping[str, int]
) -> str:
    """All metrics.

    Raises:
        StoreUnavailableError: the file cannot be read.
    """
    counts = store.counts()
    last = counts.last_received_at.timestamp() if counts.last_received_at else 0
    free, size = store.disk()
    now = datetime.now(UTC)
    open_ = incidents.open()
    firing = incidents.firing_counts()
    late = {(step, sev): 0 for step in _STEPS.values() for sev in Sev}
    for incident in open_:
        for each in clocks(incident, allowed):
            late[each.name, incident.severity] += bool(firing.get(incident.id)) and not each.done and each.late(now)
    families = (
        family("inbox_notifications_received_total", "counter", "Notifications ever kept.", counts.received),
        family(
            "inbox_notifications_refused_total", "counter", "Notifications refused as malformed since the start.",
            notifications_refused,
        ),
        family("inbox_alerts_firing", "gauge", "Alerts of which firing was heard last.", counts.firing),
        family(
            "inbox_last_notification_timestamp_seconds", "gauge", "When the last notification came, 0 if never.", last
        ),
        # No server of the stack tells how much room it has left. This one stands for all on the same disk.
        family("inbox_disk_free_bytes", "gauge", "Free bytes of the disk with the inbox's data.", free),
        family("inbox_disk_size_bytes", "gauge", "All bytes of the disk with the inbox's data.", size),
        family("inbox_incidents_total", "counter", "Incidents ever opened.", incidents.ever()),
        family(
            "inbox_incidents_open", "gauge", "Incidents that are not resolved, by severity.",
            *((f'{{severity="{sev}"}}', sum(incident.severity is sev for incident in open_)) for sev in Sev),
        ),
        family(
            "inbox_incidents_late", "gauge", "Open incidents with firing alerts of which a step takes too long.",
            *((f'{{step="{step}",severity="{sev}"}}', count) for (step, sev), count in late.items()),
        ),
        family(
            "inbox_incident_alerts", "gauge", "Alerts that fire, by open incident.",
            *(
                (f'{{incident="{each.id}",severity="{each.severity}"}}', firing.get(each.id, 0))
                for each in open_[:_MOST_INCIDENTS]
            ),
        ),
        *(_histogram(_STEPS[step], histogram) for step, histogram in incidents.durations().items()),
        family(
            "inbox_requests_refused_total", "counter",
            "Forms, changes and reports that were refused since the start, by reason.",
            *((f'{{reason="{reason}"}}', refused.get(reason, 0)) for reason in _REASONS),
        ),
    )  # fmt: skip
    return "".join(families)


def family(name: str, kind: str, text: str, *values: Row | float) -> str:
    """One metric: its header and a line a value, which may come after labels in braces."""
    rows = (value if isinstance(value, tuple) else ("", value) for value in values)
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n" + _lines(name, rows)


def _histogram(step: str, found: Histogram) -> str:
    name = f"inbox_incident_time_to_{step}_seconds"
    rows: list[Row] = []
    total = 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), found.counts, strict=True):
        total += count
        rows.append((f'_bucket{{le="{bound}"}}', total))
    return family(name, "histogram", f"From the opening of incidents until they were {step}d.", *rows,
                   ("_sum", found.sum), ("_count", total))  # fmt: skip


def _lines(name: str, rows: Iterable[Row]) -> str:
    return "".join(f"{name}{labels} {value}\n" for labels, value in rows)
