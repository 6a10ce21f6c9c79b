"""A dashboard as one self-contained page with its real data, for whoever has no Grafana at hand.

It shows the generated dashboards that Grafana shows, by their own queries, so that the two cannot differ in content.
"""

from stack.preview.data import Frame, collect
from stack.preview.page import Occasion, render

__all__ = ["Frame", "Occasion", "collect", "render"]
