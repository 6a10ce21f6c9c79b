"""References to what an OpenAI client asked and was answered, kept until the worker has looked at them.

The client wrapper could hand over content too, but prepares it on the caller's thread, decoding images and parsing
JSON, where an unusual message can raise and a generator of messages comes out empty. Here the caller's thread keeps
references: to the body that the client built, the answer that it returned, and the text of a stream's chunks.
"""

import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import get_current_span

from genai_observability._patching import replace

_APIS: Final = {"/chat/completions": "chat", "/responses": "responses", "/completions": "completions"}
_LONGEST_STREAM: Final = 200_000  # characters of a streamed answer that are kept


class Exchange:
    """One request and its answer, by reference. ``api`` is ``chat``, ``responses`` or ``completions``."""

    __slots__ = ("answer", "api", "body", "choices", "pieces", "size")

    def __init__(self, api: str, body: Any) -> None:
        self.api = api
        self.body = body
        self.answer: Any = None
        self.pieces: list[str] = []  # text of a stream
        self.choices: list[Any] = []  # chunks of a stream that are more than text
        self.size = 0

    def note(self, chunk: Any) -> None:
        """Keep what a chunk of a stream says. On the caller's thread: raises nothing, whatever the chunk is."""
        try:
            if self.api == "responses":
                if chunk.type == "response.output_text.delta":
                    self._keep(chunk.delta)
                elif (answer := getattr(chunk, "response", None)) is not None:
                    self.answer = answer  # the last one is the whole answer
                return
            for choice in chunk.choices:
                if self.api == "completions":
                    self._keep(choice.text)
                    continue
                delta, first = choice.delta, choice.index == 0
                if first and delta.content:
                    self._keep(delta.content)
                    if choice.finish_reason is None and delta.tool_calls is None:
                        continue  # nearly every chunk
                self.size += 1
                if self.size < _LONGEST_STREAM:
                    self.choices.append(choice)
        except Exception:  # noqa: S110 - a chunk of a type that only the application knows
            pass

    def _keep(self, piece: str) -> None:
        self.size += len(piece)
        if self.size < _LONGEST_STREAM:
            self.pieces.append(piece)


class Exchanges:
    """The exchanges whose spans have not been looked at yet, by span.

    Bounded: beyond ``calls`` of them, or texts of ``characters`` in all, the oldest are forgotten and counted.
    """

    def __init__(self, *, on_forgotten: Callable[[], None], calls: int = 2_000, characters: int = 50_000_000) -> None:
        """Forget the oldest beyond these bounds, and say so each time."""
        self._on_forgotten = on_forgotten
        self._most_calls = calls
        self._most_characters = characters
        self._lock = threading.Lock()
        self._held: OrderedDict[int, tuple[Exchange, int]] = OrderedDict()
        self._characters = 0

    def hold(self, span_id: int, exchange: Exchange) -> None:
        """Keep an exchange until ``take`` asks for it."""
        size = _size(exchange.body)
        with self._lock:
            _, replaced = self._held.pop(span_id, (None, 0))
            self._characters -= replaced
            self._held[span_id] = exchange, size
            self._characters += size
            while len(self._held) > self._most_calls or self._characters > self._most_characters:
                _, (_, forgotten) = self._held.popitem(last=False)
                self._characters -= forgotten
                self._on_forgotten()

    def take(self, span: ReadableSpan) -> Exchange | None:
        """The exchange of a finished span, once."""
        with self._lock:
            exchange, size = self._held.pop(span.context.span_id, (None, 0)) if span.context else (None, 0)
            self._characters -= size
        return exchange

    def clear(self) -> None:
        """Forget all: in a child made by fork, where the lock may have been held too."""
        self._lock = threading.Lock()
        self._held.clear()
        self._characters = 0


def _size(body: Any) -> int:
    """Roughly the characters of a request's messages: cheap, on the caller's thread."""
    messages = body.get("messages") or body.get("input") or body.get("prompt")
    if not isinstance(messages, list):
        return _length(messages)
    size = 0
    for message in messages:
        content = message.get("content") if type(message) is dict else message
        size += len(content) if type(content) is str else _length(message)
    return size


def _length(item: Any) -> int:
    if isinstance(item, str):
        return len(item)
    if isinstance(item, dict):
        return sum(map(_length, item.values()))
    return sum(map(_length, item)) if isinstance(item, list) else 0


def watch(exchanges: Exchanges, *, is_call: Callable[[Any], bool]) -> Callable[[], None]:
    """Keep the exchanges of every OpenAI client from now on; returns what ends that.

    Args:
        exchanges: Where they are kept.
        is_call: Whether a span is that of a model call; only such a span's exchange is kept.
    """
    try:
        import openai  # where it is installed
    except ImportError:
        return lambda: None
    active = True

    def plain(original: Callable[..., Any]) -> Callable[..., Any]:
        def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
            exchange = _begin(exchanges, is_call, options) if active else None
            result = original(self, cast_to, options, *args, **kwargs)
            if exchange is not None:
                _follow(exchange, result)
            return result

        return request

    def asynchronous(original: Callable[..., Any]) -> Callable[..., Any]:
        async def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
            exchange = _begin(exchanges, is_call, options) if active else None
            result = await original(self, cast_to, options, *args, **kwargs)
            if exchange is not None:
                _follow(exchange, result)
            return result

        return request

    undo = (replace(openai.OpenAI, "request", plain), replace(openai.AsyncOpenAI, "request", asynchronous))

    def end() -> None:
        nonlocal active
        active = False  # also where another has wrapped it since, which then stays
        for each in undo:
            each()

    return end


def _begin(exchanges: Exchanges, is_call: Callable[[Any], bool], options: Any) -> Exchange | None:
    """Keep a request, on the caller's thread, where it is one of a model call that is recorded."""
    try:
        api = next((api for ending, api in _APIS.items() if options.url.endswith(ending)), None)
        span = get_current_span()
        if api is None or not isinstance(options.json_data, dict) or not span.is_recording() or not is_call(span):
            return None
        exchange = Exchange(api, options.json_data)
        exchanges.hold(span.get_span_context().span_id, exchange)
    except Exception:  # options of an unforeseen shape
        return None
    return exchange


def _follow(exchange: Exchange, result: Any) -> None:
    """Keep an answer, or what will be read of it: from a stream, or once a raw response is parsed."""
    import openai  # is there, or nothing would be followed

    try:
        if isinstance(result, openai.BaseModel):
            exchange.answer = result
        elif isinstance(result, openai.Stream):
            if not isinstance(result._iterator, _Tee):  # noqa: SLF001 - where all ways of reading a stream meet
                result._iterator = _Tee(result._iterator, exchange)  # noqa: SLF001
        elif isinstance(result, openai.AsyncStream):
            if not isinstance(result._iterator, _AsyncTee):  # noqa: SLF001
                result._iterator = _AsyncTee(result._iterator, exchange)  # noqa: SLF001
        elif hasattr(result, "http_response"):
            result.parse = functools.partial(_parse, exchange, result.parse)
    except Exception:  # noqa: S110 - a result of a type that only the application knows
        pass


def _parse(exchange: Exchange, parse: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    parsed = parse(*args, **kwargs)
    if inspect.isawaitable(parsed):
        return _parse_later(exchange, parsed)
    _follow(exchange, parsed)
    return parsed


async def _parse_later(exchange: Exchange, awaitable: Awaitable[Any]) -> Any:
    parsed = await awaitable
    _follow(exchange, parsed)
    return parsed


class _Tee:
    """An iterator over a stream's chunks, of which the exchange takes note."""

    def __init__(self, chunks: Any, exchange: Exchange) -> None:
        self._chunks = chunks
        self._note = exchange.note

    def __iter__(self) -> "_Tee":
        return self

    def __next__(self) -> Any:
        chunk = next(self._chunks)
        self._note(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chunks, name)


class _AsyncTee:
    """The same for an asynchronous client."""

    def __init__(self, chunks: Any, exchange: Exchange) -> None:
        self._chunks = chunks
        self._note = exchange.note

    def __aiter__(self) -> "_AsyncTee":
        return self

    async def __anext__(self) -> Any:
        chunk = await self._chunks.__anext__()
        self._note(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chunks, name)
