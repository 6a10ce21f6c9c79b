"""The chunks of a streamed answer: when the first token came, how many came, and the usage that was asked for here."""

from collections.abc import AsyncIterator, Callable, Iterator
from time import time_ns
from typing import Any

from openai import AsyncStream, Stream

from genai_observability._calls.open_calls import OpenCall
from genai_observability._openai.requests import KEY
from genai_observability._openai.usage import usage_attributes
from genai_observability._patching import replace


def watch() -> list[Callable[[], None]]:
    """Note the chunks of each open call's stream; returns what ends that."""

    def watched(kind: type[Watched] | type[WatchedAsync]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def noting(original: Callable[..., Any]) -> Callable[..., Any]:
            def stream(self: Any) -> Any:
                call = getattr(self.response, "extensions", {}).get(KEY)
                return kind(original(self), call) if isinstance(call, OpenCall) else original(self)

            return stream

        return noting

    return [
        replace(Stream, "__stream__", watched(Watched)),
        replace(AsyncStream, "__stream__", watched(WatchedAsync)),
    ]


class Watched:
    """The chunks of a stream, of which its call takes note."""

    __slots__ = ("call", "chunks")

    def __init__(self, chunks: Iterator[Any], call: OpenCall) -> None:
        self.chunks = chunks
        self.call = call

    def __iter__(self) -> "Watched":
        return self

    def __next__(self) -> Any:
        for chunk in self.chunks:
            if is_for_application(chunk, self.call):
                return chunk
        self.call.complete = True
        raise StopIteration


class WatchedAsync:
    """The same for an asynchronous client."""

    __slots__ = ("call", "chunks")

    def __init__(self, chunks: AsyncIterator[Any], call: OpenCall) -> None:
        self.chunks = chunks
        self.call = call

    def __aiter__(self) -> "WatchedAsync":
        return self

    async def __anext__(self) -> Any:
        async for chunk in self.chunks:
            if is_for_application(chunk, self.call):
                return chunk
        self.call.complete = True
        raise StopAsyncIteration


def is_for_application(chunk: Any, call: OpenCall) -> bool:
    """Note a chunk; ``False`` for the one that carries the usage which only this package asked for."""
    try:
        if call.first_token is None:
            if carries_token(chunk):
                call.first_token = time_ns()
                call.chunks = 1
                call.refused = _refuses(chunk)
        else:
            call.chunks += 1
        return not call.usage_is_ours or not _is_usage(chunk, call)
    except Exception:  # a chunk of another shape, such as the application's own type, is the application's
        return True


def carries_token(chunk: Any) -> bool:
    """Whether a chunk brings something of the answer: text, a refusal, reasoning or part of a tool call.

    The first chunk of a chat answer only names the role, those of the responses API that come first only announce.
    """
    kind = getattr(chunk, "type", None)
    if isinstance(kind, str):
        return kind.endswith((".delta", "partial_image"))
    for choice in chunk.choices or ():
        delta = getattr(choice, "delta", None)
        if delta is None:
            return bool(getattr(choice, "text", None))
        if delta.content or delta.tool_calls or delta.function_call or getattr(delta, "refusal", None):
            return True
        if (
            getattr(delta, "reasoning_content", None)
            or getattr(delta, "reasoning", None)
            or getattr(delta, "audio", None)
        ):
            return True
    return False


def _refuses(chunk: Any) -> bool:
    if isinstance(kind := getattr(chunk, "type", None), str):
        return kind == "response.refusal.delta"
    return any(getattr(getattr(choice, "delta", None), "refusal", None) for choice in chunk.choices)


def _is_usage(chunk: Any, call: OpenCall) -> bool:
    usage = chunk.usage
    if usage is None:
        chunk.__pydantic_fields_set__.discard("usage")  # without the question there is no such field, not a null one
        return False
    if chunk.choices:  # a server that reports usage with the last words does so unasked
        return False
    call.span.set_attributes(usage_attributes(usage))  # type: ignore[attr-defined]  # still open: the stream is read
    return True
