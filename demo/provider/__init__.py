"""A simulated OpenAI-compatible provider: real wire formats, invented answers, its own ledger, faults on demand."""
