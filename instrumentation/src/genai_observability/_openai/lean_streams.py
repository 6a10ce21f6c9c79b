# ruff: noqa: SLF001 - what the wrapper notes of a stream is in its private attributes
"""A short cut through what OpenTelemetry's wrapper of the OpenAI client does for every chunk of a stream.

A stream has hundreds of chunks, and each is on its reader's way. For each of them the wrapper makes the call's span the
current one, although reading starts no span; collects labels for its own metrics, which are switched off here; keeps
the text for a capture of content that is mostly off; and goes through three functions and an iterator more than it
needs to (10 µs in all). What it needs to know of a stream, its ids, times, finish reasons and usage, it is still told.

The wrapper is read through a generator, as the client's own stream is, and what ``streams`` notes is noted in the same
place: so a chunk goes through no more hands than without us.
"""

import timeit
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from openai import AsyncStream, Stream
from opentelemetry.instrumentation.genai.openai.chat_wrappers import AsyncChatStreamWrapper, ChatStreamWrapper
from opentelemetry.instrumentation.genai.openai.response_wrappers import (
    AsyncResponseStreamWrapper,
    ResponseStreamWrapper,
)

from genai_observability._calls.open_calls import OpenCall
from genai_observability._openai.streams import Watched, WatchedAsync, is_for_application
from genai_observability._patching import replace

_IsMoreText = Callable[[Any, Any, OpenCall], bool]
"""Whether a chunk of this stream tells nothing that is to be noted but that it came: nearly every one."""


def watch() -> list[Callable[[], None]]:
    """Take the short cut; returns what ends that."""
    return [
        *_shortened(ChatStreamWrapper, AsyncChatStreamWrapper, _is_more_of_a_chat),
        *_shortened(ResponseStreamWrapper, AsyncResponseStreamWrapper, _is_more_of_a_response),
    ]


def _shortened(wrapper: type, asynchronous: type, is_more_text: _IsMoreText) -> list[Callable[[], None]]:
    chunks, chunks_async = _chunks(is_more_text), _chunks_async(is_more_text)
    return [
        replace(wrapper, "_bind_stream", _bound_to(Stream, "_self_iterator")),
        replace(wrapper, "__iter__", lambda _: chunks),
        replace(wrapper, "__next__", lambda _: _next(is_more_text)),
        replace(asynchronous, "_bind_stream", _bound_to(AsyncStream, "_self_aiter")),
        replace(asynchronous, "__aiter__", lambda _: chunks_async),
        replace(asynchronous, "__anext__", lambda _: _anext(is_more_text)),
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


def _source(chunks: Any) -> tuple[Any, OpenCall | None]:
    """What is noted elsewhere of each chunk is noted here: the chunks before that, and the call that they are of."""
    return (chunks.chunks, chunks.call) if type(chunks) in (Watched, WatchedAsync) else (chunks, None)


def _chunks(is_more_text: _IsMoreText) -> Callable[[Any], Iterator[Any]]:
    def chunks(stream: Any) -> Iterator[Any]:
        source, call = _source(stream._self_iterator)
        read = source.__next__
        while True:
            try:
                chunk = read()
            except StopIteration:
                _ended(stream, call)
                return
            except BaseException as error:
                stream._finalize_failure(error)
                raise
            if (call is not None and is_more_text(stream, chunk, call)) or _note_in_full(stream, chunk, call):
                yield chunk

    return chunks


def _next(is_more_text: _IsMoreText) -> Callable[[Any], Any]:
    """One chunk. Not from a generator: each would be left behind, and an asynchronous one has to be closed."""

    def read(stream: Any) -> Any:
        source, call = _source(stream._self_iterator)
        while True:
            try:
                chunk = next(source)
            except StopIteration:
                _ended(stream, call)
                raise
            except BaseException as error:
                stream._finalize_failure(error)
                raise
            if (call is not None and is_more_text(stream, chunk, call)) or _note_in_full(stream, chunk, call):
                return chunk

    return read


def _chunks_async(is_more_text: _IsMoreText) -> Callable[[Any], AsyncIterator[Any]]:
    async def chunks(stream: Any) -> AsyncIterator[Any]:
        source, call = _source(stream._self_aiter)
        read = source.__anext__
        while True:
            try:
                chunk = await read()
            except StopAsyncIteration:
                _ended(stream, call)
                return
            except BaseException as error:
                stream._finalize_failure(error)
                raise
            if (call is not None and is_more_text(stream, chunk, call)) or _note_in_full(stream, chunk, call):
                yield chunk

    return chunks


def _anext(is_more_text: _IsMoreText) -> Callable[[Any], Awaitable[Any]]:
    async def read(stream: Any) -> Any:
        source, call = _source(stream._self_aiter)
        while True:
            try:
                chunk = await anext(source)
            except StopAsyncIteration:
                _ended(stream, call)
                raise
            except BaseException as error:
                stream._finalize_failure(error)
                raise
            if (call is not None and is_more_text(stream, chunk, call)) or _note_in_full(stream, chunk, call):
                return chunk

    return read


def _ended(stream: Any, call: OpenCall | None) -> None:
    if call is not None:
        call.complete = True
    stream._finalize_success()


def _is_more_of_a_chat(stream: Any, chunk: Any, call: OpenCall) -> bool:
    try:
        if call.first_token is None or stream._self_capture_content or chunk.usage is not None:
            return False
        for choice in chunk.choices:
            if choice.finish_reason:
                return False
        if call.usage_is_ours:
            chunk.__pydantic_fields_set__.discard("usage")  # see streams
    except (AttributeError, TypeError):  # of another shape
        return False
    call.chunks += 1
    return True


def _is_more_of_a_response(stream: Any, event: Any, call: OpenCall) -> bool:
    del stream  # its content, where it is captured, comes whole with the last event
    try:
        if call.first_token is None or not event.type.endswith(".delta"):
            return False
    except AttributeError:  # of another shape
        return False
    call.chunks += 1
    return True


def _note_in_full(stream: Any, chunk: Any, call: OpenCall | None) -> bool:
    """Note a chunk; ``False`` for the one that carries the usage which only this package asked for."""
    if call is not None and not is_for_application(chunk, call):
        return False
    arrived = timeit.default_timer()  # the clock that the wrapper's own times are of
    stream._process_chunk(chunk)
    invocation = stream._self_invocation
    if invocation is not None and invocation._ttfc_seconds is None:  # the time to the first chunk
        invocation._on_stream_chunk(arrived)
    return True
