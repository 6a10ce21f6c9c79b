"""What is used of Grafana's Foundation SDK; only the house style knows it.

The SDK advises at import to use its second dashboard format. File provisioning reads the first one, which every Grafana
version understands, so the advice is silenced here.
"""

import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        bargauge,
        common,
        dashboard,
        heatmap,
        loki,
        piechart,
        prometheus,
        stat,
        table,
    )
    from grafana_foundation_sdk.builders import timeseries as timeseries_panel
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.variants import Dataquery
    from grafana_foundation_sdk.models import common as values
    from grafana_foundation_sdk.models import dashboard as model
    from grafana_foundation_sdk.models import heatmap as heatmap_values
    from grafana_foundation_sdk.models import loki as loki_values
    from grafana_foundation_sdk.models import piechart as pie_values
    from grafana_foundation_sdk.models import prometheus as prometheus_values
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel


class DescribedQuery(Builder[Dataquery]):
    """A query of Loki with a description beside it, from which others than Grafana make their own."""

    def __init__(self, query: loki.Dataquery, description: dict[str, Any]) -> None:
        self._query = query.build()
        self._description = description

    def build(self) -> Dataquery:
        """As the SDK calls it."""
        return _Described(self._query, self._description)


class _Described(loki_values.Dataquery):
    def __init__(self, query: loki_values.Dataquery, description: dict[str, Any]) -> None:
        super().__init__(**vars(query))
        self._description = description

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "records": self._description}


__all__ = [
    "Builder",
    "Dashboard",
    "Dataquery",
    "DescribedQuery",
    "JSONEncoder",
    "Panel",
    "bargauge",
    "common",
    "dashboard",
    "heatmap",
    "heatmap_values",
    "loki",
    "model",
    "pie_values",
    "piechart",
    "prometheus",
    "prometheus_values",
    "stat",
    "table",
    "timeseries_panel",
    "values",
]
