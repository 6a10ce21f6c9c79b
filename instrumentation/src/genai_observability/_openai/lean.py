"""Short cuts through what OpenTelemetry's wrapper of the OpenAI client does for every chunk of a stream.

A stream has hundreds of chunks, and each is on its reader's way. For each of them the wrapper makes the call's span the
current one, although reading starts no span (3 µs); collects labels for its own metrics, which are switched off here
(2 µs); and keeps the text for a capture of content that is mostly off (5 µs). What it needs to know of a stream, its
ids, times, finish reasons and usage, it is still told.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.instrumentation.genai.openai.chat_wrappers import AsyncChatStreamWrapper, ChatStreamWrapper
from opentelemetry.util.genai.invocation import InferenceInvocation

from genai_observability._patching import replace

_AS_IT_IS: Final = contextlib.nullcontext()


def watch() -> list[Callable[[], None]]:
    """Take the short cuts; returns what ends that."""
    undo = [replace(InferenceInvocation, "_on_stream_chunk", _first_chunk_only)]
    for wrapper in (ChatStreamWrapper, AsyncChatStreamWrapper):
        undo.append(replace(wrapper, "_execution_context", lambda _: lambda _stream: _AS_IT_IS))
        undo.append(replace(wrapper, "_process_chunk", _telling_chunks_only))
    return undo


def _first_chunk_only(original: Callable[[Any, float], None]) -> Callable[[Any, float], None]:
    def on_stream_chunk(invocation: Any, chunk_at: float) -> None:
        if invocation._ttfc_seconds is None:  # noqa: SLF001 - where the wrapper keeps the time to the first chunk
            original(invocation, chunk_at)

    return on_stream_chunk


def _telling_chunks_only(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def process_chunk(stream: Any, chunk: Any) -> None:
        if stream._self_capture_content or not stream._self_response_id or _tells_something(chunk):  # noqa: SLF001
            original(stream, chunk)

    return process_chunk


def _tells_something(chunk: Any) -> bool:
    """Whether a chunk has more than a piece of the text."""
    try:
        return chunk.usage is not None or any(choice.finish_reason for choice in chunk.choices)
    except (AttributeError, TypeError):  # of another shape: the wrapper knows what to do
        return True
