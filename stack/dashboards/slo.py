"""Service level objectives: is the promise kept, how much may still fail, how fast is that used up."""

from typing import Final

from genai_observability.signals import FEATURE, OPERATION

from stack.dashboards.expressions import ENVIRONMENT, SERVICE
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.style import (
    COUNT,
    GREEN,
    ORANGE,
    RED,
    SHARE,
    Column,
    Limits,
    Link,
    Metrics,
    course,
    figure,
    ranking,
    rows,
)
from stack.rules.slo import ALERT, PAIRS
from stack.thresholds import SEVERITIES, Thresholds

_EMPTY: Final = "Nothing has happened yet that an objective of stack/slos.yaml is about"
_SPEED: Final = "suffix: ×"
_ONE: Final = f"job, {ENVIRONMENT.label}, slo, {FEATURE.label}, {OPERATION.label}"
"""What an objective is held for: a service, or one of its features or operations."""
_NAME: Final = f"{{{{slo}}}} · {{{{job}}}} {{{{{FEATURE.label}}}}}{{{{{OPERATION.label}}}}}"
_BUDGET: Final = Limits(warning=0.25, critical=0, low_is_bad=True)
"""Of the budget that is left: a quarter is little, nothing is a broken promise."""
_STATES: Final = {"2": ("burning fast", RED), "1": ("burning", ORANGE), "0": ("in order", GREEN)}


def dashboard(_: Thresholds) -> Dashboard:
    """The page; the objectives come from the recorded series, so that a new one needs no other page."""
    return page(
        uid="genai-slo",
        title="GenAI SLO",
        description="What was promised over 30 days (stack/slos.yaml): whether it is kept, how much of the error "
        "budget is left, and how fast it is used up.",
        source="stack/dashboards/slo.py",
        variables=("environment", "service"),
        rows=[
            Row("Is the promise kept?", [*_figures(), _objectives(), _least_left(), _events()]),
            Row("How fast is the budget used up?", _burn_rates()),
            Row("How did it develop?", _development()),
        ],
    )


def _figures() -> list[Builder[Panel]]:
    left = _recorded("budget_left", "ratio30d")
    return [
        figure(
            Metrics(f"count({left} < 0) or 0 * count({left})"),
            title="Broken promises",
            description="Objectives that were missed over the last 30 days: their error budget is used up. Stop what "
            "risks more of it, such as releases, until it recovers. Next: the table below.",
            unit=COUNT,
            empty=_EMPTY,
            width=6,
            limits=Limits(critical=1),
        ),
        figure(
            Metrics(f"min({left})"),
            title="Least budget left",
            description="Of all objectives, the smallest part of the error budget of 30 days that is left. Below 0 % "
            "the promise is broken. Orange below a quarter.",
            unit=SHARE,
            empty=_EMPTY,
            width=6,
            limits=_BUDGET,
            decimals=0,
        ),
        figure(
            Metrics(f"max({_burn('1h')})"),
            title="Fastest burn of the hour",
            description="How many times too fast the error budget was used up in the last hour, of the objective where "
            f"that is worst. At 1 the budget lasts just 30 days; from {_factor('1h'):.15g} on someone is woken up.",
            unit=_SPEED,
            empty=_EMPTY,
            width=6,
            limits=Limits(warning=1, critical=_factor("1h")),
            decimals=1,
        ),
        figure(
            Metrics(f'count(ALERTS{{alertname="{ALERT}", alertstate="firing", {SERVICE}}}) or vector(0)', instant=True),
            title="Burning now",
            description="Alerts on budgets that are used up too fast, firing now. None may fire while another alert "
            "already tells of the same fault. Next: the errors or the latency page.",
            unit=COUNT,
            empty="None",
            width=6,
            limits=Limits(warning=1),
            link=Link("Errors", to="genai-errors"),
        ),
    ]  # fmt: skip


def _objectives() -> Builder[Panel]:
    missed, left = (f"max by ({_ONE}) ({_recorded(what, 'ratio30d')})" for what in ("errors", "budget_left"))
    firing = f'ALERTS{{alertname="{ALERT}", alertstate="firing", severity="{{}}", {SERVICE}}}'
    fast, slow = (f"max by ({_ONE}) ({firing.replace('{}', severity)})" for severity in ("critical", "warning"))
    return rows(
        Metrics(f"2 * {fast} or {slow} or 0 * {missed}"),
        Metrics(f"0 * {missed} + on (slo) group_left () slo:genai_slo_objective:ratio"),
        Metrics(f"1 - {missed}"),
        Metrics(f"1 - {left}"),
        Metrics(left),
        *(Metrics(f"max by ({_ONE}) ({_burn(window)})") for window in ("1h", "6h", "3d")),
        title="Objectives",
        description="Each objective of stack/slos.yaml, by service: the share that is promised, what was kept over 30 "
        "days, how much of the error budget is used and left, and how many times too fast it was used up in an hour, "
        "in six and in three days. An objective by feature has a line for each.",
        empty=_EMPTY,
        columns=[
            Column("slo", "Objective"),
            Column("job", "Service"),
            Column(ENVIRONMENT.label, "Environment"),
            Column(FEATURE.label, "Feature"),
            Column(OPERATION.label, "Operation"),
            Column("Value #A", "State", colours=_STATES),
            Column("Value #B", "Promised", SHARE),
            Column("Value #C", "Kept, 30 d", SHARE),
            Column("Value #D", "Budget used", SHARE),
            Column("Value #E", "Budget left", SHARE),
            Column("Value #F", "Burn, 1 h", _SPEED),
            Column("Value #G", "Burn, 6 h", _SPEED),
            Column("Value #H", "Burn, 3 d", _SPEED),
        ],
        sort_by="Budget used",
        width=24,
    )


def _least_left() -> Builder[Panel]:
    return ranking(
        Metrics(f"sort(bottomk(7, {_recorded('budget_left', 'ratio30d')}))", _NAME, instant=True),
        title="Error budget left",
        description="The part of the error budget of 30 days that is left, the least first. Plenty left: there is room "
        "for risk. Little: be careful. Below 0 %: the promise is broken.",
        unit=SHARE,
        empty=_EMPTY,
        width=12,
        limits=_BUDGET,
        largest=1,
    )


def _events() -> Builder[Panel]:
    bad, every = _recorded("errors", "ratio30d"), _recorded("total", "increase30d")
    return ranking(
        Metrics(f"sort_desc(topk(7, {bad} * {every} > 0))", _NAME, instant=True),
        title="Bad events of 30 days",
        description="How many calls, streams or ratings were worse than promised, by objective: so many times a user "
        "was let down.",
        unit=COUNT,
        empty="Nothing was worse than promised",
        width=12,
        colour=ORANGE,
    )


def _burn_rates() -> list[Builder[Panel]]:
    return [
        course(
            Metrics(_burn(pair.long), _NAME),
            title=f"Burn rate over {pair.long}",
            description=f"How many times too fast the error budget was used up in the {pair.long} before each moment. "
            f"Above {pair.factor:.15g}, the dashed line, and also over {pair.short}, there is "
            f"{'a critical alert' if severity == 'critical' else 'a warning'}, if events are enough.",
            unit=_SPEED,
            empty=_EMPTY,
            width=12,
            limits=Limits(critical=pair.factor) if severity == "critical" else Limits(warning=pair.factor),
            link=Link("Errors", to="genai-errors"),
        )
        for severity in reversed(SEVERITIES)
        for pair in PAIRS[severity]
    ]


def _development() -> list[Builder[Panel]]:
    def of_the_day(which: str) -> str:
        return f"sum_over_time({_recorded(which, 'sum5m')}[1d])"

    return [
        course(
            Metrics(f"1 - {_recorded('budget_left', 'ratio30d')}", _NAME),
            title="Error budget used",
            description="Of the 30 days before each moment, over the last 30 days. 100 % is a broken promise. A steep "
            "rise is an incident; it falls again when that is 30 days ago.",
            unit=SHARE,
            empty=_EMPTY,
            width=12,
            last="30d",
            limits=Limits(warning=0.75, critical=1),
        ),
        course(
            Metrics(f"1 - {of_the_day('good')} / ({of_the_day('total')} > 0)", _NAME),
            title="Bad events, by day",
            description="The share of each day's events that were worse than promised: which days used the budget. "
            "Next: choose that day as the time range, and go to the errors or the latency page.",
            unit=SHARE,
            empty=_EMPTY,
            width=12,
            bars=True,
            last="30d",
            link=Link("Errors", to="genai-errors"),
        ),
    ]


def _recorded(what: str, over: str) -> str:
    """Recorded by `stack.rules.slo`."""
    return f"job:genai_slo_{what}:{over}{{{SERVICE}}}"


def _burn(window: str) -> str:
    return _recorded("burn_rate", f"ratio{window}")


def _factor(window: str) -> float:
    """From which burn rate over the window on there is an alert."""
    (factor,) = (pair.factor for pairs in PAIRS.values() for pair in pairs if pair.long == window)
    return factor
