"""Has the client's own methods check the budgets first, before anything is recorded or sent."""

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

from genai_observability._patching import replace

METHODS: Final = (
    ("openai.resources.chat.completions", "Completions", "create"),
    ("openai.resources.chat.completions", "Completions", "parse"),
    ("openai.resources.responses.responses", "Responses", "create"),
    ("openai.resources.responses.responses", "Responses", "parse"),
    ("openai.resources.embeddings", "Embeddings", "create"),
    ("openai.resources.completions", "Completions", "create"),
    ("openai.resources.images", "Images", "generate"),
    ("openai.resources.images", "Images", "edit"),
    ("openai.resources.images", "Images", "create_variation"),
    ("openai.resources.audio.speech", "Speech", "create"),
    ("openai.resources.audio.transcriptions", "Transcriptions", "create"),
    ("openai.resources.audio.translations", "Translations", "create"),
    ("openai.resources.moderations", "Moderations", "create"),
)
"""Module, class and method of every call that is recorded; each has an ``Async`` class beside it."""

STREAMS: Final = (("openai.resources.responses.responses", "Responses", "stream"),)
"""Methods that return a context manager, which calls ``create`` of the same object, already within the call's span."""


def check_first(check: Callable[[], None]) -> Callable[[], None]:
    """Call ``check`` before each of these methods, outside of what has wrapped them so far; returns what ends that."""
    undo = [
        replace(owner, method, functools.partial(_checked_stream, create=vars(owner)["create"], check=check))
        for owner, method in _present(STREAMS)
    ] + [replace(owner, method, functools.partial(_checked, check=check)) for owner, method in _present(METHODS)]

    def end() -> None:
        for each in undo:
            each()

    return end


def _present(table: tuple[tuple[str, str, str], ...]) -> Iterator[tuple[type, str]]:
    """The classes and methods of a table that the installed version of the client has."""
    for module, class_name, method in table:
        try:
            resources = vars(import_module(module))
        except ImportError:
            continue
        for owner in (resources.get(class_name), resources.get(f"Async{class_name}")):
            if isinstance(owner, type) and method in vars(owner):
                yield owner, method


def _checked(method: Any, check: Callable[[], None]) -> Any:
    async def awaited(self: Any, *args: Any, **kwargs: Any) -> Any:
        check()
        return await method.__get__(self)(*args, **kwargs)

    def awaitable(self: Any, *args: Any, **kwargs: Any) -> Any:
        return awaited(self, *args, **kwargs)

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        check()
        return method.__get__(self)(*args, **kwargs)

    if inspect.iscoroutinefunction(method):
        return functools.wraps(method)(awaited)
    if inspect.iscoroutinefunction(inspect.unwrap(method)):  # behind a plain function, which only looks at arguments
        return functools.wraps(method)(awaitable)
    return functools.wraps(method)(called)


def _checked_stream(method: Any, create: Any, check: Callable[[], None]) -> Any:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        check()
        checked = copy.copy(self)
        checked.create = create.__get__(checked)  # the stream's own call is this one, and not checked again
        return method.__get__(checked)(*args, **kwargs)

    return call
