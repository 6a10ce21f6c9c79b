"""Under which names the stack reads the metrics of model calls: the one place that knows how either vocabulary is made.

Rules, dashboards and reports ask for a metric of the catalogue by its old name. Where the settings choose the new names
of OpenTelemetry's conventions, it is found under several, some of which are counters in place of a histogram.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import groupby
from typing import Final

from genai_observability import signals
from genai_observability.signals import Metric, Part, Place, Vocabulary

from stack.settings import Settings

_CONDITION: Final = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')
_CONDITIONS: Final = re.compile(r'\w+(?:=~|!~|!=|=)"[^"]*"')


@cache
def chosen() -> Vocabulary:
    """The vocabulary that the settings choose; where applications are to emit both, the new one.

    Raises:
        SettingsError: the settings cannot be read.
    """
    return signals.vocabularies(Settings.load().opt_in)[-1]


def over(make: Callable[[str], str], metric: Metric, *conditions: str, part: Part = "", separator: str = ",") -> str:
    """What ``make`` makes of a selector, for all series of the metric: or-ed, where they are found by several.

    Args:
        make: An expression from a selector, such as its rate.
        metric: By its old name.
        conditions: On labels of the metric, as PromQL has them.
        part: Needed for a histogram, and only there.
        separator: Between conditions.

    Raises:
        ValueError: the metric lacks the part, or nothing fits the conditions.
    """
    found = list(_sources(metric, conditions, part, separator))
    if len(found) == 1:
        return make(found[0][0])
    return f"({' or '.join(_labelled(make(selector), means) for selector, means in found)})"


def selector(metric: Metric, *conditions: str, part: Part = "", separator: str = ",") -> str:
    """A selector of all series of the metric; arguments and errors are those of ``over``.

    Raises:
        ValueError: also where one selector is not enough: take ``over``, or choose by label.
    """
    found = list(_sources(metric, conditions, part, separator))
    if len(found) != 1:
        raise ValueError(f"{metric.name} is in {len(found)} places")
    return found[0][0]


def stored(metric: Metric, labels: Mapping[str, str], part: Part = "") -> dict[str, str]:
    """The labels of a series, its name among them, as an application with the chosen names has it in Prometheus."""
    fitting = [place for place in signals.places(metric, part, chosen()) if _means(place).items() <= labels.items()]
    embeddings = labels.get(signals.OPERATION.label) == "embeddings"
    place = next((each for each in fitting if (each.metric in signals.OF_EMBEDDINGS) is embeddings), fitting[0])
    kept = {name: value for name, value in labels.items() if name not in _means(place)}
    if signals.TOKEN_MODALITY in place.metric.labels:
        kept[signals.TOKEN_MODALITY.label] = "unknown"
    return {"__name__": place.series, **kept, **{attribute.label: value for attribute, value in place.only}}


def translated(text: str) -> str:
    """A text in which queries that are written in the old names ask for the chosen ones.

    One that needs more than another selector is left as it is.
    """
    if chosen() == "old":
        return text
    renamed = {
        metric.series(part): (metric, part)
        for metric in set(signals.emitted("old")) - set(signals.emitted("new"))
        for part in metric.parts
    }

    def replaced(found: re.Match[str]) -> str:
        metric, part = renamed[found[1]]
        try:
            return selector(metric, *_CONDITIONS.findall(found[2] or ""), part=part)
        except ValueError:
            return found[0]

    return re.sub(rf"(?<![\w:])({'|'.join(renamed)})\b({{[^}}]*}})?", replaced, text)


def _sources(
    metric: Metric, conditions: tuple[str, ...], part: Part, separator: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Selectors, each with the labels of the metric that its series stand for."""
    fitting = [
        place
        for place in signals.places(metric, part, chosen())
        if all(_holds(condition, _means(place)) for condition in conditions)
    ]
    if not fitting:
        raise ValueError(f"{metric.name} has nothing of {separator.join(conditions)}")
    # Those that stand for the same are one selector: their series differ by label, too.
    for (means, only), places in groupby(fitting, lambda place: (place.means, place.only)):
        labels = {attribute.label: value for attribute, value in means}
        names = [place.series for place in places]
        alternatives = [f'__name__=~"{"|".join(names)}"'] if len(names) > 1 else []
        of_place = [f'{attribute.label}="{value}"' for attribute, value in only]
        others = [condition for condition in conditions if not _is_about(condition, labels)]
        inside = separator.join((*alternatives, *of_place, *others))
        name = "" if alternatives else names[0]
        yield f"{name}{{{inside}}}" if inside else name, labels


def _means(place: Place) -> dict[str, str]:
    return {attribute.label: value for attribute, value in place.means}


def _is_about(condition: str, labels: Mapping[str, str]) -> bool:
    found = _CONDITION.fullmatch(condition)
    return bool(found and found[1] in labels)


def _holds(condition: str, labels: Mapping[str, str]) -> bool:
    """Whether these labels fulfil the condition, or it is about others."""
    found = _CONDITION.fullmatch(condition)
    if not found or found[1] not in labels:
        return True
    value = labels[found[1]]
    equal = bool(re.fullmatch(found[3], value)) if "~" in found[2] else value == found[3]
    return equal is not found[2].startswith("!")


def _labelled(expr: str, labels: Mapping[str, str]) -> str:
    for label, value in labels.items():
        expr = f'label_replace({expr}, "{label}", "{value}", "", "")'
    return expr
