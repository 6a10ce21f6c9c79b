"""The attribution in force, by the block that set it."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple

from genai_observability._calls.call import Value


class Scope(NamedTuple):
    """The attributes in force within a block, whose ``owner`` ends it."""

    owner: object
    attributes: Mapping[str, Value]
    outer: "Scope | None"


scope: Final[ContextVar[Scope | None]] = ContextVar("genai_observability_attribution", default=None)
