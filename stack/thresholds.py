"""The thresholds of all alerts, read from one file that users edit and checked down to the line."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_type_hints

import yaml

FILE: Final = Path(__file__).with_suffix(".yaml")

_DURATION = re.compile(r"\d+[smh]")
_WEB_ADDRESS = re.compile(r"https?://[^\s/]+(/\S*)?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]*")

Severity = Literal["warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("warning", "critical")

T = TypeVar("T")


class ThresholdsError(Exception):
    """The file has a fault; the message names file, line and key."""


class Duration(str):
    """A Prometheus duration with one unit, such as ``15m``."""

    __slots__ = ()


class WebAddress(str):
    """An http or https address without a slash at its end."""

    __slots__ = ()


class Name(str):
    """A name that is fit for a label and for a route."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """Fires when a value is above the limit for a time."""

    above: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class Links:
    """Where the links of an alert lead."""

    runbooks: WebAddress
    dashboard: WebAddress


@dataclass(frozen=True, slots=True)
class Burst:
    """A share of calls that is critical at once, and the least number of affected calls that counts."""

    critical: Limit
    min_calls: int


@dataclass(frozen=True, slots=True)
class Limits:
    """A value that is first a warning, then critical."""

    warning: Limit
    critical: Limit

    def at(self, severity: Severity) -> Limit:
        """The limit of a severity."""
        return self.warning if severity == "warning" else self.critical


@dataclass(frozen=True, slots=True)
class Share(Limits):
    """A share of calls, and the least number of affected calls that counts."""

    min_calls: int


@dataclass(frozen=True, slots=True)
class Latency(Limits):
    """Seconds, and the least number of calls that makes them meaningful."""

    min_calls: int


@dataclass(frozen=True, slots=True)
class NoSuccess:
    """The least number of calls without a success."""

    min_calls: int


@dataclass(frozen=True, slots=True)
class ServerDown:
    """How long a server of the stack may be away."""

    for_: Duration


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The whole file; its comments explain each value."""

    owner: Name
    links: Links
    error_burst: Burst
    error_ratio: Share
    latency_p95: Latency
    rate_limited: Share
    no_success: NoSuccess
    hourly_cost: Limits
    server_down: ServerDown

    @classmethod
    def load(cls, path: Path = FILE) -> "Thresholds":
        """Read and check the file.

        Raises:
            ThresholdsError: it cannot be read, or a key is unknown, missing, double, of the wrong type or out of range.
        """
        return _Reader(path).read(cls)


class _Reader:
    """Turns the nodes of a YAML file into dataclasses; the nodes know their lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # What a value of each type must be, and how it is read.
        self._scalars: dict[type, tuple[str, Callable[[str], Any]]] = {
            float: ("a number of 0 or more", _number),
            int: ("a whole number of 1 or more", _count),
            Duration: ('a duration such as "15s", "10m" or "1h"', _matching(_DURATION, Duration)),
            WebAddress: (
                "an http or https address",
                _matching(_WEB_ADDRESS, lambda text: WebAddress(text.rstrip("/"))),
            ),
            Name: ("a name of letters, digits, blanks, dots, dashes and underscores", _matching(_LABEL_VALUE, Name)),
        }

    def read(self, kind: type[T]) -> T:
        try:
            node = yaml.compose(self._path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError) as error:
            raise ThresholdsError(f"{self._path} cannot be read: {error}.") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ThresholdsError(f"{self._path}, line {line}: not valid YAML: {error.problem}.") from error
        except yaml.YAMLError as error:
            raise ThresholdsError(f"{self._path}: not valid YAML: {error}.") from error
        if node is None:
            raise ThresholdsError(f"{self._path} is empty.")
        return self._object(node, kind, "")

    def _object(self, node: yaml.Node, kind: type[T], key: str) -> T:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, key or "the file", "must have keys below it")
        found = self._children(node, key)
        hints = get_type_hints(kind)
        wanted = {name.removesuffix("_"): hints[name] for name in hints}
        for name, (name_node, _) in found.items():
            if name not in wanted:
                raise self._error(name_node, _join(key, name), f"is unknown; known here: {', '.join(wanted)}")
        for name in wanted:
            if name not in found:
                raise self._error(node, _join(key, name), "is missing")
        values = {name: self._value(found[name][1], hint, _join(key, name)) for name, hint in wanted.items()}
        self._check(node, kind, key, values)
        return kind(**{field: values[field.removesuffix("_")] for field in hints})

    def _children(self, node: yaml.MappingNode, key: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for name_node, value_node in node.value:
            name = str(name_node.value)
            if name in found:
                raise self._error(name_node, _join(key, name), "is given twice")
            found[name] = (name_node, value_node)
        return found

    def _value(self, node: yaml.Node, kind: type[Any], key: str) -> object:
        if kind not in self._scalars:
            return self._object(node, kind, key)
        expected, read = self._scalars[kind]
        if isinstance(node, yaml.ScalarNode):
            try:
                return read(node.value)
            except ValueError:
                pass
        shown = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or a group of keys"
        raise self._error(node, key, f"must be {expected}, but is {shown}")

    def _check(self, node: yaml.Node, kind: type[Any], key: str, values: Mapping[str, Any]) -> None:
        """What concerns more than one value."""
        limits: dict[str, Limit] = {name: value for name, value in values.items() if isinstance(value, Limit)}
        if kind in (Share, Burst):
            for name, limit in limits.items():
                if limit.above >= 1:
                    raise self._error(node, f"{key}.{name}.above", "is a share and must be below 1 (5 % is 0.05)")
        if {"warning", "critical"} <= limits.keys() and limits["warning"].above >= limits["critical"].above:
            raise self._error(node, key, "must warn below the value that is critical")

    def _error(self, node: yaml.Node, key: str, problem: str) -> ThresholdsError:
        return ThresholdsError(f"{self._path}, line {node.start_mark.line + 1}: {key} {problem}.")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ValueError(text)
    return int(text)


def _matching(pattern: re.Pattern[str], kind: Callable[[str], T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        if not pattern.fullmatch(text):
            raise ValueError(text)
        return kind(text)

    return read
