"""Alerts on the quality of answers: scores that are low or have dropped, risks, and what users say."""

from collections.abc import Iterable

from genai_observability.signals import (
    EVALUATION_LABEL,
    EVALUATION_NAME,
    EVALUATIONS,
    FEATURE,
    FEEDBACK,
    FEEDBACK_SATISFACTION,
    FEEDBACK_WEIGHT,
)

from stack.rules.calls import Level
from stack.rules.model import Alert, Group, Recording, percent
from stack.rules.promql import SERVICE, count_within, series, total
from stack.thresholds import SEVERITIES, Duration, RiskLimits, ScoreLimits, Severity, Thresholds

SCORES = Level("job_score", (EVALUATION_NAME, FEATURE))
SCORE = f"{SCORES.name}:genai_score:mean1h"
"""The mean score of the last hour, where there are enough scores."""

FROM_USERS = "user_feedback"
"""The evaluation that feedback is also recorded as."""

OF = f"{{{{ with $labels.{FEATURE.label} }}}}{{{{ . }}}} of {{{{ end }}}}{{{{ $labels.job }}}}"
"""In a message: the feature, if there is one, and the service."""

_FEATURE = Level("job_feature", (FEATURE,))
_SATISFACTION = f"{_FEATURE.name}:genai_satisfaction:ratio"
_THUMBS_DOWN = f"{_FEATURE.name}:genai_thumbs_down:ratio1d"
_NAME = f"{{{{ $labels.{EVALUATION_NAME.label} }}}}"


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """Scores by the hour; feedback, of which there is less, by the day and the week."""
    return (
        Group(
            name="genai_quality",
            interval=Duration("1m"),
            rules=(
                *_scores(thresholds),
                *(alert for severity in SEVERITIES for alert in _low(thresholds, severity)),
                *(alert for severity in SEVERITIES for alert in _risk(thresholds, severity)),
            ),
        ),
        Group(
            name="genai_feedback",
            interval=Duration("5m"),
            rules=(*_feedback(thresholds), _thumbs_down(thresholds), _satisfaction(thresholds), _worse(thresholds)),
        ),
    )


def either(names: Iterable[str]) -> str:
    """A regular expression of names, in which only a dot has a meaning."""
    return "|".join(name.replace(".", "[.]") for name in names)


# --- Scores ----------------------------------------------------------------------------------------------------------


def judged(thresholds: Thresholds) -> str:
    """The selector of scores of which 1 is good; what users say has metrics and alerts of its own."""
    return f'{SCORE}{{{EVALUATION_NAME.label}!~"{either((FROM_USERS, *thresholds.quality.risks))}"}}'


def _scores(thresholds: Thresholds) -> tuple[Recording, Recording]:
    count = count_within(series(EVALUATIONS, part="count"), "1h")
    points = count_within(series(EVALUATIONS, part="sum"), "1h")
    counted = f"{SCORES.name}:genai_scores:increase1h"
    return (
        Recording(name=counted, expr=total(count, SCORES.labels)),
        Recording(name=SCORE, expr=f"{total(points, SCORES.labels)}\n/ ({counted} >= {thresholds.quality.min_scores})"),
    )


def _low(thresholds: Thresholds, severity: Severity) -> list[Alert]:
    quality = thresholds.quality
    named = {name: limit for name, limits in quality.scores.items() if (limit := _limit(limits, severity)) is not None}
    other = _limit(quality.other, severity)
    unnamed = either((FROM_USERS, *quality.scores, *quality.risks))
    low = [f'{SCORE}{{{EVALUATION_NAME.label}="{name}"}} < {limit:.15g}' for name, limit in named.items()]
    if other is not None:
        low.append(f'{SCORE}{{{EVALUATION_NAME.label}!~"{unnamed}"}} < {other:.15g}')
    if not low:
        return []
    return [
        Alert(
            name="GenAIQualityLow",
            severity=severity,
            expr="\nor ".join(low),
            for_=quality.for_,
            keep_firing_for=Duration("30m"),
            why="for: besides the hour of the window. keep_firing_for: half of it, so that a mean near the limit is "
            "one alert.",
            summary=f'The {_NAME} score of {OF} is {{{{ $value | printf "%.2f" }}}}',
            description=f"The mean of the last hour, of at least {quality.min_scores} scores from 0 (bad) to 1 (good), "
            f"is below the limit of this evaluation in the thresholds. Answers may be wrong or useless.",
            impact="Users get answers that are wrong, useless or not what they asked for.",
        )
    ]


def _risk(thresholds: Thresholds, severity: Severity) -> list[Alert]:
    quality = thresholds.quality
    limits = {name: limit for name, each in quality.risks.items() if (limit := _limit(each, severity)) is not None}
    if not limits:
        return []
    return [
        Alert(
            name="GenAIHallucinationRisk",
            severity=severity,
            expr="\nor ".join(
                f'{SCORE}{{{EVALUATION_NAME.label}="{name}"}} > {limit:.15g}' for name, limit in limits.items()
            ),
            for_=quality.for_,
            keep_firing_for=Duration("30m"),
            why="for: besides the hour of the window. keep_firing_for: half of it, so that a mean near the limit is "
            "one alert.",
            summary=f'The {_NAME} score of {OF} is {{{{ $value | printf "%.2f" }}}}, and 1 is bad',
            description=f"The mean of the last hour, of at least {quality.min_scores} scores from 0 (good) to 1 (bad), "
            "is above the limit of this evaluation in the thresholds. Users may be told what is false or harmful.",
            impact="Users may be told what is invented or harmful, and act on it.",
        )
    ]


def _limit(limits: ScoreLimits | RiskLimits, severity: Severity) -> float | None:
    return limits.warning if severity == "warning" else limits.critical


# --- What users say --------------------------------------------------------------------------------------------------


def _feedback(thresholds: Thresholds) -> tuple[Recording, ...]:
    least = thresholds.feedback.min_signs
    signs = f"{_FEATURE.name}:genai_feedback:increase1h"
    weight = f"{_FEATURE.name}:genai_feedback_weight:increase1h"
    satisfied = f"{_FEATURE.name}:genai_feedback_satisfaction:increase1h"
    down, thumbs = (
        total(_within(signs, "1d", f'{{{EVALUATION_LABEL.label}=~"{which}"}}'), _FEATURE.labels)
        for which in ("down", "up|down")
    )
    return (
        Recording(
            name=signs,
            expr=total(count_within(series(FEEDBACK), "1h"), (*_FEATURE.labels, EVALUATION_LABEL.label)),
        ),
        Recording(name=weight, expr=total(count_within(series(FEEDBACK_WEIGHT), "1h"), _FEATURE.labels)),
        Recording(name=satisfied, expr=total(count_within(series(FEEDBACK_SATISFACTION), "1h"), _FEATURE.labels)),
        Recording(name=_THUMBS_DOWN, expr=f"{down}\n/ ({thumbs} >= {least})"),
        *(
            Recording(
                name=f"{_SATISFACTION}{window}",
                expr=f"{_within(satisfied, window)}\n/ {_within(weight, window)}\n"
                f"and {total(_within(signs, window), _FEATURE.labels)} >= {least}",
            )
            for window in ("1d", "7d")
        ),
    )


def _within(increase: str, window: str, which: str = "") -> str:
    """The increase within a longer window: of each hour there is a value every 5 minutes."""
    return f"(sum_over_time({increase}{which}[{window}]) / 12)"


def _thumbs_down(thresholds: Thresholds) -> Alert:
    feedback = thresholds.feedback
    return Alert(
        name="GenAIFeedbackBad",
        severity="warning",
        expr=f"{_THUMBS_DOWN} > {feedback.thumbs_down:.15g}",
        for_=feedback.for_,
        keep_firing_for=Duration("2h"),
        why="for: besides the day of the window. keep_firing_for: a share of a day moves slowly around its limit.",
        labels={"measure": "thumbs_down"},
        summary=f"{{{{ $value | humanizePercentage }}}} of the thumbs for answers of {OF} point down",
        description=f"Of at least {feedback.min_signs} thumbs within a day, more than {percent(feedback.thumbs_down)} "
        "were down.",
        impact="Users do not get what they want, and stop asking.",
    )


def _satisfaction(thresholds: Thresholds) -> Alert:
    feedback = thresholds.feedback
    by = ", ".join(_FEATURE.labels)
    return Alert(
        name="GenAIFeedbackBad",
        severity="warning",
        # Thumbs are part of the satisfaction.
        expr=f"{_SATISFACTION}1d < {feedback.satisfaction:.15g}\n"
        f"unless on ({by}) {_THUMBS_DOWN} > {feedback.thumbs_down:.15g}",
        for_=feedback.for_,
        keep_firing_for=Duration("2h"),
        why="for: besides the day of the window. keep_firing_for: a mean of a day moves slowly around its limit.",
        labels={"measure": "satisfaction"},
        summary=f"The satisfaction with answers of {OF} is {{{{ $value | humanizePercentage }}}}",
        description=f"The weighted mean of what users said of answers, and did with them, within a day (at least "
        f"{feedback.min_signs} signs) is below {percent(feedback.satisfaction)}.",
        impact="Users do not get what they want, and stop asking.",
    )


def _worse(thresholds: Thresholds) -> Alert:
    feedback = thresholds.feedback
    week = f"{_SATISFACTION}7d"
    return Alert(
        name="GenAIFeedbackWorse",
        severity="warning",
        expr=f"1 - {week} / {week} offset 7d > {feedback.worse:.15g}\n"
        f'unless on ({", ".join(SERVICE)}) ALERTS{{alertname="GenAIFeedbackBad",alertstate="firing"}}',
        for_=Duration("1h"),
        keep_firing_for=Duration("6h"),
        why="for, keep_firing_for: the mean of a week moves slowly, and nobody has to act within the hour.",
        summary=f"The satisfaction with answers of {OF} fell by {{{{ $value | humanizePercentage }}}} within a week",
        description=f"The mean satisfaction of the last 7 days is more than {percent(feedback.worse)} below that of "
        f"the 7 days before, each with at least {feedback.min_signs} signs.",
        impact="Users are less content than a week ago.",
    )
