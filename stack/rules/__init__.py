"""The recording and alerting rules of Prometheus, generated; one module a subject."""
