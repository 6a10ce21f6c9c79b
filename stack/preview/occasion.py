"""What all pages of one run have in common: when, of which stack, and beside which other pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stack.dashboards.queries import own_length


@dataclass(frozen=True, slots=True)
class Occasion:
    """The time range that the pages show, when they were made, and from which stack.

    ``dashboards`` are all that get a page, by the name of it.
    """

    start: datetime
    end: datetime
    made: datetime
    jaeger_url: str
    grafana_url: str
    dashboards: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def start_of(self, panel: dict[str, Any]) -> datetime:
        """When the time range of a panel begins: its own, or that of the page."""
        return self.end - own_length(panel) if own_length(panel) else self.start

    def trace(self, trace_id: str) -> str:
        """Where a trace can be read. Jaeger's own page is not part of the native build; its answer as JSON is."""
        return f"{self.jaeger_url}/api/traces/{trace_id}?prettyPrint=true"

    def page(self, address: str) -> str | None:
        """The page that stands for a dashboard's address in Grafana, such as /d/genai-cost?from=now-1h."""
        uid = address.removeprefix("/d/").partition("?")[0].partition("/")[0]
        return next((f"{name}.html" for name, other in self.dashboards.items() if other["uid"] == uid), None)
