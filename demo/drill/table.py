"""The drills: one entry each. A new alert is drilled by a new entry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from demo.drill.faults import Fault, Killed, Provider, UnpricedModel
from demo.drill.scene import SERVERS

MINUTE: Final = 60.0
"""Total failures have to be known within this."""

STACK: Final = "observability-stack"
"""The service of the alerts about the stack itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A fault, and who has to know of it how soon."""

    name: str
    words: str
    """What happens, for the list."""
    fault: Fault
    alert: str
    severity: str
    bound: float | None = None
    """Seconds from the fault to the message; by default what the alert's own rule takes, see ``bounds``."""
    also: tuple[str, ...] = ()
    """Further alerts that are right in this fault."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """More labels that the alert must have."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More variables of the sample application."""
    heartbeat: bool = False
    """Whether only the outside heartbeat can tell, as what tells of everything else is dead."""

    @property
    def service(self) -> str:
        """What the alert is about."""
        return STACK if self.server else f"drill-{self.name}"

    @property
    def server(self) -> str | None:
        """The server that is killed."""
        return self.fault.server if isinstance(self.fault, Killed) else None


_KILLS: Final = tuple(
    Drill(
        name=f"{server}-killed",
        words=f"{server} crashes",
        fault=Killed(server),
        alert="GenAIStackServerDown",
        severity="critical",
        bound=MINUTE,
        labels={"server": server},
        heartbeat=server in ("prometheus", "alertmanager"),
    )
    for server in SERVERS
)

_DRILLS: Final = (
    Drill(
        name="error-burst",
        words="the provider answers 30 % of the calls with an error",
        fault=Provider({"server_error": 0.3}),
        alert="GenAIErrorBurst",
        severity="critical",
        bound=MINUTE,
    ),
    Drill(
        name="provider-outage",
        words="the provider answers every call with 503",
        fault=Provider({"unavailable": 1.0}),
        alert="GenAIErrorBurst",
        severity="critical",
        bound=MINUTE,
        also=("GenAINoSuccess",),
    ),
    Drill(
        name="errors-lasting",
        words="the provider answers 6 % of the calls with an error",
        fault=Provider({"server_error": 0.06}),
        alert="GenAIErrorRatioHigh",
        severity="critical",
    ),
    Drill(
        name="latency",
        words="every answer takes 10 s longer",
        fault=Provider({"crawl": 1.0}),
        alert="GenAILatencyHigh",
        severity="critical",
        environment={"DEMO_TIMEOUT_SECONDS": "30"},  # it has to be an answer, not a timeout
    ),
    Drill(
        name="rate-limit",
        words="the provider refuses half of the calls",
        fault=Provider({"rate_limit": 0.5}),
        alert="GenAIRateLimited",
        severity="critical",
    ),
    Drill(
        name="cost-spike",
        words="every call has a thousand times the tokens",
        fault=Provider({"heavy": 1.0}),
        alert="GenAIHourlyCostHigh",
        severity="critical",
    ),
    Drill(
        name="unpriced-model",
        words="a model is used that the price table does not know",
        fault=UnpricedModel(),
        alert="GenAIUnpricedModel",
        severity="warning",
    ),
    *_KILLS,
)

DRILLS: Final[Mapping[str, Drill]] = {drill.name: drill for drill in _DRILLS}
"""By name, in the order in which they are shown."""
