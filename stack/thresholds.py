"""The thresholds of all alerts, read from one file that users edit and checked down to the line."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from genai_observability.signals import CALL_DURATION, CALL_TIME_TO_FIRST_TOKEN, Metric

from stack.reader import FaultError, FileError, Name, Reader, Scalar, WebAddress, matching

FILE: Final = Path(__file__).with_suffix(".yaml")

INTERACTIVE: Final = "interactive"
"""What calls are that are in no group of ``latency_of``."""

_DURATION = re.compile(r"\d+[smh]")
_LONGEST: Final = 7 * 24 * 3600
"""Seconds: what an alert waits for longer than a week is waited for in vain."""

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("warning", "critical")
"""Those that a value passes through as it grows. What is for the record only, ``info``, is said by its rule."""


class ThresholdsError(FileError):
    """The file has a fault; the message names file, line and key."""


class Duration(str):
    """A Prometheus duration with one unit, such as ``15m``."""

    __slots__ = ()

    @property
    def seconds(self) -> int:
        """Its length."""
        return int(self[:-1]) * {"s": 1, "m": 60, "h": 3600}[self[-1]]


@dataclass(frozen=True, slots=True)
class Limit:
    """Fires when a value is above the limit for a time."""

    above: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class Links:
    """Where the links of an alert lead."""

    inbox: WebAddress
    runbooks: WebAddress
    grafana: WebAddress


@dataclass(frozen=True, slots=True)
class Burst:
    """A share of calls that is critical at once, and the least number of affected calls that counts."""

    critical: Limit
    min_calls: int

    def __post_init__(self) -> None:
        _require_share(critical=self.critical)


@dataclass(frozen=True, slots=True)
class Limits:
    """A value that is first a warning, then critical."""

    warning: Limit
    critical: Limit

    def __post_init__(self) -> None:
        if self.warning.above >= self.critical.above:
            raise FaultError("", "must warn below the value that is critical")

    def at(self, severity: Severity) -> Limit:
        """The limit of a severity."""
        return self.warning if severity == "warning" else self.critical


@dataclass(frozen=True, slots=True)
class Share(Limits):
    """A share of calls, and the least number of affected calls that counts."""

    min_calls: int

    def __post_init__(self) -> None:
        _require_share(warning=self.warning, critical=self.critical)
        Limits.__post_init__(self)


@dataclass(frozen=True, slots=True)
class ProviderDown:
    """Shares of a provider's calls that fail on its side, and the least number of failed calls that counts."""

    at_once: float
    within_minute: float
    for_: Duration
    min_calls: int

    def __post_init__(self) -> None:
        for key, share in (("at_once", self.at_once), ("within_minute", self.within_minute)):
            if share >= 1:
                raise FaultError(key, "is a share and must be below 1 (5 % is 0.05)")


@dataclass(frozen=True, slots=True)
class CriticalOnly:
    """A value that is either in order or critical."""

    critical: Limit


@dataclass(frozen=True, slots=True)
class SlowBurst:
    """A share of calls slower than so many seconds, and the least number of calls that makes it meaningful."""

    slower_than: float
    critical: Limit
    min_calls: int

    def __post_init__(self) -> None:
        _require_share(critical=self.critical)


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds at percentiles, and the least number of calls that makes them meaningful."""

    p50: Limits
    p95: Limits
    p99: CriticalOnly
    first_token: Limits
    burst: SlowBurst
    min_calls: int

    def __post_init__(self) -> None:
        _require_reachable(self)


@dataclass(frozen=True, slots=True)
class OtherLatency:
    """Which calls have limits of their own (any of these services, features or operations), and the limits, if any."""

    min_calls: int
    services: tuple[Name, ...] = ()
    features: tuple[Name, ...] = ()
    operations: tuple[Name, ...] = ()
    p50: Limits | None = None
    p95: Limits | None = None
    p99: CriticalOnly | None = None
    first_token: Limits | None = None
    burst: SlowBurst | None = None

    def __post_init__(self) -> None:
        if not (self.services or self.features or self.operations):
            raise FaultError("", "must say which services, features or operations it is for")
        _require_reachable(self)


@dataclass(frozen=True, slots=True)
class TokenSpike:
    """A multiple of the usual tokens, and the least number of tokens in 5 minutes that counts."""

    warning: Limit
    min_tokens: int

    def __post_init__(self) -> None:
        if self.warning.above < 1:
            raise FaultError("warning.above", "is a multiple of the usual tokens and must be 1 or more (150 % is 1.5)")


@dataclass(frozen=True, slots=True)
class HourlyTokens:
    """Tokens within an hour: worth knowing, then worth a warning."""

    info: Limit
    warning: Limit

    def __post_init__(self) -> None:
        if self.info.above >= self.warning.above:
            raise FaultError("", "must inform below the value that is a warning")


@dataclass(frozen=True, slots=True)
class NoSuccess:
    """The least number of calls without a success, and how long calls usually take at most where they may hang."""

    min_calls: int
    usually_within: float


@dataclass(frozen=True, slots=True)
class ServerDown:
    """How long a server of the stack may be away."""

    for_: Duration


# --- Money, waste and security ---


@dataclass(frozen=True, slots=True)
class ServiceBudget:
    """US dollars that a service may spend in a calendar month and on a day, in UTC."""

    month: float | None = None
    day: float | None = None

    def __post_init__(self) -> None:
        for name, dollars in (("month", self.month), ("day", self.day)):
            if dollars == 0:
                raise FaultError(name, "must be more than 0; without a budget, leave it out")
        if self.month is None and self.day is None:
            raise FaultError("", "needs a month, a day or both")


@dataclass(frozen=True, slots=True)
class UsedShare(Limits):
    """A share of something that is used up."""

    def __post_init__(self) -> None:
        _require_share(warning=self.warning, critical=self.critical)
        Limits.__post_init__(self)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long something may last that is wrong at once."""

    warning: Duration
    critical: Duration


@dataclass(frozen=True, slots=True)
class CostSpike(Limits):
    """How many times the usual day; the dollars that a day must cost, and the days of history that are needed."""

    min_usd: float
    min_days: int


@dataclass(frozen=True, slots=True)
class CostSurge:
    """How many times the usual hour, and the dollars that the hour must cost."""

    critical: Limit
    min_usd: float


@dataclass(frozen=True, slots=True)
class Retries(Limits):
    """Retries a call, and the least number of retries that counts."""

    min_retries: int


@dataclass(frozen=True, slots=True)
class CacheDrop:
    """By which part a hit rate falls below its usual value, for the record and as a warning."""

    info: Limit
    warning: Limit
    min_requests: int
    min_usual: float

    def __post_init__(self) -> None:
        _require_share(info=self.info, warning=self.warning)
        if self.info.above >= self.warning.above:
            raise FaultError("", "must be for the record below the value that warns")


@dataclass(frozen=True, slots=True)
class UsageShift:
    """By how much a share of the calls grows, and the least number of calls a day that counts."""

    info: Limit
    min_calls: int

    def __post_init__(self) -> None:
        _require_share(info=self.info)


@dataclass(frozen=True, slots=True)
class FindingBurst(Share):
    """The same, and how many times the usual share it must be."""

    times_usual: float


@dataclass(frozen=True, slots=True)
class Single:
    """A value that warns."""

    warning: Limit


@dataclass(frozen=True, slots=True)
class UserLimits:
    """What one user may use."""

    usd_a_day: float
    requests_a_minute: float
    tokens_an_hour: float

    def __post_init__(self) -> None:
        for key in ("usd_a_day", "requests_a_minute", "tokens_an_hour"):
            if not getattr(self, key):
                raise FaultError(key, "must be more than 0, or every user would be above it")


@dataclass(frozen=True, slots=True)
class Escalation:
    """How long a critical alert fires before the next people are told."""

    first: Duration
    second: Duration

    def __post_init__(self) -> None:
        if not 0 < self.first.seconds < self.second.seconds:
            raise FaultError("second", "must be longer than the first, and that longer than 0s")


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """How long an incident may remain unacknowledged beyond the time allowed: SEV1 and SEV2, and the others."""

    grave: Duration
    other: Duration


# --- Learned baselines, quality, drift ---


@dataclass(frozen=True, slots=True)
class Learning:
    """How much history there must be before anything can be unusual."""

    min_days: int
    min_hours: int
    min_calls: int

    def __post_init__(self) -> None:
        if self.min_days > 7:
            raise FaultError("min_days", "counts among the last 7 days and must be 7 or less")


@dataclass(frozen=True, slots=True)
class Unusual:
    """How many times the usual value, for a time."""

    times: float
    for_: Duration

    def __post_init__(self) -> None:
        if self.times <= 1:
            raise FaultError("times", "must be more than 1, which is the usual value")


@dataclass(frozen=True, slots=True)
class UnusualSpend(Unusual):
    """Spending, which must also be more than some dollars an hour."""

    min_usd_per_hour: float


@dataclass(frozen=True, slots=True)
class UnusualErrors(Unusual):
    """Failures; a usual share below ``least_share`` counts as that one."""

    least_share: float
    min_calls: int

    def __post_init__(self) -> None:
        Unusual.__post_init__(self)
        _require_parts(least_share=self.least_share)


@dataclass(frozen=True, slots=True)
class UnusualValues:
    """What is far above its learned baseline; ``z`` is the least distance from it in standard deviations."""

    z: float
    latency: Unusual
    input_tokens: Unusual
    cost_per_call: Unusual
    spend: UnusualSpend
    errors: UnusualErrors


@dataclass(frozen=True, slots=True)
class Drift:
    """Shares of the usual value by which quality and answer length must also have moved."""

    z: float
    quality: float
    length: float

    def __post_init__(self) -> None:
        _require_parts(quality=self.quality, length=self.length)


@dataclass(frozen=True, slots=True)
class Change:
    """By how much a model's or a version's share must have grown, and the calls or scores an hour that count."""

    share: float
    min_calls: int
    min_scores: int

    def __post_init__(self) -> None:
        _require_parts(share=self.share)


@dataclass(frozen=True, slots=True)
class ScoreLimits:
    """Mean scores that are too low."""

    warning: float
    critical: float | None = None

    def __post_init__(self) -> None:
        _require_parts(warning=self.warning)
        if self.critical is not None and self.critical >= self.warning:
            raise FaultError("", "must warn above the score that is critical")


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Mean scores that are too high."""

    warning: float
    critical: float | None = None

    def __post_init__(self) -> None:
        _require_parts(warning=self.warning)
        if self.critical is not None and self.critical <= self.warning:
            raise FaultError("", "must warn below the score that is critical")


@dataclass(frozen=True, slots=True)
class QualityDrop:
    """Shares of the usual score that are lost."""

    warning: float
    critical: float
    z: float

    def __post_init__(self) -> None:
        _require_parts(warning=self.warning, critical=self.critical)
        if self.warning >= self.critical:
            raise FaultError("", "must warn below the value that is critical")


@dataclass(frozen=True, slots=True)
class Quality:
    """Scores of answers: limits by the evaluation's name, ``other`` for all names that are not listed."""

    min_scores: int
    for_: Duration
    other: ScoreLimits
    scores: dict[Name, ScoreLimits]
    risks: dict[Name, RiskLimits]
    drop: QualityDrop

    def __post_init__(self) -> None:
        for name in self.scores:
            if name in self.risks:
                raise FaultError("risks", f"lists {name}, which is among the scores too")


@dataclass(frozen=True, slots=True)
class UserFeedback:
    """What users say of answers."""

    min_signs: int
    thumbs_down: float
    satisfaction: float
    worse: float
    for_: Duration

    def __post_init__(self) -> None:
        _require_parts(thumbs_down=self.thumbs_down, satisfaction=self.satisfaction, worse=self.worse)


@dataclass(frozen=True, slots=True)
class Fill(Limits):
    """A share of a whole."""

    def __post_init__(self) -> None:
        _require_share(warning=self.warning, critical=self.critical)
        Limits.__post_init__(self)


@dataclass(frozen=True, slots=True)
class Lost(Limits):
    """A share of items of telemetry, and the least number of lost items that counts."""

    min_items: int

    def __post_init__(self) -> None:
        _require_share(warning=self.warning, critical=self.critical)
        Limits.__post_init__(self)


@dataclass(frozen=True, slots=True)
class Disk:
    """Free space, as shares of the disk, and how far its end is foreseen."""

    critical_below: float
    forecast_below: float
    warning_within: Duration
    critical_within: Duration

    def __post_init__(self) -> None:
        for key in ("critical_below", "forecast_below"):
            if getattr(self, key) >= 1:
                raise FaultError(key, "is a share and must be below 1 (5 % is 0.05)")


@dataclass(frozen=True, slots=True)
class Warehouse:
    """What is wrong with the usage warehouse: its lag in seconds, records, seconds of a query, days, and a time."""

    lag: Limits
    refused: Limit
    query: Limit
    partitions_ahead_days: int
    offenders_unmeasured: Duration


@dataclass(frozen=True, slots=True)
class PricesAge:
    """How old the newest price of the table may be."""

    days: int


@dataclass(frozen=True, slots=True)
class Silent:
    """For how long an application may send nothing, and how long before it must have been sending."""

    after: Duration
    within: Duration


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The whole file; its comments explain each value."""

    owner: Name
    links: Links
    error_burst: Burst
    error_ratio: Share
    provider_down: ProviderDown
    rate_limited: Share
    no_success: NoSuccess
    latency: Latency
    latency_of: dict[Name, OtherLatency]
    quota: Share
    token_spike: TokenSpike
    hourly_tokens: HourlyTokens
    hourly_cost: Limits
    budgets: dict[Name, ServiceBudget]
    budget_rate: Limits
    month_forecast: Patience
    daily_budget: UsedShare
    daily_cost: Limits
    cost_spike: CostSpike
    cost_surge: CostSurge
    budget_refusals: Share
    expensive_request: Single
    user_limits: UserLimits
    calls_a_trace: Single
    duplicate_requests: Single
    retry_storm: Retries
    fallback_storm: Share
    circuit_breaker_open: Patience
    queue_depth: Limits
    cache_hit_rate_drop: CacheDrop
    usage_shift: UsageShift
    prompt_injection: FindingBurst
    personal_data: FindingBurst
    system_prompt_leak: Limits
    telemetry_dropped: Single
    server_down: ServerDown
    learning: Learning
    unusual: UnusualValues
    drift: Drift
    change: Change
    quality: Quality
    feedback: UserFeedback
    escalation: Escalation
    incident_unacknowledged: Unacknowledged
    collector_queue: Fill
    telemetry_lost: Lost
    store_errors: Limit
    disk: Disk
    warehouse: Warehouse
    prices_age: PricesAge
    application_silent: Silent

    def __post_init__(self) -> None:
        if INTERACTIVE in self.latency_of:
            raise FaultError("latency_of", f"must not have a group named {INTERACTIVE}: that is what `latency` is for")

    @classmethod
    def load(cls, path: Path = FILE) -> "Thresholds":
        """Read and check the file.

        Raises:
            ThresholdsError: it cannot be read, or a key is unknown, missing, double, of the wrong type or out of range.
        """
        return Reader(path, _SCALARS, error=ThresholdsError).read(cls)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ValueError(text)
    return int(text)


def _duration(text: str) -> Duration:
    value = matching(_DURATION, Duration)(text)
    if value.seconds > _LONGEST:
        raise ValueError(text)
    return value


_SCALARS: Final[Mapping[type, Scalar]] = {
    float: ("a number of 0 or more", _number),
    int: ("a whole number of 1 or more", _count),
    Duration: ('a duration such as "15s", "10m" or "1h", up to "168h"', _duration),
}


def _require_reachable(latency: Latency | OtherLatency) -> None:
    """A quantile is never above the last finite bucket of its histogram, however slow the calls are."""
    for key in ("p50", "p95", "p99", "first_token"):
        metric = CALL_TIME_TO_FIRST_TOKEN if key == "first_token" else CALL_DURATION
        for severity in SEVERITIES:
            if limit := getattr(getattr(latency, key), severity, None):
                _require_within(f"{key}.{severity}.above", limit.above, metric)
    if latency.burst:
        _require_within("burst.slower_than", latency.burst.slower_than, CALL_DURATION)


def _require_within(key: str, seconds: float, metric: Metric) -> None:
    last = metric.buckets[-1]
    if seconds >= last:
        raise FaultError(key, f"must be below {last:.15g} s: longer times are not told apart, and it would never fire")


def _require_share(**limits: Limit) -> None:
    for name, limit in limits.items():
        if limit.above >= 1:
            raise FaultError(f"{name}.above", "is a share and must be below 1 (5 % is 0.05)")


def _require_parts(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise FaultError(name, "must be above 0 and below 1 (5 % is 0.05)")
