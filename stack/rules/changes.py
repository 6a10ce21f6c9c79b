"""A change of model, or of a prompt's version: detected, and compared before and after.

A provider that puts another model behind the same name and an application that asks for another one look alike: of a
feature's calls, a pair of requested and answering model has a larger share than in any hour of the last 7 days. The
highest hour, as a nightly batch by another model is no change. Versions of prompts are labels of scores and feedback
only: where nothing is scored, they are in the request log alone.

While a change is being told of, what it changed is recorded as ``job_feature:genai_change:before`` (the day that ended
two hours ago) and ``:after`` (now), by the label ``measure``.
"""

from dataclasses import dataclass

from genai_observability.signals import (
    CALL_DURATION,
    EVALUATIONS,
    FEATURE,
    OPERATION,
    PROMPT_NAME,
    PROMPT_VERSION,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    Attribute,
)

from stack.rules.baselines import FEATURES, least_samples, queried
from stack.rules.calls import SUCCEEDED
from stack.rules.model import Alert, Group, Recording, percent
from stack.rules.promql import count_within, labels, series, total
from stack.rules.quality import OF, judged
from stack.thresholds import Duration, Thresholds

_CHANGE = f"{FEATURES.name}:genai_change"
_COMPARED = {
    "latency": ("p95", "humanizeDuration"),
    "input_tokens": ("input tokens a call", 'printf "%.0f"'),
    "output_tokens": ("output tokens a call", 'printf "%.0f"'),
    "cost_per_call": ("price of a call", 'printf "$%.5f"'),
    "quality": ("mean score", 'printf "%.2f"'),
}
"""The measures that are compared, with their words and formats in the message."""


@dataclass(frozen=True, slots=True)
class _Mix:
    """Calls or scores that are divided among models or versions; ``whole`` is what has the shares."""

    name: str
    counted: str
    whole: tuple[Attribute, ...]
    parts: tuple[Attribute, ...]
    least: int

    @property
    def share(self) -> str:
        return f"{self.name}:genai_share:ratio1h"

    @property
    def gained(self) -> str:
        return f"{self.name}:genai_share:gained"


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """The shares, what they changed, and the alerts."""
    change = thresholds.change
    models = _Mix(
        name="job_answering",
        counted=series(CALL_DURATION, SUCCEEDED, part="count"),
        whole=(OPERATION, FEATURE),
        parts=(REQUEST_MODEL, RESPONSE_MODEL),
        least=change.min_calls,
    )
    prompts = _Mix(
        name="job_prompt",
        counted=series(EVALUATIONS, part="count"),
        whole=(FEATURE, PROMPT_NAME),
        parts=(PROMPT_VERSION,),
        least=change.min_scores,
    )
    return (
        Group(
            name="genai_changes",
            interval=Duration("5m"),
            rules=(
                *_shares(models, thresholds),
                *_shares(prompts, thresholds),
                *_comparison((models, prompts), thresholds),
                _model(models, thresholds),
                _prompt(prompts, thresholds),
            ),
        ),
    )


def _shares(mix: _Mix, thresholds: Thresholds) -> tuple[Recording, ...]:
    count, whole = f"{mix.name}:genai_share:increase1h", f"{mix.name}:genai_share:whole1h"
    before = f"max_over_time({mix.share}[7d] offset 1h)"
    by = ", ".join(labels(*mix.whole))
    history = f"count_over_time({whole}[7d] offset 1h)"
    return (
        # What grew: an old series would keep its 0 for as long as the process lives.
        Recording(name=count, expr=f"{total(count_within(mix.counted, '1h'), labels(*mix.whole, *mix.parts))} > 0"),
        Recording(name=whole, expr=f"{total(count, labels(*mix.whole))} >= {mix.least}"),
        Recording(name=mix.share, expr=f"{count} / on ({by}) group_left () {whole}"),
        # A model or version without a share before had none of the calls.
        Recording(
            name=mix.gained,
            expr=f"{mix.share} - ({before} or 0 * {mix.share}) > {thresholds.change.share:.15g}\n"
            f"and on ({by}) {history} >= {least_samples(thresholds)}",
        ),
    )


def _comparison(mixes: tuple[_Mix, ...], thresholds: Thresholds) -> tuple[Recording, ...]:
    by = ", ".join(FEATURES.labels)
    changed = f"and on ({by}) ({' or '.join(mix.gained for mix in mixes)})"
    now = f"{FEATURES.name}:genai_measure:now"
    # Every quarter of an hour is enough for the mean of a day.
    before = "avg_over_time({}[1d:15m] offset 2h)"
    score = f"avg by ({by}) ({judged(thresholds)})"
    quality = {"measure": "quality"}
    return (
        Recording(name=f"{_CHANGE}:before", expr=f"{before.format(now)}\n{changed}"),
        Recording(name=f"{_CHANGE}:before", expr=f"{before.format(score)}\n{changed}", labels=quality),
        Recording(name=f"{_CHANGE}:after", expr=f"{now}\n{changed}"),
        Recording(name=f"{_CHANGE}:after", expr=f"{score}\n{changed}", labels=quality),
    )


def _model(mix: _Mix, thresholds: Thresholds) -> Alert:
    return Alert(
        name="GenAIModelChanged",
        severity="info",
        expr=f"{mix.share}\nand {mix.gained}",
        why="No `for`: the hour of the window is the patience. It ends by itself, as soon as the share is an hour old.",
        summary=f"{{{{ $labels.{RESPONSE_MODEL.label} }}}} now gives {{{{ $value | humanizePercentage }}}} of the "
        f"answers of {OF}",
        description=f"Asked for as {{{{ $labels.{REQUEST_MODEL.label} }}}}; within an hour its share rose by more than "
        f"{percent(thresholds.change.share)} above that of any hour of 7 days. {_compared()}",
        impact="Nobody as such; price, speed, length and quality of the answers may differ.",
    )


def _prompt(mix: _Mix, thresholds: Thresholds) -> Alert:
    return Alert(
        name="GenAIPromptChanged",
        severity="info",
        expr=f"{mix.share}\nand {mix.gained}",
        why="No `for`: the hour of the window is the patience. It ends by itself, as soon as the share is an hour old.",
        summary=f"Version {{{{ $labels.{PROMPT_VERSION.label} }}}} of the prompt {{{{ $labels.{PROMPT_NAME.label} }}}} "
        f"is now in use: {OF}",
        description="{{ $value | humanizePercentage }} of this prompt's scores are of that version, more than "
        f"{percent(thresholds.change.share)} above any hour of 7 days. {_compared()}",
        impact="Nobody as such; price, speed, length and quality of the answers may differ.",
    )


def _compared() -> str:
    """The day before and now, for each measure that has both."""
    texts = []
    for measure, (words, unit) in _COMPARED.items():
        before, after = (queried(f"{_CHANGE}:{when}", f'measure="{measure}"', FEATURE) for when in ("before", "after"))
        texts.append(
            f"{{{{ with {before} }}}} {words} {{{{ . | first | value | {unit} }}}}{{{{ end }}}}"
            f"{{{{ with {after} }}}} → {{{{ . | first | value | {unit} }}}};{{{{ end }}}}"
        )
    return "The feature the day before → now:" + "".join(texts)
