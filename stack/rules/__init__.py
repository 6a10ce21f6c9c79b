"""The recording and alerting rules of Prometheus and Loki, generated; one module a subject."""
