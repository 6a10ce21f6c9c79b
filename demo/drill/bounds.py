"""How long each alert may take by its own rule, read from the rules that the stack runs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ALLOWANCE: Final = 20.0
"""Seconds for export, evaluation and delivery, on top of an alert's window and patience."""

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_RANGE: Final = re.compile(r"\[([0-9a-z]+)(?::[0-9a-z]*)?[^\]]*\]")
_RECORDED: Final = re.compile(r"\b\w+(?::\w+)+\b")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: the longest window that an alert looks at, how long it must be true, and how long it stays."""

    window: float
    for_: float
    keep: float

    @property
    def bound(self) -> float:
        """The time from the fault to the message."""
        return self.window + self.for_ + ALLOWANCE


class Rules:
    """All rules in a folder."""

    def __init__(self, folder: Path) -> None:
        rules = [
            rule
            for file in sorted(folder.rglob("*.yaml"))
            for group in (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("groups", ())
            for rule in group["rules"]
        ]
        self._alerts: list[dict[str, Any]] = [rule for rule in rules if "alert" in rule]
        self._recorded: dict[str, str] = {rule["record"]: rule["expr"] for rule in rules if "record" in rule}

    def has(self, name: str, severity: str) -> bool:
        """Whether there is such an alert."""
        return any(True for _ in self._of(name, severity))

    def patience(self, name: str, severity: str, **labels: str) -> Patience:
        """Of the alert; where there are several of that name and severity, of the quickest."""
        return min(
            (
                Patience(
                    window=self._window(rule["expr"], seen=frozenset()),
                    for_=seconds(rule.get("for", "0s")),
                    keep=seconds(rule.get("keep_firing_for", "0s")),
                )
                for rule in self._of(name, severity)
                if _fits(rule["labels"], labels)
            ),
            key=lambda patience: patience.bound,
        )

    def _of(self, name: str, severity: str) -> Iterable[dict[str, Any]]:
        return (rule for rule in self._alerts if rule["alert"] == name and rule["labels"]["severity"] == severity)

    def _window(self, expr: str, *, seen: frozenset[str]) -> float:
        """The longest range in the expression and in the recorded series that it reads."""
        windows = [seconds(text) for text in _RANGE.findall(expr)]
        read = (set(_RECORDED.findall(expr)) - seen) & self._recorded.keys()
        windows += [self._window(self._recorded[name], seen=seen | {name}) for name in read]
        return max(windows, default=0.0)


def seconds(duration: str) -> float:
    """A Prometheus duration, such as ``1h30m``."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", duration))


def _fits(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """A label of the rule that is a template fits anything."""
    return all("{{" in labels.get(name, "{{") or labels[name] == value for name, value in wanted.items())
