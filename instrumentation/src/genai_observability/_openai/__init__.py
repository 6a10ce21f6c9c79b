"""What OpenTelemetry's wrappers of the OpenAI client do not look at.

The requests of each call and their headers (``requests``), the chunks of streams (``streams``), the APIs that they
leave out (``apis``), and the results of batches (``batches``). ``wrapper`` reads more of the answers and keeps its
faults from the application; ``lean_calls`` and ``lean_streams`` have it do less for each call and for each chunk, and
``later`` less before the caller has its answer; ``unmarked`` sees that the provider is told nothing
of ours. Each part stands for itself: a version of the client or of the wrapper that one of them does not know costs
what that part would have done.
"""

import importlib
import logging
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.trace import TracerProvider

from genai_observability._calls.batches import Results
from genai_observability._calls.open_calls import OpenCalls
from genai_observability._openai import disclosure

_LOST: Final = {
    "requests": "retries, quotas, request ids and the phases of calls are not recorded",
    "streams": "the first tokens of streams are not recorded",
    "apis": "calls for images, audio, moderations, legacy completions and submissions of batches are not recorded",
    "batches": "the results of batches are not recorded",
    "unmarked": "requests to the provider may carry the ids of traces",
}

_logger = logging.getLogger("genai_observability")


def watch(
    open_calls: OpenCalls,
    tracer_provider: TracerProvider,
    *,
    fetched: Callable[[Results], None],
    alone: Callable[[], bool],
    attribution_to_provider: bool,
) -> Callable[[], None]:
    """Watch the client from now on; returns what ends that.

    Args:
        open_calls: The calls that have begun and not ended.
        tracer_provider: Where the spans of the APIs go that the wrapper leaves out.
        fetched: Gets the results of batches.
        alone: Whether nobody else sees the spans.
        attribution_to_provider: Whether OpenAI is told of the attribution.
    """
    attribute = disclosure.attributed if attribution_to_provider else None
    undo = [
        *_start("requests", open_calls, attribute=attribute),
        *_start("streams"),
        *_start("apis", tracer_provider),
        *_start("batches", fetched),
        *_start("wrapper"),
        *_start("lean_calls"),
        *_start("lean_streams"),
        *_start("later", open_calls, alone),
        *_start("unmarked"),
    ]

    def end() -> None:
        for each in reversed(undo):
            each()

    return end


def _start(part: str, *arguments: Any, **more: Any) -> list[Callable[[], None]]:
    try:
        started: list[Callable[[], None]] = importlib.import_module(f"{__name__}.{part}").watch(*arguments, **more)
    except Exception as error:  # whatever another version brings
        if part in _LOST:
            _logger.warning("With these versions of openai and its wrapper %s: %s.", _LOST[part], error)
        return []
    return started
