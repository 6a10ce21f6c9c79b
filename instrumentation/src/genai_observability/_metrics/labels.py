"""A bound on the number of metric series that one process can make."""

from collections.abc import Callable, Mapping
from typing import Final

OTHER: Final = "_other"
"""What a value is counted as once its label, or the process, holds as many as it may."""


More = tuple[tuple[str, str], ...]
"""Labels besides, of one of a few values each."""


class Labels:
    """One combination of labels: the same object each time, which other things can be kept by."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values


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
        self._combinations: dict[tuple[tuple[str, str], ...], Labels] = {}
        self._overflowed: dict[tuple[str, ...], Labels] = {}

    def bound(self, labels: Mapping[str, str]) -> Labels:
        """The labels to record under."""
        found = self._combinations.get(tuple(labels.items()))
        if found is not None:  # nearly always
            return found
        bounded = {name: self.bound_value(name, value) for name, value in labels.items()}
        combination = tuple(bounded.items())
        found = self._combinations.get(combination)
        if found is None and len(self._combinations) < self._most_combinations:
            found = self._combinations[combination] = Labels(bounded)
        if found is None:
            self._on_overflow()
            found = self._overflowed.setdefault(tuple(bounded), Labels(dict.fromkeys(bounded, OTHER)))
        return found

    def bound_value(self, name: str, value: str) -> str:
        """The value to record of a single label."""
        seen = self._values.setdefault(name, set())
        if value in seen:
            return value
        if len(seen) < self._most_values:
            seen.add(value)
            return value
        self._on_overflow()
        return OTHER
