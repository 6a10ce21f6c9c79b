"""Functions of the client library, replaced by ones that also take notes."""

import functools
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any


def replace(
    owner: type, name: str, noting: Callable[[Callable[..., Any]], Callable[..., Any]], undo: ExitStack
) -> None:
    """Put a function in the place of a method, in the class that defines it, until ``undo`` is closed.

    What is not there is left. A method that somebody else has replaced since stays as it is then.
    """
    definer = next((each for each in owner.__mro__ if name in vars(each)), None)
    if definer is None:
        return
    original = vars(definer)[name]
    replaced = functools.wraps(original)(noting(original))
    setattr(definer, name, replaced)

    def put_back() -> None:
        if vars(definer).get(name) is replaced:
            setattr(definer, name, original)

    undo.callback(put_back)
