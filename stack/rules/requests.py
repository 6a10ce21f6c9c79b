"""Alerts on single calls, traces and users: on the offenders that the usage service has found in the warehouse."""

from dataclasses import dataclass

from genai_observability.signals import FEATURE, INPUT_TOKENS, REQUEST_MODEL, USER_HASH, Metric

from stack.offenders import CALL, LOOP, SAME, TRACE, USER_CALLS, USER_MONEY, USER_TOKENS
from stack.rules.model import Alert, Group, trace
from stack.rules.promql import labels
from stack.thresholds import Duration, Thresholds

_SERVICE = "{{ $labels.job }}"
_FEATURE = f"{{{{ $labels.{FEATURE.label} }}}}"
_USER = f"{{{{ $labels.{USER_HASH.label} }}}}"
_TRACE = f"{{{{ $labels.{TRACE.label} }}}}"
_MOST = 10
"""Users that alert at once; more of them say nothing new."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """One group: the service measures at its own pace, every 15 s to 2 minutes."""
    limits = thresholds.user_limits
    rules = (
        _expensive(thresholds),
        _loop(thresholds),
        _duplicates(thresholds),
        _user(_requests(limits.requests_a_minute)),
        _user(_tokens(limits.tokens_an_hour)),
        _user(_money(limits.usd_a_day)),
    )
    return (Group(name="genai_requests", interval=Duration("15s"), rules=rules),)


def _above(gauge: Metric, limit: float) -> str:
    """Its series above a limit, without the address of the service, which may move."""
    return f"max without (instance) ({gauge.prometheus}) > {limit:.15g}"


def _worst_of_feature(gauge: Metric, limit: float) -> str:
    """Likewise, and one of each feature: the text names the rest. As labels, each would be an alert of its own."""
    return f"topk by ({', '.join(labels(FEATURE))}) (1, {_above(gauge, limit)})"


# --- Single calls and traces -----------------------------------------------------------------------------------------


def _expensive(thresholds: Thresholds) -> Alert:
    limit = thresholds.expensive_request.warning
    return Alert(
        name="GenAIExpensiveRequest",
        severity="warning",
        expr=_worst_of_feature(CALL, limit.above),
        for_=limit.for_,
        keep_firing_for=Duration("10m"),
        why="No `for`: one call counts. keep_firing_for: a feature that is dear again and again is one alert.",
        labels={REQUEST_MODEL.label: "", USER_HASH.label: "", TRACE.label: ""},
        summary=f'One call of {_FEATURE} in {_SERVICE} cost ${{{{ $value | printf "%.2f" }}}}',
        description=f"More than ${limit.above:,.15g} for a single call, within 5 minutes. The dearest: model "
        f"{{{{ $labels.{REQUEST_MODEL.label} }}}}, user {_USER}, trace {_TRACE}.",
        impact="Users notice nothing; one such call is no harm, a pattern of them is expensive.",
        traces=trace(TRACE.label),
    )


def _loop(thresholds: Thresholds) -> Alert:
    limit = thresholds.calls_a_trace.warning
    return Alert(
        name="GenAIRunawayLoop",
        severity="warning",
        expr=_worst_of_feature(LOOP, limit.above),
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="No `for`: the calls are made already. keep_firing_for: one window, as the next run may loop as well.",
        labels={TRACE.label: ""},
        summary=f'{{{{ $value | printf "%.0f" }}}} model calls of {_FEATURE} in {_SERVICE} within one trace',
        description=f"More than {limit.above:,.15g} within 5 minutes for one request of a user or one run of an agent: "
        f"it probably goes round in circles. Trace {_TRACE}.",
        impact="One user waits for an answer that probably never comes, at the cost of many.",
        traces=trace(TRACE.label),
    )


def _duplicates(thresholds: Thresholds) -> Alert:
    limit = thresholds.duplicate_requests.warning
    return Alert(
        name="GenAIDuplicateRequests",
        severity="warning",
        expr=_worst_of_feature(SAME, limit.above),
        for_=limit.for_,
        keep_firing_for=Duration("20m"),
        why="No `for`: the calls are made already. keep_firing_for: what repeats itself may pause; and longer than the "
        "alert on users with too many calls, which silences this one, or its end would be told to nobody.",
        labels={REQUEST_MODEL.label: "", USER_HASH.label: "", INPUT_TOKENS.label: ""},
        summary=f'One user made the same call of {_FEATURE} in {_SERVICE} {{{{ $value | printf "%.0f" }}}} times',
        description=f"More than {limit.above:,.15g} calls of one user within 2 minutes to the same model with equally "
        f"many input tokens: {{{{ $labels.{INPUT_TOKENS.label} }}}} to {{{{ $labels.{REQUEST_MODEL.label} }}}}. "
        f"User {_USER}.",
        impact="Nobody directly; the same answer is paid for many times, out of the rate limit of all.",
    )


# --- Users -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a user used too much of; ``used`` is a template of the value."""

    of: str
    gauge: Metric
    above: float
    used: str
    allowed: str


def _user(limit: _Limit) -> Alert:
    return Alert(
        name="GenAIUserLimitExceeded",
        severity="warning",
        expr=_above(limit.gauge, limit.above),
        keep_firing_for=Duration("15m"),
        why="No `for`: the window is the patience. keep_firing_for: one user who comes and goes is one alert.",
        labels={"limit": limit.of},
        summary=f"One user of {_SERVICE} used {limit.used}",
        description=f"The limit is {limit.allowed}. User {_USER}. At most {_MOST} users are named.",
        impact="All users of the service, if this one uses up the rate limit; until then it is money.",
    )


def _requests(above: float) -> _Limit:
    return _Limit(
        of="requests",
        gauge=USER_CALLS,
        above=above * 5,
        used='{{ $value | printf "%.0f" }} model calls within 5 minutes',
        allowed=f"{above:,.15g} calls a minute, over 5 minutes, without embeddings",
    )


def _tokens(above: float) -> _Limit:
    return _Limit(
        of="tokens",
        gauge=USER_TOKENS,
        above=above,
        used="{{ $value | humanize }} tokens within an hour",
        allowed=f"{above:,.15g} tokens an hour",
    )


def _money(above: float) -> _Limit:
    return _Limit(
        of="money",
        gauge=USER_MONEY,
        above=above,
        used='${{ $value | printf "%.2f" }} of model calls within 24 hours',
        allowed=f"${above:,.15g} a day",
    )
