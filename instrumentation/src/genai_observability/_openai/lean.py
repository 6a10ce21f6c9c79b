# ruff: noqa: SLF001 - what the wrapper notes of a stream is in its private attributes
"""A short cut through what OpenTelemetry's wrapper of the OpenAI client does for every chunk of a stream.

A stream has hundreds of chunks, and each is on its reader's way. For each of them the wrapper makes the call's span the
current one, although reading starts no span; collects labels for its own metrics, which are switched off here; keeps
the text for a capture of content that is mostly off; and goes through three functions and an iterator more than it
needs to (10 µs in all). What it needs to know of a stream, its ids, times, finish reasons and usage, it is still told.
"""

import timeit
from collections.abc import Callable
from typing import Any

from openai import AsyncStream, Stream
from opentelemetry.instrumentation.genai.openai.chat_wrappers import AsyncChatStreamWrapper, ChatStreamWrapper

from genai_observability._patching import replace


def watch() -> list[Callable[[], None]]:
    """Take the short cut; returns what ends that."""
    return [
        replace(ChatStreamWrapper, "__next__", _next),
        replace(ChatStreamWrapper, "_bind_stream", _bound_to(Stream, "_self_iterator")),
        replace(AsyncChatStreamWrapper, "__anext__", _anext),
        replace(AsyncChatStreamWrapper, "_bind_stream", _bound_to(AsyncStream, "_self_aiter")),
    ]


def _bound_to(kind: Any, name: str) -> Callable[[Callable[[Any, Any], None]], Callable[[Any, Any], None]]:
    """Of the client's own streams the wrapper reads what these themselves do nothing but read."""

    def binding(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def bind_stream(stream: Any, wrapped: Any) -> None:
            original(stream, wrapped)
            if type(wrapped) is kind:
                setattr(stream, name, wrapped._iterator)

        return bind_stream

    return binding


def _next(_: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(stream: Any) -> Any:
        try:
            chunk = stream._self_iterator.__next__()
        except StopIteration:
            stream._finalize_success()
            raise
        except BaseException as error:
            stream._finalize_failure(error)
            raise
        if stream._self_capture_content or not stream._self_response_id or _tells_something(chunk):
            _tell(stream, chunk)
        return chunk

    return read


def _anext(_: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def read(stream: Any) -> Any:
        try:
            chunk = await stream._self_aiter.__anext__()
        except StopAsyncIteration:
            stream._finalize_success()
            raise
        except BaseException as error:
            stream._finalize_failure(error)
            raise
        if stream._self_capture_content or not stream._self_response_id or _tells_something(chunk):
            _tell(stream, chunk)
        return chunk

    return read


def _tell(stream: Any, chunk: Any) -> None:
    arrived = timeit.default_timer()  # the clock that the wrapper's own times are of
    stream._process_chunk(chunk)
    invocation = stream._self_invocation
    if invocation is not None and invocation._ttfc_seconds is None:  # the time to the first chunk
        invocation._on_stream_chunk(arrived)


def _tells_something(chunk: Any) -> bool:
    """Whether a chunk has more than a piece of the text."""
    try:
        if chunk.usage is not None:
            return True
        for choice in chunk.choices:
            if choice.finish_reason:
                return True
    except (AttributeError, TypeError):  # of another shape: the wrapper knows what to do
        return True
    return False
