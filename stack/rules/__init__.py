"""The recording and alerting rules of Prometheus and Loki, from the signal catalogue and the thresholds; one module a subject."""
