"""Grafana's dashboards as code: one module a dashboard, all of them built in one house style.

`python -m stack.dashboards` writes them to grafana/dashboards/. Names of metrics and labels come from the signal
catalogue alone.
"""

from stack.dashboards.answers import Frame, Stores, ask
from stack.dashboards.catalogue import dashboards
from stack.dashboards.queries import PanelQuery, Window, queries

__all__ = ["Frame", "PanelQuery", "Stores", "Window", "ask", "dashboards", "queries"]
