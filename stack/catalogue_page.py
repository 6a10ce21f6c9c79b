"""Writes docs/catalogue.md: ``python -m stack.catalogue_page``; with ``--check`` it only says whether that is stale."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from genai_observability import signals
from genai_observability.signals import Attribute, Metric, Place

from stack import generated_page

_INTRODUCTION: Final = """\
<!-- Written by `make generate` from instrumentation/src/genai_observability/signals/. Change that, not this page. -->

# Catalogue: every signal

What the package emits, all of it. Dashboards, rules and this page come from the same list; a query that names anything
else fails the tests.

**Status** says how settled a name is in OpenTelemetry's conventions for generative AI: `stable`, `development`,
`proposed`, or `own` where no convention covers it.

Two sums that are easy to get wrong: input tokens already include the cached ones, output tokens already include the
reasoning ones.
"""

_METRICS: Final = """\
A histogram has three kinds of series: `…_count`, `…_sum` and `…_bucket`. To count exactly, from the first event on:
`increase(NAME[5m] anchored)`.

Every metric also carries `job` (the service), `instance` (the process) and, where it is set,
`deployment_environment_name`.
"""

_NAMES: Final = """\
The conventions renamed the metrics of model calls when they moved to
[a repository of their own](https://github.com/open-telemetry/semantic-conventions-genai/tree/v0.1.0/docs/gen-ai):
**old** are the names of semantic-conventions 1.41, **new** those of semantic-conventions-genai 0.1. Nothing but the
names of these metrics is concerned: spans, logs, the usage warehouse and all other metrics are the same in both.

An application emits what the standard variable `{variable}` says, a list with commas in
which other instrumentations have their words too:

| in the list | emitted |
| --- | --- |
| nothing of these (default) | old names |
| `gen_ai_latest_experimental` | new names |
| `gen_ai_latest_experimental/dup` | both: twice the series of these metrics, for the time of a change |

The stack reads one vocabulary: the old one, or, with either of these words in the same variable in `.env`, the new
one. After `make generate` and `make up` rules and dashboards are written for it, and the inbox with its runbooks,
`make demo` and `make preview` ask for it. Dashboards and queries of your own you change yourself, by the table below;
other pages of this documentation write the old names. To change a running system without a gap:

1. Give the applications `gen_ai_latest_experimental/dup`, and start them anew.
2. An hour later, which is the longest window in which a rule looks at these metrics, change the stack as above. What
   the rules record (`history:…` and all other names with a colon) keeps its name and goes on.
3. Give the applications `gen_ai_latest_experimental`, and `genai-observability doctor --check` the same.

What is the same under another name; a query takes all rows of what it asks for together:

{table}
What differs: calls for embeddings have metrics of their own, and all others are inferences, also those that ask for
images, speech or a moderation. Tokens are told apart by modality; those that the provider does not tell apart are
`unknown`. The time to the first chunk is new; the time to the first token, which no convention has, stays as it is, and
alerts and dashboards go by that. Buckets are those of the old names, not those that the conventions propose: thresholds
and objectives are bounds of them. A count of 0 is not recorded.
"""

_LABELS: Final = """\
Those of every call are {labels}.
A label without a value is absent. One with too many values goes on as `_other`.
"""

_ATTRIBUTES: Final = """\
Spans and log records have the name of the first column; in Prometheus and Loki (not in VictoriaLogs) dots are
underscores (`app.feature` is `app_feature`).

**Bounded** values are few, so that they may be labels of a metric. The unbounded ones (users, sessions, ids) are on
spans and in the log alone.
**On** says which signal carries it: `span` (of a model call), `step` (the span of a chain's step),
`log` (the request log, `event.name` = `{call}`),
`score` (the log of scores and feedback, `event.name` = `{evaluation}`),
`finding` (the log of signs of attacks and leaks, `event.name` = `{security}`),
`flag` (the log of feature flags, `event.name` = `{flag}`), `metric`.
"""

_METADATA: Final = """\
`{prefix}*` is the free metadata of `attributed_to(metadata=…)`: unbounded, on spans and in both logs.
"""

_METRICS_OF_BOTH: Final = signals.emitted("old", "new")
_NOT_ON_SPANS: Final = {*signals.RECORD_FIELDS, signals.ERROR_MESSAGE, signals.DURATION, signals.BATCH}
"""Fields of the request log that a span has no attribute for: its status and its times say them, or it is not made."""


def main(arguments: list[str] | None = None) -> int:
    """Write or check the page; 1 where it cannot be written or, checking, is stale."""
    return generated_page.main("stack.catalogue_page", "catalogue.md", page, arguments)


def page() -> str:
    """The whole page."""
    metrics = ("OpenTelemetry name", "in Prometheus", "type", "unit", "names", "status", "meaning")
    attributes = ("name", "type", "unit", "bounded", "on", "status", "meaning")
    return "\n".join(
        [
            _INTRODUCTION,
            "## Metrics\n",
            _METRICS,
            _table(metrics, map(_metric, _METRICS_OF_BOTH)),
            "### Labels of each metric\n",
            _LABELS.format(labels=_names(signals.CALL_LABELS)),
            _table(("metric", "labels"), map(_labels, _METRICS_OF_BOTH)),
            "### Old and new names\n",
            _NAMES.format(variable=signals.OPT_IN_VARIABLE, table=_table(("old", "new"), _renamed())),
            "## Attributes and log fields\n",
            _ATTRIBUTES.format(
                call=signals.CALL_EVENT,
                evaluation=signals.EVALUATION_EVENT,
                security=signals.SECURITY_EVENT,
                flag=signals.FLAG_EVENT,
            ),
            _table(attributes, map(_attribute, signals.attributes())),
            _METADATA.format(prefix=signals.METADATA_PREFIX),
        ]
    )


def _metric(metric: Metric) -> tuple[str, ...]:
    name, series = f"`{metric.name}`", f"`{metric.prometheus}`"
    return name, series, metric.kind, metric.unit, _vocabulary(metric), signals.status_of(metric), metric.meaning


def _vocabulary(metric: Metric) -> str:
    if metric in signals.NEW_METRICS:
        return "new"
    return "both" if metric in signals.emitted("new") else "old"


def _renamed() -> Iterator[tuple[str, str]]:
    """What is found elsewhere in the new names, and where."""
    for metric in signals.emitted("old"):
        for part in metric.parts:
            found: dict[str, list[str]] = {}
            for place in signals.places(metric, part, "new"):
                if place.metric is not metric:
                    old = Place(metric, part, only=place.means)
                    found.setdefault(_selector(old), []).append(_selector(place))
            yield from ((old, ", ".join(new)) for old, new in found.items())


def _selector(place: Place) -> str:
    chosen = ",".join(f'{attribute.label}="{value}"' for attribute, value in place.only)
    return f"`{place.series}{{{chosen}}}`" if chosen else f"`{place.series}`"


def _labels(metric: Metric) -> tuple[str, str]:
    if not set(signals.CALL_LABELS) <= set(metric.labels):
        return f"`{metric.prometheus}`", _names(metric.labels)
    own = [label for label in metric.labels if label not in signals.CALL_LABELS]
    return f"`{metric.prometheus}`", f"those of every call, {_names(own)}" if own else "those of every call"


def _names(labels: Iterable[Attribute]) -> str:
    return ", ".join(f"`{label.label}`" for label in labels)


def _attribute(attribute: Attribute) -> tuple[str, ...]:
    return (
        f"`{attribute.name}`",
        attribute.type,
        attribute.unit,
        "yes" if attribute.bounded else "no",
        ", ".join(_carriers(attribute)),
        signals.status_of(attribute),
        attribute.meaning,
    )


def _carriers(attribute: Attribute) -> list[str]:
    carried = {
        "span": attribute in {*signals.CALL_FIELDS, *signals.SPAN_FIELDS, *signals.CONTENT} - _NOT_ON_SPANS,
        "step": attribute in signals.STEP_FIELDS,
        "log": attribute in signals.CALL_FIELDS,
        "score": attribute in signals.EVALUATION_FIELDS,
        "finding": attribute in signals.SECURITY_FIELDS,
        "flag": attribute in signals.FLAG_FIELDS,
        "metric": any(attribute in metric.labels for metric in _METRICS_OF_BOTH),
    }
    return [carrier for carrier, carries in carried.items() if carries]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
