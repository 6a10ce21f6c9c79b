"""A made-up month of a busy application: which series there are, how fine, and how they come into a Prometheus.

The series of the application are as fine as it exports them (every 5 s) in the last 26 hours and every minute before;
what rules record is as fine as they are evaluated. `prometheus/distribution/fill` writes them as blocks.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any, Final

import yaml
from genai_observability import signals
from genai_observability.signals import Attribute, Metric, Part

from stack.rules.promql import SERVICE
from stack.thresholds import Duration
from stack.vocabulary import stored

Granularity = tuple[tuple[float, float], ...]
"""Pairs of hours before the end and seconds between two samples."""

Labels = dict[str, str]


class FillError(Exception):
    """The history cannot be written; one sentence."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series; a counter grows by ``mean`` a second, another has values around it."""

    name: str
    labels: Labels
    every: Granularity
    counter: bool = False
    mean: float = 1.0

    def line(self) -> str:
        """As the program reads it."""
        labels = {"__name__": self.name, **self.labels}
        return json.dumps({"labels": labels, "counter": self.counter, "mean": self.mean, "every": self.every})


_SERVICE: Final = dict(zip(SERVICE, ("shop", "production"), strict=True))

_FEATURES: Final = ("search", "chat", "summary", "advisor", "sorting", "translation")
_MODELS: Final = (("openai", "gpt-4o-mini"), ("azure.ai.openai", "gpt-4o"))
_TENANTS: Final = ("shop-eu", "shop-ch")

_CALLS: Final[tuple[dict[Attribute, str], ...]] = tuple(
    {
        signals.OPERATION: "chat",
        signals.FEATURE: feature,
        signals.TEAM: f"team-{index % 3}",
        signals.ENDPOINT: f"/{feature}",
        signals.TENANT: tenant,
        signals.PROVIDER: provider,
        signals.REQUEST_MODEL: model,
        signals.RESPONSE_MODEL: f"{model}-2026-01-01",
    }
    for (index, feature), (provider, model), tenant in product(enumerate(_FEATURES), _MODELS, _TENANTS)
)

_VALUES: Final[Mapping[Attribute, tuple[str, ...]]] = {
    signals.OUTCOME: ("success", "error"),
    signals.PHASE: tuple(signals.PHASE_SECONDS),
    signals.EVALUATION_NAME: ("groundedness", "user_feedback"),
    signals.EVALUATION_LABEL: ("up", "down"),
    signals.QUOTA_KIND: ("requests", "tokens"),
    signals.CACHE_RESULT: ("hit", "miss", "false_hit"),
    signals.BREAKER_STATE: ("closed", "open", "half_open"),
    signals.STEP_NAME: ("documents",),
    signals.PROMPT_VERSION: ("1", "2"),
    signals.SECURITY_KIND: ("prompt_injection", "pii"),
    signals.SECURITY_SOURCE: ("input", "output"),
    signals.UNPRICED: ("unknown_model", "no_usage"),
}
"""Of labels that a call does not have by itself; of others there is one value."""
_STEPS: Final = ("retrieval", "rerank", "execute_tool", "invoke_agent", "invoke_workflow")
_TOKEN_TYPES: Final = {signals.CALL_TOKENS: ("input", "output"), signals.CALL_TOKENS_DETAIL: ("cached", "reasoning")}


def application(days: float) -> list[Series]:
    """The series that the application exports in so many days."""
    every = ((24.0 * days, 60.0), (26.0, 5.0))
    return [
        Series(name, labels, every, counter=metric.kind != "gauge", mean=0.05)
        for metric in signals.METRICS
        for name, labels in map(_named, _exported(metric))
    ]


def recorded(root: Path, expressions: Iterable[str], days: float) -> list[Series]:
    """The series that these expressions read of what the rules record, with the labels that theirs are summed by."""
    names = {name for expr in expressions for name in re.findall(r"\b\w+:\w+:\w+", expr)}
    rules = sorted((root / "prometheus" / "rules").glob("*.yaml"))
    known: dict[str, list[Labels]] = {}
    for metric in signals.METRICS:
        for exported in _exported(metric):
            known.setdefault(_base(_named(exported)[0]), []).append(exported.labels)
    all_rules = list(_recordings(rules))
    found: dict[str, Series] = {}
    for group, rule in (*all_rules, *all_rules):  # twice: a rule may read what one of a later file records
        mentioned = [labels for name in re.findall(r"[\w:]+", rule["expr"]) for labels in known.get(_base(name), ())]
        own, every = rule.get("labels", {}), ((24.0 * days, Duration(group["interval"]).seconds),)
        for labels in _projected(mentioned or [_SERVICE], _summed_by(rule["expr"])):
            each = Series(rule["record"], {**labels, **own}, every)
            if each.line() not in found:
                found[each.line()] = each
                known.setdefault(each.name, []).append(each.labels)
    return [each for each in found.values() if each.name in names]


def fill(
    program: Path, directory: Path, series: Iterable[Series], *, end: datetime, on_block: Callable[[int], object]
) -> None:
    """Writes the series into the data directory of a Prometheus; ``on_block`` is told of the samples of each half day.

    Raises:
        FillError: the program is missing, or says what is wrong.
    """
    command = [str(program), "--directory", str(directory), "--end", f"{end:%Y-%m-%dT%H:%M:%SZ}"]
    try:
        child = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"TMPDIR": str(directory.parent)},  # what it leaves when it is killed goes with its data
        )  # fmt: skip
    except OSError as error:
        raise FillError(f"{program} cannot be run ({error.strerror}): build it with `make up`.") from error
    with child:
        assert child.stdin  # noqa: S101 - as they are pipes
        assert child.stdout  # noqa: S101
        assert child.stderr  # noqa: S101
        try:
            child.stdin.writelines(f"{each.line()}\n" for each in series)
            child.stdin.close()
            for line in child.stdout:
                on_block(int(line.split()[1]))
            complaint = child.stderr.read().strip()
        except BaseException:  # interrupted, it must not write on into a folder that is being deleted
            child.kill()
            child.wait()
            raise
    if child.returncode:
        raise FillError(complaint or f"{program} ended with {child.returncode}.")


@dataclass(frozen=True, slots=True)
class _Exported:
    """One series of a metric of the catalogue."""

    metric: Metric
    part: Part
    labels: Labels


def _named(series: _Exported) -> tuple[str, Labels]:
    """Its name and labels, as an application exports it."""
    labels = stored(series.metric, series.labels, series.part)
    return labels.pop("__name__"), labels


def _exported(metric: Metric) -> Iterator[_Exported]:
    """All series of a metric."""
    is_step = signals.STEP_NAME in metric.labels
    own = [label for label in metric.labels if label not in _CALLS[0] and label != signals.ERROR_TYPE]
    own += [signals.OPERATION] if is_step else []
    seen: set[tuple[str, ...]] = set()
    for call, values in product(_CALLS, product(*(_values(metric, label) for label in own))):
        known = {label: call[label] for label in metric.labels if label in call} | dict(zip(own, values, strict=True))
        if signals.ERROR_TYPE in metric.labels and known.get(signals.OUTCOME) == "error":
            known[signals.ERROR_TYPE] = "APITimeoutError"
        labels = _SERVICE | {label.label: value for label, value in known.items()}
        if (key := tuple(labels.values())) not in seen:
            seen.add(key)
            yield from _parts(metric, labels)


def _values(metric: Metric, label: Attribute) -> tuple[str, ...]:
    if label == signals.TOKEN_TYPE:
        return _TOKEN_TYPES[metric]
    if label == signals.OPERATION:
        return _STEPS
    return _VALUES.get(label, ("one",))


def _parts(metric: Metric, labels: Labels) -> Iterator[_Exported]:
    for part in metric.parts:
        bounds = (*(f"{each:g}" for each in metric.buckets), "+Inf") if part == "bucket" else ()
        within = [{**labels, "le": bound} for bound in bounds] or [labels]
        yield from (_Exported(metric, part, each) for each in within)


def _recordings(rules: Iterable[Path]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for path in rules:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    yield group, rule


def _base(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name) if ":" not in name else name


def _summed_by(expr: str) -> tuple[str, ...] | None:
    """The labels that are left, where the expression says so; else all are."""
    found = re.search(r"\bby \(([^)]*)\)", expr)
    return tuple(name.strip() for name in found[1].split(",")) if found else None


def _projected(sets: Iterable[Labels], by: tuple[str, ...] | None) -> list[Labels]:
    left = ({name: value for name, value in labels.items() if by is None or name in by} for labels in sets)
    return list({tuple(sorted(labels.items())): labels for labels in left}.values())
