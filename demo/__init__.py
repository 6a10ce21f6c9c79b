"""A sample GenAI application, a simulated provider for it, and the guided demonstration."""
