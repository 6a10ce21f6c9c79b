"""How telemetry leaves the process: providers, exporters, logs, and what is lost on the way."""
