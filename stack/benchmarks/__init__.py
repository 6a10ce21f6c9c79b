"""How fast the dashboards are over a month of history: `python -m stack.benchmarks`, part of `make bench`."""
