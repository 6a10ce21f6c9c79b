"""Reads the parts that requests of both APIs have in common, and refuses what is not understood."""

from collections.abc import Mapping, Sequence
from typing import Any

from demo.provider.answers import BadRequestError


def text_of(content: object) -> str:
    """The text of a message: a string, or a list of parts of which the textual ones count."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, Mapping) and "text" in part)
    return ""


def required(body: Mapping[str, Any], name: str, *kinds: type) -> Any:
    """A parameter that must be there.

    Raises:
        BadRequestError: it is missing, or of another type.
    """
    if name not in body:
        raise BadRequestError(f"Missing required parameter: '{name}'.")
    if not isinstance(body[name], kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise BadRequestError(f"Invalid type for '{name}': expected {expected}, got {type(body[name]).__name__}.")
    return body[name]


def limit(body: Mapping[str, Any], *names: str) -> int | None:
    """The limit of output tokens, under the first of its names that is given.

    Raises:
        BadRequestError: it is no positive whole number.
    """
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadRequestError(f"Invalid value for '{name}': expected a whole number of at least 1, got {value!r}.")
        return value
    return None


def forced_tool(tools: dict[str, Mapping[str, Any]], choice: object) -> dict[str, Mapping[str, Any]]:
    """The tools that may be called under this ``tool_choice``: all of them, one of them or none."""
    if choice == "none":
        return {}
    if isinstance(choice, Mapping):
        name = choice.get("name") or choice.get("function", {}).get("name")
        return {name: tools[name]} if name in tools else tools
    return tools
