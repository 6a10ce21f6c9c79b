"""What Alertmanager is silent about: the rules of inhibition in its configuration, applied to a replay's firings.

Their meaning is that of https://prometheus.io/docs/alerting/latest/configuration/#inhibition-related-settings.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import yaml

from stack.replay.engine import Firing

_MATCHER: Final = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label; one that is missing is empty."""

    label: str
    operator: str
    value: str

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether the labels meet it."""
        found = labels.get(self.label, "")
        equal = bool(re.fullmatch(self.value, found)) if self.operator.endswith("~") else found == self.value
        return equal is not self.operator.startswith("!")


@dataclass(frozen=True, slots=True)
class Rule:
    """As long as a source fires, a target with the same values of some labels is not told of."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]

    def silences(self, source: Firing, target: Firing) -> bool:
        """Whether the one is a reason not to tell of the other while both fire."""
        return (
            source is not target
            and all(matcher.matches(source.labels) for matcher in self.source)
            and all(matcher.matches(target.labels) for matcher in self.target)
            and all(source.labels.get(name, "") == target.labels.get(name, "") for name in self.equal)
        )


def rules(configuration: Path) -> tuple[Rule, ...]:
    """The rules of an alertmanager.yml."""
    read = yaml.safe_load(configuration.read_text(encoding="utf-8"))["inhibit_rules"]
    return tuple(
        Rule(_matchers(each["source_matchers"]), _matchers(each["target_matchers"]), tuple(each.get("equal", ())))
        for each in read
    )


def told(firings: Sequence[Firing], inhibited_by: Iterable[Rule]) -> list[Firing]:
    """The firings from the moment on when nothing silences them; without those that end before that."""
    known = tuple(inhibited_by)
    ordered = sorted(firings, key=lambda each: each.begun)
    begun = (
        (each, _audible(each, [one for one in ordered if any(r.silences(one, each) for r in known)]))
        for each in ordered
    )
    audible = (replace(each, begun=since) for each, since in begun if since is not None)
    return sorted(audible, key=lambda each: each.begun)


def _audible(firing: Firing, sources: Sequence[Firing]) -> datetime | None:
    """The first moment at which none of the sources, in the order in which they begin, fires beside it."""
    moment = firing.begun
    for source in sources:
        if source.begun <= moment and (source.ended is None or source.ended > moment):
            if source.ended is None:
                return None
            moment = source.ended
    return moment if firing.ended is None or moment < firing.ended else None


def _matchers(texts: Sequence[str]) -> tuple[Matcher, ...]:
    return tuple(Matcher(*_parts(text)) for text in texts)


def _parts(text: str) -> tuple[str, ...]:
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is no matcher such as severity="critical"')
    return found.groups()
