"""Which dashboards there are."""

import json
from typing import Any

from stack.dashboards import overview
from stack.dashboards.sdk import Dashboard, JSONEncoder
from stack.thresholds import Thresholds

_PAGES = {
    "overview": overview.dashboard,
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
    # The SDK writes defaults that the schema of Grafana's current version does not know.
    for variable in result["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    for panel in result["panels"]:
        if panel["type"] == "table":
            panel["options"].pop("footer", None)
    return result
