"""Learned baselines: what is usual for an operation of a service, and for a feature, at this time of day.

Every minute a measure (p95, tokens a call, …) is taken over the last quarter of an hour. What is usual is the median of
its values at the same time of the last 7 days; what is the most that is usual, the highest of that, of the median of
the same weekday of the last 4 weeks, and of yesterday: so a weekend is compared with weekends too, and a change that
lasts is told of for one day, not until the median has learned it. Medians, because an incident of last week must not
make the next one usual.

The spread is that of other days, as a share: median(|value / usual - 1|) over 14 days, times 1.4826, which makes it a
standard deviation where values are normal (the median absolute deviation: Rousseeuw and Croux 1993, Journal of the
American Statistical Association 88, 1273; Leys et al. 2013, Journal of Experimental Social Psychology 49, 764). The
mean and the standard deviation would both be carried away by the outliers that they are to find.

The spread of a share of failures follows from the number of calls instead, sqrt(p (1 - p) / n), as most hours of most
services have no failure and a median deviation of 0 (p-chart: NIST/SEMATECH e-Handbook of Statistical Methods,
6.3.3.2).
"""

from collections.abc import Callable

from genai_observability.signals import CALL_COST, CALL_TOKENS, FEATURE, OPERATION, TOKEN_TYPE, Attribute

from stack.rules.calls import LEVELS, Level
from stack.rules.errors import AFFECTED
from stack.rules.model import Alert, Group, Recording, percent, worst_calls
from stack.rules.promql import SERVICE, Match, count_within, labels, on, over, series, total, unless_told
from stack.thresholds import Duration, Thresholds, Unusual

WINDOW = "15m"
OPERATIONS, FEATURES = (next(each for each in LEVELS if each.attributes == (by,)) for by in (OPERATION, FEATURE))

_MINUTES = 15
# An outage that is over stays in the window as long as that is.
_UNLESS_PROVIDER_DOWN = f"unless {on(*SERVICE)} last_over_time({AFFECTED}[{WINDOW}])"
_NORMAL = 1.4826
"""1 / 0.6745, the third quartile of the normal distribution."""
_LEAST_SPREAD = 0.05
"""A service without any spread, as in a load test, would take a tenth of a second for unusual."""
_WHO = f"{{{{ or $labels.{FEATURE.label} $labels.{OPERATION.label} `calls` }}}} of {{{{ $labels.job }}}}"
"""In a message: the feature or the operation, calls that have no feature, and the service."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """The measures, what is usual for them and how far they are from it, and the alerts."""
    levels = (OPERATIONS, FEATURES)
    return (
        *(
            Group(
                name=f"genai_measures_{level.name}",
                interval=Duration("1m"),
                rules=(*_counts(level), *_measures(level, thresholds), *_distances(level)),
            )
            for level in levels
        ),
        # Slow, as they look back for weeks; whoever reads them takes the last value.
        *(
            Group(name=f"genai_usual_{level.name}", interval=Duration("5m"), rules=_usual(level, thresholds))
            for level in levels
        ),
        *(
            Group(name=f"genai_spread_{level.name}", interval=Duration("30m"), rules=(_spread(level, thresholds),))
            for level in levels
        ),
        Group(
            name="genai_unusual",
            interval=Duration("15s"),
            rules=(
                _latency(thresholds),
                _tokens(thresholds),
                *_cost(thresholds),
                _errors(thresholds),
            ),
        ),
    )


def measure(level: Level, name: str) -> str:
    """The selector of a measure's value now."""
    return f'{level.name}:genai_measure:now{{measure="{name}"}}'


def queried(metric: str, conditions: str, *attributes: Attribute) -> str:
    """A query in a template: the metric's series of the service and the attributes' values that the alert is about.

    A label that the alert lacks is empty in the query, which matches the series that lack it too.
    """
    names = labels(*attributes)
    own = "".join(f",{label}=%q" for label in names)
    values = " ".join(f"$labels.{label}" for label in names)
    return f"printf `{metric}{{{conditions}{own}}}` {values} | query"


def least_samples(thresholds: Thresholds) -> int:
    """The least history, in samples of what is recorded every 5 minutes."""
    return thresholds.learning.min_hours * 12


# --- The measures ----------------------------------------------------------------------------------------------------


def _counts(level: Level) -> tuple[Recording, ...]:
    counted = f"[{WINDOW}]) * {_MINUTES // 5}"
    return (
        Recording(
            name=f"{level.name}:genai_calls_finished:increase{WINDOW}",
            expr=f"avg_over_time({level.name}:genai_calls_finished:increase5m{counted}",
        ),
        Recording(
            name=f"{level.name}:genai_calls_failed:increase{WINDOW}",
            expr=f"avg_over_time({level.name}:genai_calls_failed:increase5m{counted}",
        ),
        # Calls that reported tokens, those of batches among them, whose tokens and cost are counted with the others'.
        Recording(
            name=f"{level.name}:genai_calls_with_tokens:increase{WINDOW}",
            expr=total(
                over(lambda calls: count_within(calls, WINDOW), CALL_TOKENS, part="count"),
                (*level.labels, TOKEN_TYPE.label),
            ),
        ),
    )


def _measures(level: Level, thresholds: Thresholds) -> tuple[Recording, ...]:
    least = thresholds.learning.min_calls
    finished = f"({level.name}:genai_calls_finished:increase{WINDOW} >= {least})"
    with_input = total(
        f'{level.name}:genai_calls_with_tokens:increase{WINDOW}{{{TOKEN_TYPE.label}="input"}} >= {least}', level.labels
    )
    cost = total(count_within(series(CALL_COST), WINDOW), level.labels)
    buckets = f"{level.name}:genai_call_duration_seconds_bucket:rate5m"
    values = {
        "latency": f"histogram_quantile(0.95, avg_over_time({buckets}[{WINDOW}])) >= 0\nand {finished}",
        **{f"{kind}_tokens": _tokens_per_call(level, kind, least) for kind in ("input", "output")},
        "cost_per_call": f"{cost}\n/ {with_input}",
        "spend": f"{60 // _MINUTES} * {cost} > 0",
        # So that a share has a usual value that one can be several times of.
        "errors": f"clamp_min({level.name}:genai_calls_failed:increase{WINDOW} / {finished}, "
        f"{thresholds.unusual.errors.least_share:.15g})",
    }
    return tuple(
        Recording(name=f"{level.name}:genai_measure:now", expr=expr, labels={"measure": name})
        for name, expr in values.items()
    )


def _tokens_per_call(level: Level, kind: str, least: int) -> str:
    tokens = count_within(series(CALL_TOKENS, Match(TOKEN_TYPE, "=", kind), part="sum"), WINDOW)
    calls = f'{level.name}:genai_calls_with_tokens:increase{WINDOW}{{{TOKEN_TYPE.label}="{kind}"}} >= {least}'
    return f"{total(tokens, level.labels)}\n/ {total(calls, level.labels)}"


# --- What is usual ---------------------------------------------------------------------------------------------------


def _usual(level: Level, thresholds: Thresholds) -> tuple[Recording, ...]:
    now, usual = f"{level.name}:genai_measure:now", f"{level.name}:genai_measure:usual"
    days = _ago(now, [f"{day}d" for day in range(1, 8)])
    weeks = _ago(now, [f"{week}w" for week in range(1, 5)])
    references = (
        f'label_replace({usual}, "ago", "days", "", "")\n'
        f'or label_replace(quantile without (ago) (0.5,\n{weeks}\n), "ago", "weeks", "", "")\n'
        f'or label_replace({now} offset 1d, "ago", "yesterday", "", "")'
    )
    # Before there is a week of history nobody knows what weekends are like.
    a_week_old = "\nor ".join(f"{now} offset {week}w" for week in range(1, 5))
    return (
        Recording(
            name=usual,
            expr=f"quantile without (ago) (0.5,\n{days}\n)\n"
            f"and count without (ago) (\n{days}\n) >= {thresholds.learning.min_days}",
        ),
        Recording(
            name=f"{level.name}:genai_measure:most_usual",
            expr=f"max without (ago) (\n{references}\n)\nand {usual}\nand (\n{a_week_old}\n)",
        ),
        Recording(name=f"{level.name}:genai_measure:deviation", expr=f"abs({now} / {usual} - 1)"),
    )


def _ago(name: str, offsets: list[str]) -> str:
    return "\nor ".join(f'label_replace({name} offset {ago}, "ago", "{ago}", "", "")' for ago in offsets)


def _spread(level: Level, thresholds: Thresholds) -> Recording:
    deviations = f"{level.name}:genai_measure:deviation[14d]"
    return Recording(
        name=f"{level.name}:genai_measure:spread",
        expr=f"clamp_min({_NORMAL} * quantile_over_time(0.5, {deviations}), {_LEAST_SPREAD})\n"
        f"and count_over_time({deviations}) >= {least_samples(thresholds)}",
    )


def _distances(level: Level) -> tuple[Recording, ...]:
    measured = f"{level.name}:genai_measure"
    return (
        Recording(name=f"{measured}:times_usual", expr=f"{measured}:now / last_over_time({measured}:most_usual[20m])"),
        Recording(
            name=f"{measured}:z",
            expr=f"({measured}:times_usual - 1) / last_over_time({measured}:spread[90m])",
        ),
    )


# --- Alerts ----------------------------------------------------------------------------------------------------------


def _latency(thresholds: Thresholds) -> Alert:
    latency = thresholds.unusual.latency
    return _alert(
        "GenAILatencyUnusual",
        "latency",
        latency,
        expr=f"{_far(latency, 'latency', thresholds)}\n{unless_told('GenAILatencyHigh', 'GenAILatencyBurst')}\n"
        + _UNLESS_PROVIDER_DOWN,
        what="The p95 of",
        unit="humanizeDuration",
        meaning="Of the successful calls of 15 minutes, 5% took longer than this.",
        impact="Users wait longer than they are used to; nothing fails.",
        traces=worst_calls(),
    )


def _tokens(thresholds: Thresholds) -> Alert:
    tokens = thresholds.unusual.input_tokens
    return _alert(
        "GenAITokensUnusual",
        "input_tokens",
        tokens,
        expr=_far(tokens, "input_tokens", thresholds),
        what="The length of prompts of",
        unit='printf "%.0f tokens"',
        meaning="Input tokens a call, over 15 minutes. They cost money and time with each call.",
        impact="Users notice little; each call costs more and takes longer, and very long prompts may be refused.",
    )


def _cost(thresholds: Thresholds) -> tuple[Alert, Alert]:
    spend, per_call = thresholds.unusual.spend, thresholds.unusual.cost_per_call
    much = "\nor ".join(
        f"{measure(level, 'spend')} > {spend.min_usd_per_hour:.15g}" for level in (OPERATIONS, FEATURES)
    )
    return (
        _alert(
            "GenAICostUnusual",
            "spend",
            spend,
            expr=f"{_far(spend, 'spend', thresholds)}\nand (\n{much}\n)\n"
            # Longer prompts, which come first, explain it.
            + unless_told("GenAIHourlyCostHigh", "GenAICostSpike", "GenAITokensUnusual"),
            what="Spending of",
            unit='printf "$%.2f an hour"',
            meaning="By the last 15 minutes. Calls without a known price come on top.",
            impact="Users notice nothing; more money is spent than usual.",
            traces=worst_calls(),
        ),
        _alert(
            "GenAICostUnusual",
            "cost_per_call",
            per_call,
            # What longer prompts, longer answers and more calls cost has alerts of its own.
            expr=f"{_far(per_call, 'cost_per_call', thresholds)}\n"
            + unless_told(
                "GenAITokensUnusual",
                "GenAICostUnusual",
                "GenAIDrift",
                conditions=('measure=~"spend|input_tokens|output_tokens"',),
            ),
            what="The price of a call of",
            unit='printf "$%.4f a call"',
            meaning="Over 15 minutes, and longer prompts do not explain it: a dearer model or service tier, longer "
            "answers, or fewer tokens from the provider's cache.",
            impact="Users notice nothing; each call costs more than usual.",
            traces=worst_calls(),
        ),
    )


def _errors(thresholds: Thresholds) -> Alert:
    errors = thresholds.unusual.errors
    failing = _by_level(lambda level: _failing(level, thresholds))
    return _alert(
        "GenAIErrorsUnusual",
        "errors",
        errors,
        expr=f"{failing}\n{unless_told('GenAIErrorBurst', 'GenAIErrorRatioHigh', within='1h')}\n"
        f"{_UNLESS_PROVIDER_DOWN}",
        what="The share of failed calls of",
        unit="humanizePercentage",
        meaning=f"Of the calls of 15 minutes, at least {errors.min_calls} ended in an error or a timeout, more than "
        f"chance explains. A usual share below {percent(errors.least_share)} counts as that.",
        impact="Some users get no answer, perhaps all users of one feature.",
        traces=worst_calls(),
    )


def _failing(level: Level, thresholds: Thresholds) -> str:
    errors = thresholds.unusual.errors
    most = f'last_over_time({level.name}:genai_measure:most_usual{{measure="errors"}}[20m])'
    by = ", ".join(level.labels)
    return (
        f'{level.name}:genai_measure:times_usual{{measure="errors"}} > {errors.times:.15g}\n'
        f"and {measure(level, 'errors')} - {most}\n"
        f"  > {thresholds.unusual.z:.15g} * sqrt({most} * (1 - {most})"
        f" / on ({by}) group_left () {level.name}:genai_calls_finished:increase{WINDOW})\n"
        f"and on ({by}) {level.name}:genai_calls_failed:increase{WINDOW} >= {errors.min_calls}"
    )


def _far(unusual: Unusual, name: str, thresholds: Thresholds) -> str:
    return _by_level(
        lambda level: (
            f'{level.name}:genai_measure:times_usual{{measure="{name}"}} > {unusual.times:.15g}\n'
            f"and {level.name}:genai_measure:z > {thresholds.unusual.z:.15g}"
        )
    )


def _by_level(condition: Callable[[Level], str]) -> str:
    """True of an operation; else of a feature, which would only repeat it."""
    whole = condition(OPERATIONS)
    return f"(\n{whole}\nor (\n{condition(FEATURES)}\nunless on ({', '.join(SERVICE)}) (\n{whole}\n)\n)\n)"


def _alert(
    name: str,
    measured: str,
    unusual: Unusual,
    *,
    expr: str,
    what: str,
    unit: str,
    meaning: str,
    impact: str,
    traces: str = "",
) -> Alert:
    levels = f"{OPERATIONS.name}|{FEATURES.name}"
    now, most = (
        queried("", f'__name__=~"({levels}):genai_measure:{kind}",measure="{measured}"', OPERATION, FEATURE)
        for kind in ("now", "most_usual")
    )
    value = f"{{{{ . | first | value | {unit} }}}}{{{{ end }}}}"
    return Alert(
        name=name,
        severity="warning",
        expr=expr,
        for_=unusual.for_,
        keep_firing_for=Duration("10m"),
        why="for: besides the window of 15 minutes, as nobody is harmed yet that other alerts do not tell of. "
        "keep_firing_for: a value near the limit is one alert.",
        summary=f'{what} {_WHO} is {{{{ $value | printf "%.1f" }}}} times the usual',
        labels={"measure": measured},
        description=f"Now {{{{ with {now} }}}}{value}; the most that is usual at this time of day and week is "
        f"{{{{ with {most} }}}}{value}. {meaning}",
        impact=impact,
        traces=traces,
    )
