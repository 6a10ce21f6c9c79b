"""Which dashboards there are."""

import json
import re
from typing import Any

from stack.dashboards import agents, cost, errors, health, latency, overview, quality, rag, security, slo, tokens, users
from stack.dashboards.sdk import Dashboard, JSONEncoder
from stack.thresholds import Thresholds

_PAGES = {
    "overview": overview.dashboard,
    "cost": cost.dashboard,
    "latency": latency.dashboard,
    "tokens": tokens.dashboard,
    "errors": errors.dashboard,
    "users": users.dashboard,
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
    variables = {variable.name for variable in (dashboard.templating and dashboard.templating.list_val) or ()}
    # A link hands on the choices that the page has; Grafana would leave the name of another one as it stands.
    text = re.sub(
        r"&\${(\w+):queryparam}",
        lambda choice: choice[0] if choice[1] in variables else "",
        json.dumps(dashboard, cls=JSONEncoder),
    )
    result: dict[str, Any] = json.loads(text)
    # The SDK writes defaults that the schema of Grafana's current version does not know.
    for variable in result["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    for panel in result["panels"]:
        if panel["type"] == "table":
            panel["options"].pop("footer", None)
    return result
