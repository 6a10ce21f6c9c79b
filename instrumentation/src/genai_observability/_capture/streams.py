"""The chunks of a streamed answer: one loop, in which each is looked at once, whichever way the stream is read.

The client makes the iterator of a stream in ``__stream__``: of what its methods return, of its helpers, and of raw
answers that the application parses. The loop stands around that iterator. A chunk that brings more text, which nearly
every one does, is counted and passed on; any other is kept, to be read at the end.
"""

import logging
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from time import time_ns
from typing import Any, Final

from genai_observability import signals
from genai_observability._capture import deferred
from genai_observability._capture.answers import get
from genai_observability._capture.open_calls import OpenCall

_logger = logging.getLogger("genai_observability")

_TELLING: Final = ("error", ".completed", ".done")  # ends of the names of events that tell more than more text
_TOKENS: Final = (
    "content", "tool_calls", "function_call", "refusal", "reasoning_content", "reasoning", "audio",
)  # fmt: skip
KEY: Final = "genai_observability"  # under this name a response carries its open call, for the stream made from it


def observed(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """In the place of a stream's ``__stream__``, plain or asynchronous."""
    return lambda stream: _watched(stream, make(stream))


def closed(close: Callable[[Any], None]) -> Callable[[Any], None]:
    """In the place of a stream's ``close``: what has not been read by then never will be."""

    def close_stream(stream: Any) -> None:
        close(stream)
        _end_of(stream)

    return close_stream


def closed_async(close: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same for an asynchronous client."""

    async def close_stream(stream: Any) -> None:
        await close(stream)
        _end_of(stream)

    return close_stream


def end(call: OpenCall, error: BaseException | None = None) -> None:
    """The stream of a call has ended, however that came. A fault in here breaks no stream."""
    try:
        if error is not None:
            call.fail(error, lambda: _read(call))
        else:
            call.end(lambda: _read(call))
    except Exception:
        _logger.debug("The end of a stream could not be noted", exc_info=True)


def end_when_closed(response: Any, call: OpenCall) -> None:
    """A raw answer whose stream is read as bytes, and not by the loop: the call ends when the response is closed."""
    this = weakref.ref(response)

    def note() -> None:
        if not call.parsed and (closed := this()) is not None:
            call.complete = closed.is_stream_consumed
            end(call)

    def close() -> None:
        if (found := this()) is not None:
            type(found).close(found)
        note()

    async def aclose() -> None:
        if (found := this()) is not None:
            await type(found).aclose(found)
        note()

    response.close, response.aclose = close, aclose
    weakref.finalize(response, end, call).atexit = False


def _read(call: OpenCall) -> dict[str, Any]:
    pieces, api, started = call.pieces, call.api, call.span.start_time
    said = api.read_stream(pieces) if api is not None else {}
    if call.first_chunk is not None and started is not None:
        said[signals.TIME_TO_FIRST_CHUNK.name] = (call.first_chunk - started) / 1e9
    last = get(pieces[-1], "response") if pieces else None
    return said | deferred.submitted(last, call.attribution)


def _call_of(stream: Any) -> OpenCall | None:
    call = getattr(stream.response, "extensions", {}).get(KEY)
    return call if isinstance(call, OpenCall) else None


def _watched(stream: Any, chunks: Any) -> Any:
    """The chunks; where they are let go of before their end, or before their beginning, the call ends then."""
    try:
        if (call := _call_of(stream)) is None:
            return chunks
        watched = (_chunks_async if hasattr(chunks, "__aiter__") else _chunks)(chunks, call)
        call.parsed = True
        weakref.finalize(watched, end, call).atexit = False
    except Exception:
        _logger.debug("A stream could not be watched", exc_info=True)
        return chunks
    return watched


def _end_of(stream: Any) -> None:
    try:
        if (call := _call_of(stream)) is not None:
            end(call)
    except Exception:
        _logger.debug("The end of a stream could not be noted", exc_info=True)


def _chunks(source: Iterator[Any], call: OpenCall) -> Iterator[Any]:
    try:
        for chunk in source:
            if _is_for_application(chunk, call):
                yield chunk
        call.complete = True
        end(call)
    except BaseException as error:
        if not isinstance(error, GeneratorExit):
            end(call, error)
        raise


async def _chunks_async(source: Any, call: OpenCall) -> AsyncIterator[Any]:
    try:
        async for chunk in source:
            if _is_for_application(chunk, call):
                yield chunk
        call.complete = True
        end(call)
    except BaseException as error:
        if not isinstance(error, GeneratorExit):
            end(call, error)
        raise


def _is_for_application(chunk: Any, call: OpenCall) -> bool:
    """Note a chunk; ``False`` for the one that carries the usage which only this package asked for."""
    try:
        if call.dialogue is not None:
            call.dialogue.note(chunk)
        if call.first_token is None or _tells_more(chunk if isinstance(chunk, dict) else chunk.__dict__):
            _note_in_full(chunk, call)
        else:
            call.chunks += 1
    except Exception:  # noqa: S110 - a chunk of another shape, such as the application's own type
        pass
    return _is_asked_for(chunk) if call.usage_is_ours else True


def _is_asked_for(chunk: Any) -> bool:
    """``False`` for the chunk that comes for the usage alone; any other is as without the question for it."""
    try:
        if isinstance(chunk, dict):  # as LiteLLM and others have the client make them
            return bool(chunk.get("choices")) or not chunk.get("usage")
        if chunk.usage is None:
            chunk.model_fields_set.discard("usage")
            return True
        return bool(chunk.choices)  # a server that reports usage with the last words does so unasked
    except Exception:  # of the application's own type
        return True


def _tells_more(fields: dict[str, Any]) -> Any:
    """By what the chunk has: asking the client's objects for what they lack takes 3 µs."""
    if (choices := fields.get("choices")) is None:
        return not fields["type"].endswith(".delta")
    more: Any = fields.get("usage") is not None
    for choice in choices:
        more = more or (choice.get("finish_reason") if type(choice) is dict else choice.finish_reason)
    return more


def _note_in_full(chunk: Any, call: OpenCall) -> None:
    call.first_chunk = call.first_chunk or time_ns()
    if call.first_token is not None:
        call.chunks += 1
    elif carries_token(chunk):
        call.first_token = time_ns()
        call.chunks = 1
        call.refused = _refuses(chunk)
    kind = get(chunk, "type")
    if not isinstance(kind, str) or kind.endswith(_TELLING) or hasattr(chunk, "response"):
        call.keep(chunk)


def carries_token(chunk: Any) -> bool:
    """Whether a chunk brings something of the answer: text, a refusal, reasoning or part of a tool call.

    The first chunk of a chat answer only names the role, those of the responses API that come first only announce.
    """
    kind = get(chunk, "type")
    if isinstance(kind, str):
        return kind.endswith((".delta", "partial_image"))
    for choice in get(chunk, "choices") or ():
        delta = get(choice, "delta")
        if delta is None:
            return bool(get(choice, "text"))
        if any(get(delta, name) for name in _TOKENS):
            return True
    return False


def _refuses(chunk: Any) -> bool:
    if isinstance(kind := get(chunk, "type"), str):
        return kind == "response.refusal.delta"
    return any(get(get(choice, "delta"), "refusal") for choice in get(chunk, "choices") or ())
