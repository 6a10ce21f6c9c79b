"""What OpenTelemetry's wrapper of the OpenAI client does not look at.

The requests of each call and their headers (``requests``), the chunks of streams (``streams``), and the APIs that it
leaves out (``apis``). ``wrapper`` reads more of the answers and keeps its faults from the application; ``lean`` has it
do less for each chunk; ``unmarked`` sees that the provider is told nothing of ours.
"""

from collections.abc import Callable

from opentelemetry.trace import TracerProvider

from genai_observability._open_calls import OpenCalls
from genai_observability._openai import apis, disclosure, lean, requests, streams, unmarked, wrapper


def watch(
    open_calls: OpenCalls, tracer_provider: TracerProvider, *, attribution_to_provider: bool
) -> Callable[[], None]:
    """Watch the client from now on; returns what ends that."""
    attribute = disclosure.attributed if attribution_to_provider else None
    undo = [
        *requests.watch(open_calls, attribute=attribute),
        *streams.watch(),
        *apis.wrap(tracer_provider),
        *wrapper.complete(),
        *lean.shorten(),
        *unmarked.watch(),
    ]

    def end() -> None:
        for each in reversed(undo):
            each()

    return end
