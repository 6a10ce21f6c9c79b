"""Functions with something around them: a method that another one stands for, a function in a context manager.

A function may be plain, ``async`` or a generator of either kind.

The body of a generator runs in turns, and between two of them its consumer runs. What the manager sets must not be seen
there, and the consumer may take each turn in another task or thread: so it is put in place at the beginning of each
turn, and taken away at its end.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Manager = AbstractContextManager[Any]


class Setting(NamedTuple):
    """What a manager sets, as functions that read it and set it again."""

    here: Callable[[], Any]
    go_to: Callable[[Any], object]


def replace(
    owner: type, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]], undo: ExitStack
) -> None:
    """Put a function in the place of a method, in the class that defines it, until ``undo`` is closed.

    What is not there is left. A method that somebody else has replaced since stays as it is then.
    """
    definer = next((each for each in owner.__mro__ if name in vars(each)), None)
    if definer is None:
        return
    original = vars(definer)[name]
    replaced = functools.wraps(original)(around(original))
    setattr(definer, name, replaced)

    def put_back() -> None:
        if vars(definer).get(name) is replaced:
            setattr(definer, name, original)

    undo.callback(put_back)


def decorated(
    manager: _Manager, function: Callable[_Parameters, _Result], setting: Setting
) -> Callable[_Parameters, _Result]:
    """The function with its body inside a context manager, which may be entered several times."""
    if inspect.iscoroutinefunction(function):
        wrapper: Any = _coroutine(manager, function)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(manager, function, setting)
    elif inspect.isasyncgenfunction(function):
        wrapper = _async_generator(manager, function, setting)
    else:
        wrapper = _plain(manager, function)
    return cast("Callable[_Parameters, _Result]", functools.wraps(function)(wrapper))


def _plain(manager: _Manager, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with manager:
            return function(*args, **kwargs)

    return call


def _coroutine(manager: _Manager, function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with manager:
            return await function(*args, **kwargs)

    return call


def _generator(manager: _Manager, function: Callable[..., Any], setting: Setting) -> Callable[..., Any]:
    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        body = function(*args, **kwargs)
        resume, value = body.send, None
        with _Body(manager, setting) as turn:
            while True:
                try:
                    with turn:
                        item = resume(value)
                except StopIteration as end:
                    return end.value
                try:
                    resume, value = body.send, (yield item)
                except GeneratorExit:
                    with turn:
                        body.close()
                    raise
                except BaseException as error:
                    resume, value = body.throw, error

    return generate


def _async_generator(manager: _Manager, function: Callable[..., Any], setting: Setting) -> Callable[..., Any]:
    async def generate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        body = function(*args, **kwargs)
        resume, value = body.asend, None
        with _Body(manager, setting) as turn:
            while True:
                try:
                    with turn:
                        item = await resume(value)
                except StopAsyncIteration:
                    return
                try:
                    resume, value = body.asend, (yield item)
                except GeneratorExit:
                    with turn:
                        await body.aclose()
                    raise
                except BaseException as error:
                    resume, value = body.athrow, error

    return generate


class _Body:
    """Holds the manager open from the body's first turn to its last, with a setting of the body's own."""

    def __init__(self, manager: _Manager, setting: Setting) -> None:
        self._manager = manager
        self._turn = _Turn(setting)

    def __enter__(self) -> "_Turn":
        with self._turn:
            self._manager.__enter__()
        return self._turn

    def __exit__(self, *raised: Any) -> None:
        with self._turn:
            self._manager.__exit__(*raised)


class _Turn:
    """One turn of the body: with what it left set at the end of the turn before, and at first with its consumer's."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._inside = setting.here()

    def __enter__(self) -> None:
        self._outside = self._setting.here()
        self._setting.go_to(self._inside)

    def __exit__(self, *_: object) -> None:
        self._inside = self._setting.here()
        self._setting.go_to(self._outside)
