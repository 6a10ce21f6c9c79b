"""A bound on the number of metric series that one process can make."""

from collections.abc import Callable, Mapping
from typing import Final

OTHER: Final = "_other"
"""What a value is counted as once its label, or the process, holds as many as it may."""


class LabelBudget:
    """Lets the first values of each label through, and the first combinations of them; the rest becomes ``_other``.

    One label set costs about 60 series, mostly histogram buckets. The bound holds whatever the application passes:
    a user's text as a feature name makes 100 series sets, not one for each user.
    """

    def __init__(self, *, values: int = 100, combinations: int = 300, on_overflow: Callable[[], None]) -> None:
        """``values`` bounds each label, ``combinations`` all of them together."""
        self._most_values = values
        self._most_combinations = combinations
        self._on_overflow = on_overflow
        self._values: dict[str, set[str]] = {}
        self._combinations: set[tuple[tuple[str, str], ...]] = set()

    def bound(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The labels to record under."""
        if tuple(labels.items()) in self._combinations:  # nearly always
            return dict(labels)
        bounded = {name: self._bound_value(name, value) for name, value in labels.items()}
        combination = tuple(bounded.items())
        if combination in self._combinations:
            return bounded
        if len(self._combinations) < self._most_combinations:
            self._combinations.add(combination)
            return bounded
        self._on_overflow()
        return dict.fromkeys(bounded, OTHER)

    def _bound_value(self, name: str, value: str) -> str:
        seen = self._values.setdefault(name, set())
        if value in seen:
            return value
        if len(seen) < self._most_values:
            seen.add(value)
            return value
        self._on_overflow()
        return OTHER
