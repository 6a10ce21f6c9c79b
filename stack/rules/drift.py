"""Statistical process control of quality and answer length: sudden drops of a score, and drifts of either.

A point is the mean of an hour. The centre line is the median of 14 days that ended a day ago, so that a fault does not
move the line that it is held against; the standard deviation is their interquartile range over 1.349, as of the normal
distribution. Scores are too few for a value at each time of each day, and have no daily cycle to speak of: the hours of
two weeks are one distribution. A control chart is usually made with the mean and the standard deviation, of a process
that was watched while it was good; here nobody watched, and one bad day would widen the limits for two weeks.

A drop is one point beyond 3 standard deviations, a drift three consecutive ones beyond 2 on the same side (after the
rules of the Western Electric Company's Statistical Quality Control Handbook, 1956; NIST/SEMATECH e-Handbook of
Statistical Methods, 6.3.2; two of three are enough there, for points that, unlike the hours of a day, do not resemble
each other). Each is only told if it is large enough for someone to care.
"""

from genai_observability.signals import EVALUATION_NAME

from stack.rules.baselines import FEATURES, least_samples, measure
from stack.rules.calls import Level
from stack.rules.model import Alert, Group, Recording, percent
from stack.rules.promql import unless_told
from stack.rules.quality import OF, SCORES, judged
from stack.thresholds import SEVERITIES, Duration, Severity, Thresholds

LENGTH = "output_tokens"
QUALITY = "quality"

_IQR_OF_NORMAL = 1.349
"""Width of the middle half of the normal distribution, in standard deviations."""

_LOOKED_AT = "4h"
"""Three hours, and the one that the first of them is the mean of: what was told meanwhile is no news."""

_LEAST_SPREAD = 0.02
"""A score that never changed would find a drop of a thousandth enormous."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """Lengths by feature, and scores by evaluation and feature."""
    drift = thresholds.drift
    least = {FEATURES: drift.length, SCORES: drift.quality}
    return (
        Group(name="genai_drift_points", interval=Duration("5m"), rules=_points(thresholds)),
        *(
            Group(name=f"genai_drift_lines_{level.name}", interval=Duration("30m"), rules=_lines(level, thresholds))
            for level in least
        ),
        Group(
            name="genai_drift",
            interval=Duration("1m"),
            rules=(
                *(rule for level, share in least.items() for rule in _distance(level, drift.z, share)),
                *(_drop(thresholds, severity) for severity in SEVERITIES),
                _drift(thresholds),
            ),
        ),
    )


def _points(thresholds: Thresholds) -> tuple[Recording, Recording]:
    return (
        Recording(name=f"{FEATURES.name}:genai_drift:now", expr=f"avg_over_time({measure(FEATURES, LENGTH)}[1h])"),
        Recording(name=f"{SCORES.name}:genai_drift:now", expr=judged(thresholds), labels={"measure": QUALITY}),
    )


def _lines(level: Level, thresholds: Thresholds) -> tuple[Recording, Recording]:
    history = f"{level.name}:genai_drift:now[14d] offset 1d"
    return (
        Recording(
            name=f"{level.name}:genai_drift:centre",
            expr=f"quantile_over_time(0.5, {history})\nand count_over_time({history}) >= {least_samples(thresholds)}",
        ),
        Recording(
            name=f"{level.name}:genai_drift:sd",
            expr=f"(quantile_over_time(0.75, {history}) - quantile_over_time(0.25, {history})) / {_IQR_OF_NORMAL}\n"
            f"> {_LEAST_SPREAD} * {level.name}:genai_drift:centre\n"
            f"or {_LEAST_SPREAD} * {level.name}:genai_drift:centre",
        ),
    )


def _distance(level: Level, z: float, least: float) -> tuple[Recording, ...]:
    drift = f"{level.name}:genai_drift"
    # Points are recorded every 5 minutes: by the time that the next one is there, the last would be too old otherwise.
    now = f"last_over_time({drift}:now[10m])"
    centre, sd = (f"last_over_time({drift}:{line}[90m])" for line in ("centre", "sd"))
    return (
        Recording(name=f"{drift}:change", expr=f"{now} / {centre} - 1"),
        Recording(name=f"{drift}:z", expr=f"({now} - {centre}) / {sd}"),
        # 1 above the limits, -1 below, 0 between them.
        Recording(
            name=f"{drift}:beyond",
            expr=f"({drift}:z > bool {z:.15g}) * ({drift}:change > bool {least:.15g})\n"
            f"- ({drift}:z < bool -{z:.15g}) * ({drift}:change < bool -{least:.15g})",
        ),
    )


def _drop(thresholds: Thresholds, severity: Severity) -> Alert:
    drop = thresholds.quality.drop
    lost = drop.warning if severity == "warning" else drop.critical
    drift = f"{SCORES.name}:genai_drift"
    return Alert(
        name="GenAIQualityDrop",
        severity=severity,
        expr=f"-{drift}:change > {lost:.15g}\nand {drift}:z < -{drop.z:.15g}\n"
        f"{unless_told('GenAIQualityLow', by=SCORES.labels)}",
        for_=thresholds.quality.for_,
        keep_firing_for=Duration("30m"),
        why="for: besides the hour of the window. keep_firing_for: half of it, so that a drop near the limit is one "
        "alert.",
        summary=f"The {{{{ $labels.{EVALUATION_NAME.label} }}}} score of {OF} fell by "
        "{{ $value | humanizePercentage }}",
        description=f"The mean of the last hour is more than {percent(lost)} below the median of two weeks, and by "
        f"more than {drop.z:.15g} standard deviations: answers became worse than they were.",
        impact="Users get answers that are clearly worse than they were.",
    )


def _drift(thresholds: Thresholds) -> Alert:
    drift = thresholds.drift
    return Alert(
        name="GenAIDrift",
        severity="warning",
        # Longer and shorter answers, unless their price is told of; of scores only those that fall.
        expr=f"(\n(\n{_drifting(FEATURES, 1)}\nor {_drifting(FEATURES, -1)}\n)\n"
        f"{unless_told('GenAITokensUnusual', 'GenAICostUnusual', within=_LOOKED_AT)}\n)\n"
        f"or (\n{_drifting(SCORES, -1)}\n"
        f"{unless_told('GenAIQualityLow', 'GenAIQualityDrop', by=SCORES.labels, within=_LOOKED_AT)}\n)",
        for_=Duration("0s"),
        keep_firing_for=Duration("2h"),
        why="No `for`: the three hours are the patience. keep_firing_for: a drift comes and goes at its beginning.",
        summary=f"{{{{ if eq $labels.measure `{QUALITY}` }}}}Scores{{{{ else }}}}Lengths{{{{ end }}}} of answers of "
        f"{OF} drift: {{{{ $value | humanizePercentage }}}} from usual",
        description=f"{{{{ with $labels.{EVALUATION_NAME.label} }}}}Score: {{{{ . }}}}. {{{{ end }}}}In 3 consecutive "
        f"hours the mean was beyond {drift.z:.15g} standard deviations of two weeks, on the same side, and "
        f"by more than {percent(drift.quality)} (scores) or {percent(drift.length)} (output tokens a call) of its "
        "median.",
        impact="Users get other answers than before: worse ones, longer ones or shorter ones.",
    )


def _drifting(level: Level, side: int) -> str:
    beyond = f"{level.name}:genai_drift:beyond"
    three = (f"{beyond}{hour} == {side}" for hour in ("", " offset 1h", " offset 2h"))
    return "\nand ".join((f"{level.name}:genai_drift:change", *three))
