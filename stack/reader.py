"""Reads a YAML file that users edit into dataclasses, and names the line and the key of every fault."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import yaml

_LABEL_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]*")
_WEB_ADDRESS = re.compile(r"https?://[^\s/]+(/\S*)?")

T = TypeVar("T")

Scalar = tuple[str, Callable[[str], Any]]
"""What a value of a type must be, in words, and how it is read; reading raises ValueError."""


class FileError(Exception):
    """A file that users edit has a fault; the message names file, line and key."""


class FaultError(ValueError):
    """Raised by a dataclass whose values do not fit together: the key below it, or nothing for all of it, and why."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key} {problem}")
        self.key = key
        self.problem = problem


class WebAddress(str):
    """An http or https address without a slash at its end."""

    __slots__ = ()


class Name(str):
    """A name that is fit for a label and for a route."""

    __slots__ = ()


def matching(pattern: re.Pattern[str], kind: Callable[[str], T]) -> Callable[[str], T]:
    """Reads a text that the pattern fits from its start to its end."""

    def read(text: str) -> T:
        if not pattern.fullmatch(text):
            raise ValueError(text)
        return kind(text)

    return read


_COMMON: Final[Mapping[type, Scalar]] = {
    WebAddress: ("an http or https address", matching(_WEB_ADDRESS, lambda text: WebAddress(text.rstrip("/")))),
    Name: ("a name of letters, digits, blanks, dots, dashes and underscores", matching(_LABEL_VALUE, Name)),
}


class Reader:
    """Turns the nodes of a YAML file into dataclasses; the nodes know their lines.

    A field is one of the scalars, a dataclass, a ``tuple[scalar, ...]`` or a ``dict[scalar, dataclass]``. Its key is
    its name, without an underscore at the end; a field with a default may be left out.
    """

    def __init__(self, path: Path, scalars: Mapping[type, Scalar], *, error: type[FileError] = FileError) -> None:
        self._path = path
        self._scalars = {**_COMMON, **scalars}
        self._error_type = error

    def read(self, kind: type[T]) -> T:
        """The whole file as one dataclass.

        Raises:
            FileError: it cannot be read, or a key is unknown, missing, double, of the wrong type or out of range.
        """
        try:
            node = yaml.compose(self._path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError) as error:
            raise self._error_type(f"{self._path} cannot be read: {error}.") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise self._error_type(f"{self._path}, line {line}: not valid YAML: {error.problem}.") from error
        except yaml.YAMLError as error:
            raise self._error_type(f"{self._path}: not valid YAML: {error}.") from error
        if node is None:
            raise self._error_type(f"{self._path} is empty.")
        return self._object(node, kind, "")

    def _object(self, node: yaml.Node, kind: type[T], key: str) -> T:
        found = self._children(node, key)
        hints = get_type_hints(kind)
        wanted = {name.removesuffix("_"): hint for name, hint in hints.items()}
        optional = {each.name.removesuffix("_") for each in fields(kind) if each.default is not MISSING}  # type: ignore[arg-type]
        for name, (name_node, _) in found.items():
            if name not in wanted:
                raise self._error(name_node, _join(key, name), f"is unknown; known here: {', '.join(wanted)}")
        for name in wanted:
            if name not in found and name not in optional:
                raise self._error(node, _join(key, name), "is missing")
        values = {
            field: self._value(found[name][1], hint, _join(key, name))
            for field, hint in hints.items()
            if (name := field.removesuffix("_")) in found
        }
        try:
            return kind(**values)
        except FaultError as fault:
            place = found[fault.key][0] if fault.key in found else node
            raise self._error(place, _join(key, fault.key), fault.problem) from fault

    def _children(self, node: yaml.Node, key: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, key or "the file", "must have keys below it")
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for name_node, value_node in node.value:
            name = str(name_node.value)
            if name in found:
                raise self._error(name_node, _join(key, name), "is given twice")
            found[name] = (name_node, value_node)
        return found

    def _value(self, node: yaml.Node, kind: Any, key: str) -> object:
        if get_origin(kind) is UnionType:
            kind = get_args(kind)[0]  # optional: it may be left out, but not be given as nothing
        if get_origin(kind) is tuple:
            if not isinstance(node, yaml.SequenceNode):
                raise self._error(node, key, "must be a list, such as [a, b]")
            return tuple(self._scalar(item, get_args(kind)[0], key) for item in node.value)
        if get_origin(kind) is dict:
            names, values = get_args(kind)
            return {
                self._scalar(name_node, names, _join(key, name)): self._object(value_node, values, _join(key, name))
                for name, (name_node, value_node) in self._children(node, key).items()
            }
        if kind in self._scalars:
            return self._scalar(node, kind, key)
        return self._object(node, kind, key)

    def _scalar(self, node: yaml.Node, kind: type[Any], key: str) -> object:
        expected, read = self._scalars[kind]
        if isinstance(node, yaml.ScalarNode):
            try:
                return read(node.value)
            except ValueError:
                pass
        shown = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or a group of keys"
        raise self._error(node, key, f"must be {expected}, but is {shown}")

    def _error(self, node: yaml.Node, key: str, problem: str) -> FileError:
        return self._error_type(f"{self._path}, line {node.start_mark.line + 1}: {key} {problem}.")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key and name else key or name
