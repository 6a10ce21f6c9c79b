"""Which dashboards there are."""

import json
from typing import Any

from stack.dashboards import agents, cost, errors, health, latency, overview, quality, rag, security, slo, tokens, users
from stack.dashboards.sdk import Dashboard, JSONEncoder
from stack.thresholds import Thresholds

_PAGES = {
    "overview": overview.dashboard,
    "cost": cost.dashboard,
    "tokens": tokens.dashboard,
    "users": users.dashboard,
    "latency": latency.dashboard,
    "errors": errors.dashboard,
    "quality": quality.dashboard,
    "rag": rag.dashboard,
    "security": security.dashboard,
    "agents": agents.dashboard,
    "slo": slo.dashboard,
    "health": health.dashboard,
}


def dashboards(thresholds: Thresholds | None = None) -> dict[str, dict[str, Any]]:
    """The JSON of every dashboard, by the name of its file.

    Raises:
        ThresholdsError: no thresholds are given and the file of thresholds has a fault.
    """
    limits = thresholds or Thresholds.load()
    return {f"{name}.json": _as_json(build(limits)) for name, build in _PAGES.items()}


def _as_json(dashboard: Dashboard) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    return result
