"""Alerts on money: too much of it, more than usual, more than a budget, and calls of which the price is not known.

Days and months are sums of the recordings of 5 minutes and of an hour, so that no rule reads more than some hundred
samples a service.
"""

from genai_observability.signals import (
    BUDGET,
    BUDGET_ACTION,
    BUDGET_EXCEEDED,
    CALLS_UNPRICED,
    PROVIDER,
    REQUEST_MODEL,
    UNPRICED,
)

from stack.rules.model import Alert, Group, Recording, percent, worst_calls
from stack.rules.promql import (
    SERVICE,
    Match,
    count_from_first,
    count_within,
    firing,
    labels,
    series,
    total,
    unless_told,
)
from stack.thresholds import SEVERITIES, Duration, Severity, Thresholds

SPENT = "job:genai_cost_usd"
PLANNED = "job:genai_budget_usd"
_DAY_START = "job:genai_clock:day_start_seconds"
_MONTH_START = "job:genai_clock:month_start_seconds"
_DAYS_LEFT = "job:genai_clock:month_days_left"

_WEEK = f"{SPENT}:increase1d[7d:1d]"
"""The 7 last days that are over. A subquery's steps are multiples of its step: midnights in UTC."""
_LEAST_DAYS = 3
"""Of fewer days, neither the mean nor the spread says anything about the rest of a month."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """What is urgent, every 15 s; days and months, every minute."""
    hour: tuple[Recording | Alert, ...] = (
        *(_hourly(thresholds, severity) for severity in SEVERITIES),
        _unpriced(),
        *(_refusals(thresholds, severity) for severity in SEVERITIES),
        _exceeded(),
    )
    days: tuple[Recording | Alert, ...] = (
        *_budgets(thresholds),
        *_sums(),
        *_forecast(),
        _usual_day(thresholds),
        *(_daily(thresholds, severity) for severity in SEVERITIES),
        *(_daily_budget(thresholds, severity) for severity in SEVERITIES),
        *(_spike(thresholds, severity) for severity in SEVERITIES),
        _surge(thresholds),
        *(_month_forecast(thresholds, severity) for severity in SEVERITIES),
        *(_budget_rate(thresholds, severity) for severity in SEVERITIES),
    )
    return (
        Group(name="genai_cost", interval=Duration("15s"), rules=hour),
        Group(name="genai_cost_days", interval=Duration("1m"), rules=days),
    )


# --- Sums, forecast, budgets -----------------------------------------------------------------------------------------


def _sums() -> tuple[Recording, ...]:
    """The money of today and of this month, by the clock in UTC, and of the last 24 hours."""
    midnight = "time() - time() % 86400"
    return (
        # Two clocks, without labels. Inside of a subquery time() is the time of each step; `@ end()` reads the present.
        Recording(name=_DAY_START, expr=f"vector({midnight})"),
        Recording(name=_MONTH_START, expr=f"vector({midnight}) - (day_of_month() - 1) * 86400"),
        Recording(name=_DAYS_LEFT, expr=f"days_in_month() - (time() - {_MONTH_START}) / 86400"),
        Recording(
            name=f"{SPENT}:today",
            expr=f"sum_over_time(({SPENT}:rate5m and on () {_DAY_START} @ end() < time())[1d:5m]) * 300\n"
            f"or max_over_time({SPENT}:increase1h[1h]) * 0",
        ),
        Recording(
            name=f"{SPENT}:increase1d",
            # 0 on days without calls, for 8 days: else the mean of a service that rests at weekends would lack them.
            expr=f"sum_over_time({SPENT}:increase1h[1d:1h])\nor max_over_time({SPENT}:increase1h[8d:1h]) * 0",
        ),
        Recording(
            name=f"{SPENT}:month",
            expr=f"sum_over_time(({SPENT}:increase1h and on () {_MONTH_START} @ end() < time())[31d:1h])\n"
            f"or {SPENT}:increase1d * 0",
        ),
    )


def _forecast() -> tuple[Recording, ...]:
    """What the month will have cost at its end, and within which bounds.

    The month so far, and for each of the r days left the mean of the last n = 7 days. The bounds are two standard
    errors of such a prediction: the r days vary by r * s**2 together, and the mean itself is uncertain by s**2 / n,
    which counts r times over: r**2 * s**2 / n. With s**2 = v * n / (n - 1), where v is what stdvar_over_time gives,
    the sum is v * r * (n + r) / (n - 1). A weekly rhythm makes the bounds wider than they need be: late, never false.
    """
    left = f"scalar({_DAYS_LEFT})"
    days = f"count_over_time({_WEEK})"
    rest = f"{SPENT}:mean_day_7d * {left}"
    return (
        Recording(name=f"{SPENT}:mean_day_7d", expr=f"avg_over_time({_WEEK}) and {days} >= {_LEAST_DAYS}"),
        Recording(name=f"{SPENT}:forecast_month", expr=f"{SPENT}:month + {rest}"),
        Recording(
            name=f"{SPENT}:forecast_month_margin",
            expr=f"2 * sqrt(stdvar_over_time({_WEEK}) * {left} * ({days} + {left}) / ({days} - 1))\n"
            f"and {SPENT}:mean_day_7d",
        ),
        Recording(
            name=f"{SPENT}:forecast_month_low",
            # What is spent is spent: the rest of the month costs no less than nothing.
            expr=f"{SPENT}:month + clamp_min({rest} - {SPENT}:forecast_month_margin, 0)",
        ),
        Recording(name=f"{SPENT}:forecast_month_high", expr=f"{SPENT}:forecast_month + {SPENT}:forecast_month_margin"),
    )


def _usual_day(thresholds: Thresholds) -> Recording:
    """The mean of the 7 days before the last 24 hours, where there is enough history."""
    before = f"{_WEEK} offset 1d"
    days = min(thresholds.cost_spike.min_days, 7)
    return Recording(
        name=f"{SPENT}:usual_day", expr=f"avg_over_time({before}) > 0 and count_over_time({before}) >= {days}"
    )


def _budgets(thresholds: Thresholds) -> tuple[Recording, ...]:
    """The budgets as series, one a service; none, and thus no alert, as shipped."""
    recordings = []
    for period in ("month", "day"):
        amounts = {name: getattr(budget, period) for name, budget in thresholds.budgets.items()}
        each = [
            f'label_replace(vector({dollars:.15g}), "job", "{name}", "", "")'
            for name, dollars in amounts.items()
            if dollars
        ]
        recordings.append(Recording(name=f"{PLANNED}:{period}", expr="\nor ".join(each) or "vector(0) < 0"))
    return tuple(recordings)


# --- Limits in dollars -----------------------------------------------------------------------------------------------


def _hourly(thresholds: Thresholds, severity: Severity) -> Alert:
    limit = thresholds.hourly_cost.at(severity)
    return Alert(
        name="GenAIHourlyCostHigh",
        severity=severity,
        expr=f"{SPENT}:increase1h > {limit.above:.15g}",
        for_=limit.for_,
        keep_firing_for=Duration("10m"),
        why="The hour of the window is the patience. keep_firing_for: spending near the threshold is one alert.",
        summary='{{ $labels.job }} spent ${{ $value | printf "%.2f" }} on model calls within an hour',
        description=f"More than ${limit.above:,.15g} within the last hour. Calls without a known price come on top.",
        impact="Users notice nothing; money goes faster than planned for as long as this lasts.",
        traces=worst_calls(60),
    )


def _daily(thresholds: Thresholds, severity: Severity) -> Alert:
    limit = thresholds.daily_cost.at(severity)
    # A spike says more: it compares with the usual. What is critical is told all the same.
    untold = f"\n{unless_told('GenAICostSpike')}" if severity == "warning" else ""
    return Alert(
        name="GenAIDailyCostHigh",
        severity=severity,
        expr=f"{SPENT}:today > {limit.above:.15g} unless on (job) {PLANNED}:day{untold}",
        for_=limit.for_,
        why="What is spent today stays spent: it fires until midnight UTC, or until a spike tells of it, and needs no "
        "patience.",
        labels={"limit": "dollars"},
        summary='{{ $labels.job }} has spent ${{ $value | printf "%.2f" }} on model calls today',
        description=f"More than ${limit.above:,.15g} since midnight UTC. The service has no budget for the day.",
        impact="Users notice nothing; what is spent cannot be had back, only the rest of the day.",
        traces=worst_calls(24 * 60),
    )


def _daily_budget(thresholds: Thresholds, severity: Severity) -> Alert:
    limit = thresholds.daily_budget.at(severity)
    return Alert(
        name="GenAIDailyCostHigh",
        severity=severity,
        expr=f"{total(f'{SPENT}:today', ('job',))} / on (job) {PLANNED}:day > {limit.above:.15g}",
        for_=limit.for_,
        why="What is spent today stays spent: it fires until midnight UTC, and needs no patience.",
        labels={"limit": "budget"},
        summary="{{ $labels.job }} has used {{ $value | humanizePercentage }} of its budget for the day",
        description=f"More than {percent(limit.above)} of the day's budget is spent since midnight UTC.",
        impact="Users notice nothing; the money planned for this day is running out, or gone.",
        traces=worst_calls(24 * 60),
    )


# --- More than usual -------------------------------------------------------------------------------------------------


def _spike(thresholds: Thresholds, severity: Severity) -> Alert:
    spike = thresholds.cost_spike
    limit = spike.at(severity)
    return Alert(
        name="GenAICostSpike",
        severity=severity,
        expr=f"{SPENT}:increase1d / {SPENT}:usual_day > {limit.above:.15g}\n"
        f"and {SPENT}:increase1d >= {spike.min_usd:.15g}",
        for_=limit.for_,
        keep_firing_for=Duration("1h"),
        why="A day is the patience, and evens out its own rhythm. keep_firing_for: the sum moves in steps of an hour.",
        labels={"window": "1d"},
        summary='{{ $labels.job }} cost {{ $value | printf "%.1f" }} times its usual day within 24 hours',
        description=f"The last 24 hours cost more than {percent(limit.above)} of the mean of the 7 days before, and at "
        f"least ${spike.min_usd:,.15g}.",
        impact="Users notice nothing; the service costs several times what it usually does.",
        traces=worst_calls(24 * 60),
    )


def _surge(thresholds: Thresholds) -> Alert:
    surge = thresholds.cost_surge
    limit = surge.critical
    return Alert(
        name="GenAICostSpike",
        severity="critical",
        expr=f"{SPENT}:increase1h / ({SPENT}:usual_day / 24) > {limit.above:.15g}\n"
        f"and {SPENT}:increase1h >= {surge.min_usd:.15g}",
        for_=limit.for_,
        keep_firing_for=Duration("10m"),
        why="The hour of the window is the patience. keep_firing_for: spending near the threshold is one alert.",
        labels={"window": "1h"},
        summary='{{ $labels.job }} cost {{ $value | printf "%.0f" }} times its usual hour within the last hour',
        description=f"The last hour cost more than {limit.above:,.15g} times the mean hour of 7 days, and at least "
        f"${surge.min_usd:,.15g}.",
        impact="Users notice nothing; in a few hours this costs as much as in days otherwise.",
        traces=worst_calls(60),
    )


# --- The month's budget ----------------------------------------------------------------------------------------------


def _month_forecast(thresholds: Thresholds, severity: Severity) -> Alert:
    surely = severity == "critical"
    # Too young for a forecast, it has cost at least what it has cost already.
    forecast = total(f"{SPENT}:forecast_month or {SPENT}:month", ("job",))
    bound = total(f"{SPENT}:forecast_month_low or {SPENT}:month", ("job",)) if surely else forecast
    return Alert(
        name="GenAIMonthForecastHigh",
        severity=severity,
        # The value is the forecast itself, for either severity.
        expr=f"{forecast}\nand on (job) {bound} > on (job) {PLANNED}:month",
        for_=getattr(thresholds.month_forecast, severity),
        keep_firing_for=Duration("6h"),
        why="for: it moves in steps of an hour. keep_firing_for: one near the budget crosses it every night.",
        summary='{{ $labels.job }} will have cost ${{ $value | printf "%.0f" }} by the end of the month',
        description=(
            "Even the low end of the forecast is above the month's budget."
            if surely
            else "The forecast (this month so far, and the mean day of the last week for each day left) is above the "
            "month's budget."
        ),
        impact="Users notice nothing; the budget of this month will not last.",
    )


def _budget_rate(thresholds: Thresholds, severity: Severity) -> Alert:
    limit = thresholds.budget_rate.at(severity)
    # One of the two is enough: this one tells of a pace that breaks the next month rather than this one.
    told = firing("GenAIMonthForecastHigh", *(['severity="critical"'] if severity == "critical" else []))
    return Alert(
        name="GenAIBudgetRateHigh",
        severity=severity,
        expr=f"{total(f'{SPENT}:mean_day_7d', ('job',))} * on () group_left () days_in_month()\n"
        f"/ on (job) {PLANNED}:month > {limit.above:.15g}\nunless on (job) {told}",
        for_=limit.for_,
        keep_firing_for=Duration("6h"),
        why="for: the forecast, where it fires, says it better, and is due first. keep_firing_for: as there.",
        summary='{{ $labels.job }} spends at {{ $value | printf "%.1f" }} times the rate of its month\'s budget',
        description=f"A month like the last 7 days would cost more than {limit.above:,.15g} times the budget.",
        impact="Users notice nothing; a month at this pace costs more than its budget.",
    )


# --- Budgets that the application enforces ---------------------------------------------------------------------------


def _refusals(thresholds: Thresholds, severity: Severity) -> Alert:
    share = thresholds.budget_refusals
    limit = share.at(severity)
    # A user who has used up what he may is no fault of the service's; one loop of his makes many refusals.
    selector = series(BUDGET_EXCEEDED, Match(BUDGET_ACTION, "=", "refused"), Match(BUDGET, "!~", "user[=/].*"))
    refused = total(count_within(selector, "5m"), SERVICE)
    made = "job:genai_calls_finished:increase5m"
    return Alert(
        name="GenAIBudgetExceeded",
        severity=severity,
        # Refused calls were never made: they come on top of those that were, of which there may be none at all.
        expr=f"{refused}\n/ ({made} + {refused} or {refused})\n> {limit.above:.15g}\n"
        f"and {refused} >= {share.min_calls}",
        for_=limit.for_,
        keep_firing_for=Duration("15m"),
        why="for: the window is most of the patience. keep_firing_for: a feature used now and then is one alert.",
        summary="A budget refuses {{ $value | humanizePercentage }} of the model calls of {{ $labels.job }}",
        description=f"More than {percent(limit.above)} of the calls of 5 minutes were refused, as a team, a feature or "
        "a tenant has used up a budget that the application enforces. Their users get no answer.",
        impact="Users of what has used up its budget get no answer until it is raised or its period ends.",
    )


def _exceeded() -> Alert:
    return Alert(
        name="GenAIBudgetExceeded",
        severity="info",
        expr=total(count_from_first(series(BUDGET_EXCEEDED), "1h"), labels(BUDGET, BUDGET_ACTION)) + " > 0",
        why="No `for`: the first call counts. The hour of the window keeps it firing while calls come.",
        summary=f"The budget {{{{ $labels.{BUDGET.label} }}}} of {{{{ $labels.job }}}} is used up",
        description=f'{{{{ $value | printf "%.0f" }}}} calls came beyond it within an hour: '
        f"{{{{ $labels.{BUDGET_ACTION.label} }}}} by the application.",
        impact="Calls beyond the budget get no answer or, where they are let through, cost more than was planned.",
    )


# --- Unknown prices --------------------------------------------------------------------------------------------------


def _unpriced() -> Alert:
    unpriced = count_from_first(series(CALLS_UNPRICED), "1h")
    return Alert(
        name="GenAIUnpricedModel",
        severity="warning",
        expr=total(unpriced, labels(PROVIDER, REQUEST_MODEL, UNPRICED)) + " > 0",
        why="No `for`: the first call counts. The hour of the window keeps it firing while the model is in use.",
        summary=f"Calls of {{{{ $labels.{REQUEST_MODEL.label} }}}} by {{{{ $labels.job }}}} have no price: "
        '{{ $value | printf "%.0f" }} within an hour',
        description=f"Their cost is missing from every sum of money (reason: {{{{ $labels.{UNPRICED.label} }}}}). "
        "unknown_model: the price table lacks the model. no_usage: the answer reported no tokens. "
        "no_price: the table lacks a kind of usage or the service tier.",
        impact="Users notice nothing; every sum of money lacks what these calls cost.",
    )
