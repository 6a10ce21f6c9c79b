"""Prometheus' recording and alerting rules, from the signal catalogue and the thresholds; one module a subject."""
