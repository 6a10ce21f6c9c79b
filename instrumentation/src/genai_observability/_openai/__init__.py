"""What only the OpenAI client knows of a call, and OpenTelemetry's wrapper of it does not look at.

Its requests and their headers (``requests``), and the chunks of its streams (``streams``).
"""

from collections.abc import Callable

from genai_observability._open_calls import OpenCalls
from genai_observability._openai import requests, streams


def watch(open_calls: OpenCalls) -> Callable[[], None]:
    """Note what the client does for each open call; returns what ends the watching."""
    undo = [*requests.watch(open_calls), *streams.watch()]

    def end() -> None:
        for each in reversed(undo):
            each()

    return end
