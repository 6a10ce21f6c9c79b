"""The commands of `genai-observability`."""
