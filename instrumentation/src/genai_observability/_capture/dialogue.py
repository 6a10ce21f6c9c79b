"""References to what was asked and answered, kept until the worker has looked at them.

The caller's thread keeps references: to the body that the client built, the answer that it returned, and the text of a
stream's chunks.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

_LONGEST_STREAM: Final = 200_000  # characters of a streamed answer that are kept


class Room:
    """Bounds what is kept: so many dialogues, and texts of so many characters in all. What does not fit is counted."""

    def __init__(self, *, on_full: Callable[[], None], calls: int = 2_000, characters: int = 50_000_000) -> None:
        self._on_full = on_full
        self._calls = calls
        self._characters = characters
        self._lock = threading.RLock()  # a dialogue may be let go of by the garbage collector, wherever it runs

    def hold(self, api: str, body: Mapping[str, Any]) -> "Dialogue | None":
        """A dialogue, where there is room for it."""
        size = _size(body)
        with self._lock:
            if self._calls <= 0 or self._characters < size:
                self._on_full()
                return None
            self._calls -= 1
            self._characters -= size
        return Dialogue(api, body, lambda: self._give_back(size))

    def _give_back(self, size: int) -> None:
        with self._lock:
            self._calls += 1
            self._characters += size


class Dialogue:
    """One request and its answer, by reference. ``api`` is ``chat``, ``responses`` or ``completions``."""

    __slots__ = ("_let_go", "answer", "api", "body", "choices", "pieces", "size")

    def __init__(self, api: str, body: Any, let_go: Callable[[], object] = lambda: None) -> None:
        self.api = api
        self.body = body
        self.answer: Any = None
        self.pieces: list[str] = []  # text of a stream
        self.choices: list[Any] = []  # chunks of a stream that are more than text
        self.size = 0
        self._let_go = let_go

    def __del__(self) -> None:
        self._let_go()

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


def _size(body: Any) -> int:
    """Roughly the characters of a request's messages: cheap, on the caller's thread."""
    messages = body.get("messages") or body.get("input") or body.get("prompt")
    if not isinstance(messages, list):
        return length(messages)
    size = 0
    for message in messages:
        content = message.get("content") if type(message) is dict else message
        size += len(content) if type(content) is str else length(message)
    return size


def length(item: Any) -> int:
    """The characters of all texts in a value."""
    if isinstance(item, str):
        return len(item)
    if isinstance(item, dict):
        return sum(map(length, item.values()))
    return sum(map(length, item)) if isinstance(item, list) else 0
