"""What Alertmanager is silent about: the rules of inhibition in its configuration, applied to a replay's firings.

Their meaning is that of https://prometheus.io/docs/alerting/latest/configuration/#inhibition-related-settings.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import yaml

from stack.replay.engine import Firing

_Sources = dict[tuple[str, ...], list[Firing]]

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

    def key(self, firing: Firing) -> tuple[str, ...]:
        """What a source and a target have in common."""
        return tuple(firing.labels.get(name, "") for name in self.equal)


def rules(configuration: Path) -> tuple[Rule, ...]:
    """The rules of an alertmanager.yml."""
    read = yaml.safe_load(configuration.read_text(encoding="utf-8"))["inhibit_rules"]
    return tuple(
        Rule(_matchers(each["source_matchers"]), _matchers(each["target_matchers"]), tuple(each.get("equal", ())))
        for each in read
    )


def told(firings: Sequence[Firing], inhibited_by: Iterable[Rule]) -> list[Firing]:
    """The firings from the moment on when nothing silences them; without those that end before that."""
    ordered = sorted(firings, key=lambda each: each.begun)
    known = [(rule, _by_key(rule, ordered)) for rule in inhibited_by]
    begun = (
        (each, _audible(each, [one for rule, sources in known for one in _silencing(each, rule, sources)]))
        for each in ordered
    )
    audible = (replace(each, begun=since) for each, since in begun if since is not None)
    return sorted(audible, key=lambda each: each.begun)


def _by_key(rule: Rule, firings: Sequence[Firing]) -> _Sources:
    found: _Sources = {}
    for each in firings:
        if _match(rule.source, each):
            found.setdefault(rule.key(each), []).append(each)
    return found


def _silencing(firing: Firing, rule: Rule, sources: _Sources) -> Iterator[Firing]:
    if _match(rule.target, firing):
        yield from (one for one in sources.get(rule.key(firing), ()) if one is not firing)


def _match(matchers: Sequence[Matcher], firing: Firing) -> bool:
    return all(matcher.matches(firing.labels) for matcher in matchers)


def _audible(firing: Firing, sources: Sequence[Firing]) -> datetime | None:
    """The first moment at which none of the sources fires beside it."""
    moment = firing.begun
    for source in sorted(sources, key=lambda each: each.begun):
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
