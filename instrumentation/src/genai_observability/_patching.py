"""Functions of the client, replaced by ones that also take notes."""

import functools
import logging
from collections.abc import Callable
from typing import Any

_logger = logging.getLogger("genai_observability")


def replace(owner: object, name: str, noting: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[], None]:
    """Put a function in the place of a method, its own or inherited; returns what puts the method back.

    The method is left alone where somebody else has replaced it since.

    Args:
        owner: Class of the method, or module of the function; ``None`` for an API that this version does not have.
        name: Its name.
        noting: Makes the function from the method.
    """
    if owner is None:
        return lambda: None
    own, original = vars(owner).get(name), getattr(owner, name, None)
    if not callable(original):
        _logger.warning(
            "This version of openai has no %s.%s: what it tells of calls is not recorded.",
            getattr(owner, "__name__", owner), name,
        )  # fmt: skip
        return lambda: None
    replaced = functools.wraps(original)(noting(original))
    setattr(owner, name, replaced)

    def undo() -> None:
        if vars(owner).get(name) is not replaced:
            return
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)

    return undo


def harmless(note: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes notes, whose faults are not the application's; ``None`` where it fails."""

    @functools.wraps(note)
    def careful(*args: Any, **kwargs: Any) -> Any:
        try:
            return note(*args, **kwargs)
        except Exception:
            _logger.debug("A detail of a call could not be noted", exc_info=True)
            return None

    return careful
