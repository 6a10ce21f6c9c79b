"""Takes calls, scores and findings from the Collector into the usage warehouse, each once."""
