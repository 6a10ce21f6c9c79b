"""Quality and feedback: are the answers good, what do users say, and did the last change make them better or worse."""

from typing import Final

from genai_observability.signals import (
    CONVERSATION,
    EVALUATION_EXPLANATION,
    EVALUATION_LABEL,
    EVALUATION_NAME,
    EVALUATION_SCORE,
    EVALUATIONS,
    FEATURE,
    FEEDBACK,
    FEEDBACK_CATEGORY,
    FEEDBACK_SATISFACTION,
    FEEDBACK_WEIGHT,
    FINISH_REASONS,
    PROMPT_NAME,
    PROMPT_VERSION,
    REFUSED,
    REQUEST_MODEL,
    Attribute,
)

from stack.dashboards.calls import ABOUT, TIME, TRACE, WHO, legend, of, single
from stack.dashboards.expressions import (
    RANGE,
    RATE,
    STEP,
    increase,
    rate,
    recorded,
    ruled,
    share,
    shares,
    total,
    where,
)
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.sql import Sql, among, column, known, records, usage
from stack.dashboards.style import (
    BLUE,
    COUNT,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SCORE,
    SHARE,
    Column,
    Limits,
    Link,
    Metrics,
    course,
    figure,
    heat,
    ranking,
    rows,
)
from stack.rules.baselines import FEATURES
from stack.rules.drift import LENGTH
from stack.rules.quality import FROM_USERS, SCORES, either
from stack.thresholds import Quality, RiskLimits, ScoreLimits, Thresholds
from stack.usage.columns import SCORES as SCORED

_UID: Final = "genai-quality"
_BEFORE: Final = "period before"
_NO_SCORES: Final = "No scores in this time range: call genai_observability.evaluation()"
_NO_FEEDBACK: Final = "No feedback in this time range: call genai_observability.feedback()"
_NOT_FROM_USERS: Final = where(EVALUATION_NAME, "!=", FROM_USERS)
_DOWN: Final = where(EVALUATION_LABEL, "=", "down")
_THUMBS: Final = where(EVALUATION_LABEL, "=~", "up|down")
_SIGNS: Final = {
    "up": GREEN,
    "down": RED,
    "report": PURPLE,
    "regenerate": ORANGE,
    "stars": BLUE,
    "abandon": GREY,
}

TALK: Final = Column(
    column(CONVERSATION),
    "Conversation",
    link=Link("All calls of the conversation", to="genai-agents", choosing={"conversation": CONVERSATION}),
)
"""A column that opens the conversation."""

_TIME: Final = Column(SCORED.time, "Time")


def _given(attribute: Attribute, title: str, unit: str = "") -> Column:
    return of(attribute, title, unit, table=SCORED)


_WORST: Final = (
    _given(EVALUATION_SCORE, "Score", SCORE),
    _given(EVALUATION_NAME, "Evaluation"),
    _TIME,
    *ABOUT,
    _given(PROMPT_NAME, "Prompt"),
    _given(PROMPT_VERSION, "Version"),
    _given(EVALUATION_EXPLANATION, "Why"),
    TALK,
    TRACE,
)
_COMPLAINTS: Final = (
    _TIME,
    *ABOUT,
    _given(EVALUATION_LABEL, "Kind"),
    _given(FEEDBACK_CATEGORY, "Category"),
    _given(EVALUATION_EXPLANATION, "Comment"),
    _given(PROMPT_VERSION, "Prompt version"),
    TALK,
    TRACE,
)
_REFUSALS: Final = (*WHO, of(FINISH_REASONS, "Ended by"), of(PROMPT_NAME, "Prompt"), TALK, TRACE)


def dashboard(thresholds: Thresholds) -> Dashboard:
    """The page; the limits of the alerts on quality and feedback colour its numbers."""
    return page(
        uid=_UID,
        title="GenAI quality and feedback",
        description="Are the answers good, and did the last change make them better or worse? Scores are of the "
        "evaluations that the application records, satisfaction of what users say and do.",
        source="stack/dashboards/quality.py",
        rows=[
            Row("Are the answers good, and better or worse than before?", _now(thresholds)),
            Row("What do users say?", _feedback(thresholds)),
            Row("What has changed?", _changes(thresholds)),
            Row("Which answers?", _answers(thresholds)),
        ],
    )


def score_by_evaluation(thresholds: Thresholds) -> Builder[Panel]:
    """The mean of each evaluation."""
    return ranking(
        Metrics(_mean(_NOT_FROM_USERS, by=(EVALUATION_NAME,)), legend(EVALUATION_NAME), instant=True),
        title="Score by evaluation",
        description="Mean of each evaluation in the time range, coloured by its own limits. "
        f"{_risks(thresholds.quality)}",
        unit=SCORE,
        empty=_NO_SCORES,
        limits=_limits(thresholds.quality.other),
        largest=1,
        limits_of=_own_limits(thresholds.quality),
    )


def scores_over_time(thresholds: Thresholds) -> Builder[Panel]:
    """The course of the mean of each evaluation."""
    return course(
        Metrics(_mean(_NOT_FROM_USERS, by=(EVALUATION_NAME,), window=RATE), legend(EVALUATION_NAME)),
        title="Scores over time",
        description="Mean of each evaluation at each time. The dashed lines are the limits of evaluations without "
        "limits of their own. A step right after a mark of a deploy, a model or a prompt was caused by it.",
        unit=SCORE,
        empty=_NO_SCORES,
        limits=_limits(thresholds.quality.other),
    )


def _now(thresholds: Thresholds) -> list[Builder[Panel]]:
    quality, feedback = thresholds.quality, thresholds.feedback
    judged = _judged(thresholds)
    return [
        figure(
            Metrics(_mean(judged), "now", instant=True),
            Metrics(_mean(judged, ago=RANGE), _BEFORE, instant=True),
            title="Mean score",
            description="Mean of all scores of which 1 is good, in the time range and in the equally long one before "
            "it. Orange and red from the limits of the alerts on. Lower than before: see Versions of prompts below, "
            "and the marks of deploys and models in the graphs.",
            unit=SCORE,
            empty=_NO_SCORES,
            width=6,
            limits=_limits(quality.other),
            decimals=2,
        ),
        figure(
            Metrics(_satisfaction(), "now", instant=True),
            Metrics(_satisfaction(ago=RANGE), _BEFORE, instant=True),
            title="Satisfaction",
            description="What users say of answers and do with them, weighted, from 0 to 100 %, in the time range and "
            "in the equally long one before it. Few signs make it jump: look at their number.",
            unit=SHARE,
            empty=_NO_FEEDBACK,
            width=6,
            limits=Limits(feedback.satisfaction, None, low_is_bad=True),
            decimals=1,
        ),
        figure(
            Metrics(_thumbs_down(), "now", instant=True),
            Metrics(_thumbs_down(ago=RANGE), _BEFORE, instant=True),
            title="Thumbs down",
            description="Share of the thumbs that point down, in the time range and in the equally long one before "
            "it. Next: Latest complaints below say what is wrong.",
            unit=SHARE,
            empty="No thumbs in this time range: call genai_observability.feedback()",
            width=6,
            limits=Limits(feedback.thumbs_down, None),
            decimals=1,
        ),
        figure(
            Metrics(total(increase(FEEDBACK)), instant=True),
            title="Signs of users",
            description="Pieces of feedback in the time range, of any kind. With fewer than "
            f"{feedback.min_signs} a day no alert on feedback fires.",
            unit=COUNT,
            empty=_NO_FEEDBACK,
            decimals=0,
        ),
        figure(
            Sql(usage("sum(calls) AS calls", column(REFUSED))),
            title="Refused to answer",
            description="Answers in which the model declined, or that a content filter ended. The provider calls them "
            "a success: only here they are seen. Next: the table of refused answers below.",
            unit=COUNT,
            empty="The model refused nothing",
            decimals=0,
        ),
        score_by_evaluation(thresholds),
        scores_over_time(thresholds),
        course(
            Metrics(_satisfaction(FEATURE, window=RATE), legend(FEATURE)),
            title="Satisfaction by feature",
            description="Weighted mean of the feedback at each time; gaps are times without feedback. All features "
            "together: the model or the provider. One alone: its last change.",
            unit=SHARE,
            empty=_NO_FEEDBACK,
            limits=Limits(feedback.satisfaction, None, low_is_bad=True),
        ),
        _compared(
            thresholds,
            (PROMPT_NAME, PROMPT_VERSION),
            title="Versions of prompts",
            description="What each version of a prompt is worth: compare the rows of one prompt. A version with few "
            "scores or signs proves nothing yet. none stands for answers without a prompt name.",
            columns=[Column(PROMPT_NAME.label, "Prompt"), Column(PROMPT_VERSION.label, "Version")],
            width=24,
            height=9,
        ),
    ]


def _feedback(thresholds: Thresholds) -> list[Builder[Panel]]:
    bad = f"({among(EVALUATION_LABEL, 'down', 'report', table=SCORED)} OR {known(FEEDBACK_CATEGORY, SCORED)})"
    complaints = single(_COMPLAINTS, among(EVALUATION_NAME, FROM_USERS, table=SCORED), bad, table=SCORED)
    only = Link("Only this feature", to=_UID, choosing={"feature": FEATURE})
    return [
        course(
            Metrics(total(increase(FEEDBACK, window=STEP), EVALUATION_LABEL), legend(EVALUATION_LABEL)),
            title="Feedback by kind",
            description="Signs of users in the time that each bar stands for. Said outright: up, down, stars, report. "
            "Concluded, and of less weight: copy, edit, regenerate, abandon.",
            unit=COUNT,
            empty=_NO_FEEDBACK,
            width=12,
            stacked=True,
            bars=True,
            colours=_SIGNS,
        ),
        course(
            Metrics(
                shares(
                    total(increase(FEEDBACK, _DOWN, window=RATE), FEATURE),
                    total(increase(FEEDBACK, _THUMBS, window=RATE), FEATURE),
                ),
                legend(FEATURE),
            ),
            title="Thumbs down by feature",
            description="Share of the thumbs that point down. The dashed line is the limit of the alert, which looks "
            "at a day.",
            unit=SHARE,
            empty="No thumbs in this time range",
            width=12,
            limits=Limits(thresholds.feedback.thumbs_down, None),
            link=only,
        ),
        _compared(
            thresholds,
            (FEATURE,),
            title="By feature",
            description="Which feature gives the worst answers. A feature with good scores and bad feedback is scored "
            "by the wrong evaluation.",
            columns=[Column(FEATURE.label, "Feature", link=only)],
        ),
        _compared(
            thresholds,
            (REQUEST_MODEL,),
            title="By model",
            description="Which model gives the worst answers; features differ, so compare models within one of them: "
            "choose it above.",
            columns=[
                Column(
                    REQUEST_MODEL.label,
                    "Model",
                    link=Link("Only this model", to=_UID, choosing={"model": REQUEST_MODEL}),
                )
            ],
        ),
        rows(
            complaints,
            title="Latest complaints",
            description="The latest thumbs down, reports and categorised feedback. The trace shows what the answer "
            "was made of; one category that repeats itself is the next thing to mend.",
            empty="Nobody complained in this time range",
            columns=_COMPLAINTS,
            sort_by=TIME.title,
            width=24,
        ),
    ]


def _changes(thresholds: Thresholds) -> list[Builder[Panel]]:
    judged = _judged(thresholds)
    scores = (
        total(recorded(EVALUATIONS, judged, part=part, window="1d"), EVALUATION_NAME) for part in ("sum", "count")
    )
    signs = (total(recorded(metric, window="1d")) for metric in (FEEDBACK_SATISFACTION, FEEDBACK_WEIGHT))
    return [
        course(
            Metrics(_ratio(*scores), legend(EVALUATION_NAME)),
            Metrics(_ratio(*signs), "satisfaction"),
            title="Each day of the last 30 days",
            description="Mean of each evaluation of which 1 is good, and the users' satisfaction, a day. What one "
            "bad hour hides, a week shows.",
            unit=SCORE,
            empty="No scores and no feedback in 30 days",
            width=12,
            bars=True,
            last="30d",
        ),
        rows(
            *(Metrics(_drift(name)) for name in ("now[10m]", "centre[90m]", "change[5m]")),
            Metrics(f"abs({_drift('z[5m]')})"),
            title="Drift from the usual",
            description="Scores and lengths of answers (output tokens a call) of the last hour, against the median of "
            f"two weeks. Beyond {thresholds.drift.z:.15g} standard deviations for three hours is the alert on drift, "
            f"beyond {thresholds.quality.drop.z:.15g} one on a drop of a score. Next: what was deployed, and which "
            "model answers.",
            empty="Nothing is learned yet: it takes two days of scores or calls",
            columns=[
                Column("measure", "Measure", colours={"quality": ("score", BLUE), LENGTH: ("length", BLUE)}),
                Column(EVALUATION_NAME.label, "Evaluation"),
                Column(FEATURE.label, "Feature"),
                Column("Value #A", "Now", COUNT),
                Column("Value #B", "Usual", COUNT),
                Column("Value #C", "Change", SHARE),
                Column("Value #D", "Standard deviations", COUNT),
            ],
            sort_by="Standard deviations",
            height=8,
        ),
        course(
            Metrics(_length("now"), legend(FEATURE)),
            Metrics(_length("usual"), f"{legend(FEATURE)}, usual"),
            title="Answer length by feature",
            description="Output tokens a call over a quarter of an hour, and what is usual at this time of day. Longer "
            "answers cost more and take longer; suddenly shorter ones are often cut off or refused.",
            unit=COUNT,
            empty="Fewer calls than a length is learned from (see thresholds.yaml)",
            width=12,
        ),
        heat(
            Metrics(f"sum by (le) ({rate(EVALUATIONS, judged, part='bucket')})"),
            title="Distribution of scores",
            description="How many scores were how high, over time: darker is more. Two bands are two kinds of "
            "questions, of which a mean tells nothing: find the lower one in Worst answers.",
            unit=SCORE,
            empty=_NO_SCORES,
        ),
    ]


def _answers(thresholds: Thresholds) -> list[Builder[Panel]]:
    quality = thresholds.quality
    below = max(limits.warning for limits in (quality.other, *quality.scores.values()))
    score, judged = column(EVALUATION_SCORE, SCORED), among(EVALUATION_NAME, *_not_judged(thresholds), table=SCORED)
    return [
        rows(
            records(
                [each.field for each in _WORST],
                f"NOT {judged}",
                f"{score} < {below:.15g}",
                by=score,
                ascending=True,
                table=SCORED,
            ),
            title="Worst answers",
            description=f"The ten lowest of all scores below {below:.15g} of which 1 is good. The trace shows "
            "what was retrieved and asked; keep the question as a test case.",
            empty="No answer was scored that low",
            columns=_WORST,
            sort_by="Score",
            ascending=True,
            width=24,
        ),
        rows(
            single(_REFUSALS, column(REFUSED)),
            title="Refused answers",
            description="The latest answers in which the model declined, or that a content filter ended "
            "(content_filter). Many in one feature: its prompt asks for what the provider forbids, or someone tries "
            "what is not allowed.",
            empty="The model refused nothing",
            columns=_REFUSALS,
            sort_by=TIME.title,
            width=24,
        ),
    ]


def _compared(
    thresholds: Thresholds,
    by: tuple[Attribute, ...],
    *,
    title: str,
    description: str,
    columns: list[Column],
    width: int = 12,
    height: int = 10,
) -> Builder[Panel]:
    """A table of scores and feedback by some attributes."""
    judged = _judged(thresholds)
    down = shares(total(increase(FEEDBACK, _DOWN), *by), total(increase(FEEDBACK, _THUMBS), *by))
    return rows(
        Metrics(_mean(judged, by=by)),
        Metrics(f"{total(increase(EVALUATIONS, judged, part='count'), *by)} > 0"),
        Metrics(_satisfaction(*by)),
        Metrics(f"{total(increase(FEEDBACK), *by)} > 0"),
        Metrics(down),
        title=title,
        description=description,
        empty="No scores and no feedback in this time range",
        columns=[
            *columns,
            Column("Value #A", "Mean score", SCORE),
            Column("Value #B", "Scores", COUNT),
            Column("Value #C", "Satisfaction", SHARE),
            Column("Value #D", "Signs", COUNT),
            Column("Value #E", "Thumbs down", SHARE),
        ],
        sort_by="Mean score",
        ascending=True,
        width=width,
        height=height,
    )


def _judged(thresholds: Thresholds) -> str:
    """The condition on scores of which 1 is good; what users say has metrics of its own."""
    return where(EVALUATION_NAME, "!~", either(_not_judged(thresholds)))


def _not_judged(thresholds: Thresholds) -> tuple[str, ...]:
    return (FROM_USERS, *thresholds.quality.risks)


def _mean(condition: str, *, by: tuple[Attribute, ...] = (), window: str = RANGE, ago: str = "") -> str:
    points, count = (
        total(increase(EVALUATIONS, condition, part=part, window=window, ago=ago), *by) for part in ("sum", "count")
    )
    return _ratio(points, count)


def _satisfaction(*by: Attribute, window: str = RANGE, ago: str = "") -> str:
    satisfied, weight = (
        total(increase(metric, window=window, ago=ago), *by) for metric in (FEEDBACK_SATISFACTION, FEEDBACK_WEIGHT)
    )
    return _ratio(satisfied, weight)


def _thumbs_down(*, ago: str = "") -> str:
    return share(increase(FEEDBACK, _DOWN, ago=ago), increase(FEEDBACK, _THUMBS, ago=ago))


def _ratio(part: str, whole: str) -> str:
    return f"{part} / ({whole} > 0)"


def _drift(what: str) -> str:
    """What is recorded of drift, with its window: of scores and of lengths, in one."""
    name, _, window = what.partition("[")
    levels = (
        ruled(f"{level.name}:genai_drift:{name}", labels=(FEATURE,)) + f"[{window}" for level in (SCORES, FEATURES)
    )
    by = f"job, measure, {EVALUATION_NAME.label}, {FEATURE.label}"
    return f"max by ({by}) ({' or '.join(f'last_over_time({level})' for level in levels)})"


def _length(when: str) -> str:
    lengths = ruled(f"{FEATURES.name}:genai_measure:{when}", f'measure="{LENGTH}"', labels=(FEATURE,))
    return f"avg by ({FEATURE.label}) (last_over_time({lengths}[10m]))"


def _limits(limits: ScoreLimits | RiskLimits) -> Limits:
    """Those of an evaluation: a score is bad below them, a risk above them."""
    return Limits(limits.warning, limits.critical, low_is_bad=isinstance(limits, ScoreLimits))


def _own_limits(quality: Quality) -> dict[str, Limits]:
    scores: dict[str, Limits] = {name: _limits(limits) for name, limits in quality.scores.items()}
    return scores | {name: _limits(limits) for name, limits in quality.risks.items()}


def _risks(quality: Quality) -> str:
    risks = ", ".join(quality.risks)
    return f"1 is good; of risks ({risks}) 0 is." if risks else "1 is good."
