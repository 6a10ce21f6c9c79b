"""The recording and alerting rules of Prometheus and Loki, from the catalogue and the thresholds; one module a subject."""
