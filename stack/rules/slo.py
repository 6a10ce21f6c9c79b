"""Service level objectives: good and all events by window, the error budget, and alerts on how fast it is used up.

Every window is a sum of counts, so that a busy hour weighs more than a quiet one; shares are only taken of the sums.
The windows beyond five minutes are not counted anew from the metrics, of which 30 days are hundreds of thousands of
samples a series. They are sums of what is recorded once a minute and, for 30 days, of what that makes in five.

The windows and factors of the alerts are those of https://sre.google/workbook/alerting-on-slos/, its sixth method: a
page when 2 % of the budget of 30 days went in an hour or 5 % in six, a ticket for 10 % in one day or in three. The
shorter window ends the alert soon after the fault.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from genai_observability.signals import EVALUATION_NAME, FEATURE, OPERATION, Attribute

from stack.rules.calls import LEVELS
from stack.rules.errors import AFFECTED
from stack.rules.model import Alert, Group, Recording, worst_calls
from stack.rules.promql import SERVICE, Match, at_most, count_within, labels, on, series, total
from stack.slos import EVERY, METRICS, Kind, Slo, Slos
from stack.thresholds import Duration, Severity

ALERT: Final = "GenAISLOBurn"


@dataclass(frozen=True, slots=True)
class Pair:
    """Fires while the budget is used up more than ``factor`` times too fast, over both windows."""

    short: str
    long: str
    factor: float


PAIRS: Final[Mapping[Severity, tuple[Pair, ...]]] = {
    "critical": (Pair("5m", "1h", 14.4), Pair("30m", "6h", 6)),
    "warning": (Pair("2h", "1d", 3), Pair("6h", "3d", 1)),
}

_TOLD: Final[Mapping[Kind, tuple[str, ...]]] = {
    "availability": (
        "GenAIErrorBurst", "GenAINoSuccess", "GenAIErrorRatioHigh", "GenAIRateLimited", "GenAIErrorsUnusual",
    ),
    "latency": ("GenAILatencyHigh", "GenAILatencyBurst", "GenAILatencyUnusual"),
    "time_to_first_token": ("GenAILatencyHigh", "GenAILatencyBurst", "GenAILatencyUnusual"),
    "quality": ("GenAIQualityLow", "GenAIQualityDrop", "GenAIFeedbackBad"),
}  # fmt: skip
"""Alerts that tell of the same fault, sooner and nearer to its cause."""

_SUFFERED: Final[Mapping[Kind, str]] = {
    "availability": "get no answer",
    "latency": "wait for their answers",
    "time_to_first_token": "wait for their answers to begin",
    "quality": "get bad answers",
}


def groups(slos: Slos) -> tuple[Group, ...]:
    """What is measured each minute, with the pages; and the longer windows, with the tickets."""
    each = [(str(name), slo) for name, slo in slos.slos.items()]
    if not each:
        return ()
    return (
        Group(
            name="genai_slo",
            interval=Duration("1m"),
            rules=(
                *(_objective(name, slo) for name, slo in each),
                *(rule for name, slo in each for rule in _events(name, slo)),
                *_shares("5m"),
                *(rule for window in ("30m", "1h", "2h", "6h") for rule in _window(window)),
                *(alert for name, slo in each for alert in _alert(name, slo, "critical")),
            ),
        ),
        # Read by sums over windows alone, for which it does not matter that each value is outdated before the next.
        Group(
            name="genai_slo_history",
            interval=Duration("5m"),
            rules=tuple(
                Recording(name=f"job:genai_slo_{which}:sum5m", expr=_sum(which, "5m")) for which in ("total", "good")
            ),
        ),
        # These are the dearer ones, and what they say changes slowly; at 5 minutes a value would be outdated at times.
        Group(
            name="genai_slo_budget",
            interval=Duration("2m"),
            rules=(
                *(rule for window in ("1d", "3d") for rule in _window(window)),
                *(
                    Recording(
                        name=f"job:genai_slo_{which}:increase30d",
                        expr=f"sum_over_time(job:genai_slo_{which}:sum5m[30d])",
                    )
                    for which in ("total", "good")
                ),
                *_shares("30d"),
                Recording(name="job:genai_slo_budget_left:ratio30d", expr="1 - job:genai_slo_burn_rate:ratio30d"),
                *(alert for name, slo in each for alert in _alert(name, slo, "warning")),
            ),
        ),
    )


def _objective(name: str, slo: Slo) -> Recording:
    return Recording(name="slo:genai_slo_objective:ratio", expr=f"vector({slo.share})", labels={"slo": name})


def _events(name: str, slo: Slo) -> tuple[Recording, ...]:
    return tuple(
        Recording(name=f"job:genai_slo_{which}:increase5m", expr=expr, labels={"slo": name})
        for which, expr in zip(("total", "good"), _counts(slo), strict=True)
    )


def _counts(slo: Slo) -> tuple[str, str]:
    """The events of five minutes: all, and the good ones."""
    if slo.kind == "availability":
        calls, failed, refused = (
            _of(slo, f"{_level(slo)}:genai_calls_{which}:increase5m")
            for which in ("finished", "failed", "rate_limited")
        )
        return calls, f"{calls}\n- {failed}\n- {refused}"
    if slo.kind == "latency":
        buckets = f"{_level(slo)}:genai_call_duration_seconds_bucket:rate5m"
        return _in_5m(_of(slo, buckets, 'le="+Inf"')), _in_5m(_of(slo, buckets, at_most(slo.bound)))
    metric = METRICS[slo.kind]
    named = (Match(EVALUATION_NAME, "=", slo.evaluation),) if slo.evaluation else ()
    by = labels(*_parts(slo))
    every = total(count_within(_of(slo, series(metric, *named, part="count")), "5m"), by)
    low = total(count_within(_of(slo, series(metric, *named, part="bucket"), at_most(slo.bound)), "5m"), by)
    return every, f"{every}\n- {low}" if slo.kind == "quality" else low


def _parts(slo: Slo) -> tuple[Attribute, ...]:
    """What a service is divided by; each part has a budget of its own."""
    return (FEATURE,) if slo.feature else (OPERATION,) if slo.operation else ()


def _level(slo: Slo) -> str:
    (level,) = [level.name for level in LEVELS if level.attributes == _parts(slo)]
    return level


def _of(slo: Slo, selector: str, *conditions: str) -> str:
    """The selector, of the services and their parts that the objective is for."""
    name, _, given = selector.partition("{")
    names = {
        "job": None if slo.service == EVERY else slo.service,
        FEATURE.label: slo.feature,
        OPERATION.label: slo.operation,
    }
    matches = (f'{label}=~"{wanted.pattern}"' for label, wanted in names.items() if wanted)
    return f"{name}{{{','.join(filter(None, (given.removesuffix('}'), *matches, *conditions)))}}}"


def _in_5m(per_second: str) -> str:
    return f"sum without (le) ({per_second}) * 300"


def _window(window: str) -> Iterator[Recording]:
    for which in ("total", "good"):
        yield Recording(name=f"job:genai_slo_{which}:increase{window}", expr=_sum(which, window))
    yield from _shares(window)


def _sum(which: str, window: str) -> str:
    # Recorded once a minute for five minutes: every event is in five of them.
    return f"sum_over_time(job:genai_slo_{which}:increase5m[{window}]) / 5"


def _shares(window: str) -> tuple[Recording, ...]:
    """The share of bad events, and that in shares of what is allowed."""
    return (
        Recording(
            name=f"job:genai_slo_errors:ratio{window}",
            expr=f"1 - job:genai_slo_good:increase{window} / (job:genai_slo_total:increase{window} > 0)",
        ),
        Recording(
            name=f"job:genai_slo_burn_rate:ratio{window}",
            expr=f"job:genai_slo_errors:ratio{window}\n/ on (slo) group_left () (1 - slo:genai_slo_objective:ratio)",
        ),
    )


def _alert(name: str, slo: Slo, severity: Severity) -> Iterator[Alert]:
    """One alert for both pairs of windows, of those that can fire: no share is more than 1."""
    pairs = [pair for pair in PAIRS[severity] if pair.factor * slo.budget < 1]
    if not pairs:
        return
    limits = [f"{pair.factor:.15g} over {pair.long} and {pair.short}" for pair in pairs]
    feature = f", feature {{{{ $labels.{FEATURE.label} }}}}," if slo.feature else ""
    yield Alert(
        name=ALERT,
        severity=severity,
        expr="\nor\n".join(_burning(name, slo, severity, pair) for pair in pairs),
        keep_firing_for=Duration("5m" if severity == "critical" else "30m"),
        why="No `for`: the windows are the patience. keep_firing_for: a share near the limit is one alert.",
        summary=f"{{{{ $labels.job }}}}{feature} uses up its error budget of {name} "
        '{{ $value | printf "%.1f" }} times too fast',
        description=f"Promised over 30 days: {_promise(slo)}. At a speed of 1 the budget lasts "
        f"just these 30 days; this is a speed above {', or above '.join(limits)}.",
        impact=f"More users than promised {_SUFFERED[slo.kind]}.",
        traces=worst_calls(60) if slo.kind in ("availability", "latency") else "",
        labels={"slo": name},
    )


def _burning(name: str, slo: Slo, severity: Severity, pair: Pair) -> str:
    burn = "\nand ".join(
        f'job:genai_slo_burn_rate:ratio{window}{{slo="{name}"}} > {pair.factor:.15g}'
        for window in (pair.long, pair.short)
    )
    enough = f'job:genai_slo_total:increase{pair.long}{{slo="{name}"}} >= {slo.min_events}'
    # Never two alerts for one fault: silent about what another one told while the shorter window has it.
    told: list[tuple[tuple[str, ...], str]] = []
    if _TOLD[slo.kind]:
        alerts = f'alertname=~"{"|".join(_TOLD[slo.kind])}"'
        if severity == "critical":
            alerts += ',severity="critical"'
        told.append((SERVICE, alerts))
    if severity == "warning":
        told.append(((*labels(*_parts(slo)), "slo"), f'alertname="{ALERT}",severity="critical",slo="{name}"'))
    silent = [
        f'unless {on(*by)} last_over_time(ALERTS{{{alerts},alertstate="firing"}}[{pair.short}])' for by, alerts in told
    ]
    if slo.kind == "availability":
        silent.append(f"unless {on(*SERVICE)} last_over_time({AFFECTED}[{pair.short}])")
    return "\n".join((burn, f"and {enough}", *silent))


def _promise(slo: Slo) -> str:
    calls = f"{{{{ $labels.{OPERATION.label} }}}} calls" if slo.operation else "calls"
    match slo.kind:
        case "availability":
            what = f"{calls} are answered"
        case "latency":
            what = f"successful {calls} take at most {slo.bound:.15g} s"
        case "time_to_first_token":
            what = f"streamed answers begin within {slo.bound:.15g} s"
        case "quality":
            what = f"scores of {slo.evaluation} are above {slo.bound:.15g}"
    return f"{slo.objective}% of its {what}"
