"""Functions of other libraries, replaced by ones that also take notes; and those of their names that are private.

A private name may be gone with any version. Each stands in the table below, with what it is for and what is no longer
recorded without it.
"""

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateName:
    """A name of another library that it does not promise to keep.

    Attributes:
        owner: Module, or module and class with a colon between, that has it.
        name: The name.
        why: What it is used for, for want of a public way.
        lost: What is no longer recorded where it is gone.
    """

    owner: str
    name: str
    why: str
    lost: str

    @property
    def is_there(self) -> bool:
        """Whether the installed version has it."""
        module, _, owner = self.owner.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in owner.split(".") if owner else ():
                found = getattr(found, part)
        except (ImportError, AttributeError):
            return False
        return hasattr(found, self.name)


_ATTEMPTS: Final = "the retries of calls, and the time until their first attempt"
_HEADERS: Final = "request ids, quotas and the phases of calls"
_CHUNKS: Final = "the first tokens, the usage and the ends of streams"
OF_CLIENTS: Final = tuple(
    PrivateName(owner=f"openai:{prefix}{owner}", name=name, why=why, lost=lost)
    for prefix in ("", "Async")
    for owner, name, why, lost in (
        ("OpenAI", "_build_request", "runs once an attempt", _ATTEMPTS),
        ("OpenAI", "_should_retry", "runs for each refused attempt", "which attempts were refused"),
        ("OpenAI", "_process_response", "has the answer with its headers", f"{_HEADERS}; {_CHUNKS}"),
        ("Stream", "__stream__", "makes the iterator that all ways of reading a stream use", _CHUNKS),
    )
)
"""Of the openai client: there since 1.26, and tried up to 3.57."""


def missing(names: tuple[PrivateName, ...] = OF_CLIENTS) -> Iterator[PrivateName]:
    """Those that the installed versions do not have."""
    return (name for name in names if not name.is_there)


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
