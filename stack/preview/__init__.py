"""Dashboards as self-contained pages with their real data, for whoever has no Grafana at hand.

It shows the generated dashboards that Grafana shows, by their own queries, so that the two cannot differ in content.
"""

from stack.preview.data import collect
from stack.preview.occasion import Occasion
from stack.preview.page import index, render

__all__ = ["Occasion", "collect", "index", "render"]
