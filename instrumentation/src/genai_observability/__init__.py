"""Traces, metrics, cost and a request log for every GenAI model call."""
