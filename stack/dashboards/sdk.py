"""What is used of Grafana's Foundation SDK; only the house style knows it.

The SDK advises at import to use its second dashboard format. File provisioning reads the first one, which every Grafana
version understands, so the advice is silenced here.
"""

import warnings

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
    from grafana_foundation_sdk.models import piechart as pie_values
    from grafana_foundation_sdk.models import prometheus as prometheus_values
    from grafana_foundation_sdk.models.dashboard import Dashboard, Panel


class SqlTarget(Dataquery):
    """A query in SQL, of which the SDK knows nothing.

    https://github.com/grafana/grafana/blob/main/packages/grafana-sql/src/types.ts
    """

    def __init__(self, raw_sql: str, ref_id: str) -> None:
        self.raw_sql = raw_sql
        self._ref_id = ref_id

    def to_json(self) -> dict[str, object]:
        """As the SDK writes a panel."""
        return {
            "refId": self._ref_id,
            "datasource": {"type": "grafana-postgresql-datasource", "uid": "warehouse"},
            "editorMode": "code",
            "format": "table",
            "rawQuery": True,
            "rawSql": self.raw_sql,
        }


class SqlQuery(Builder[Dataquery]):
    """The same as a panel takes it."""

    def __init__(self, raw_sql: str, ref_id: str) -> None:
        self._built = SqlTarget(raw_sql, ref_id)

    def build(self) -> Dataquery:
        """As the SDK calls it."""
        return self._built


__all__ = [
    "Builder",
    "Dashboard",
    "Dataquery",
    "JSONEncoder",
    "Panel",
    "SqlQuery",
    "SqlTarget",
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
