"""Functions of the client, replaced by ones that also take notes."""

import functools
import logging
from collections.abc import Callable
from typing import Any

_logger = logging.getLogger("genai_observability")


def replace(
    owner: type | None, name: str, noting: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[[], None]:
    """Put a function in the place of a method; returns what puts the method back.

    The method is left alone where somebody else has replaced it since.

    Args:
        owner: Class of the method; ``None`` for an API that this version of the client does not have.
        name: Its name.
        noting: Makes the function from the method.
    """
    if owner is None:
        return lambda: None
    original = owner.__dict__.get(name)
    if not callable(original):
        _logger.warning(
            "This version of openai has no %s.%s: what it tells of calls is not recorded.", owner.__name__, name
        )
        return lambda: None
    replaced = functools.wraps(original)(noting(original))
    setattr(owner, name, replaced)

    def undo() -> None:
        if owner.__dict__.get(name) is replaced:
            setattr(owner, name, original)

    return undo


def harmless(note: Callable[..., None]) -> Callable[..., None]:
    """A function that takes notes, whose faults are not the application's."""

    @functools.wraps(note)
    def careful(*args: Any) -> None:
        try:
            note(*args)
        except Exception:
            _logger.debug("A detail of a call could not be noted", exc_info=True)

    return careful
