"""Alerts on single calls, traces and users, asked of the request log: none of them is a label of a metric.

Each query first sums by what it is about, so that Loki holds one series for each user (trace, …) of its window and not
one for each call. What is left after the limit is cut to a few by ``topk``.
"""

from dataclasses import dataclass

from genai_observability.signals import COST, FEATURE, INPUT_TOKENS, OPERATION, OUTPUT_TOKENS, REQUEST_MODEL, USER_HASH

from stack.rules.logql import TRACE, by, calls, field
from stack.rules.model import Alert, Group, trace
from stack.thresholds import Duration, Thresholds

_SERVICE = "{{ $labels.service_name }}"
_FEATURE = f"{{{{ $labels.{FEATURE.label} }}}}"
_USER = f"{{{{ $labels.{USER_HASH.label} }}}}"
_TRACE = f"{{{{ $labels.{TRACE} }}}}"
_MOST = 10
"""Users that alert at once; more of them say nothing new."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """Minutes are looked at every 30 s; an hour and a day of log, which take longer to read, less often."""
    limits = thresholds.user_limits
    now = (
        _expensive(thresholds),
        _loop(thresholds),
        _duplicates(thresholds),
        _user(_requests(limits.requests_a_minute)),
    )
    return (
        Group(name="genai_requests", interval=Duration("30s"), rules=now),
        Group(name="genai_users_hour", interval=Duration("2m"), rules=(_user(_tokens(limits.tokens_an_hour)),)),
        Group(name="genai_users_day", interval=Duration("5m"), rules=(_user(_money(limits.usd_a_day)),)),
    )


# --- Single calls and traces -----------------------------------------------------------------------------------------


def _expensive(thresholds: Thresholds) -> Alert:
    limit = thresholds.expensive_request.warning
    cost = field(COST)
    dear = f"max_over_time({calls(f'{cost} > {limit.above:g}')} | unwrap {cost} [5m])"
    return Alert(
        name="GenAIExpensiveRequest",
        severity="warning",
        # Only dear calls become series. The dearest of each feature is named in the text: as a label, each would be an
        # alert of its own.
        expr=f"topk by ({by(FEATURE)}) (1, {dear} by ({by(FEATURE, REQUEST_MODEL, USER_HASH, TRACE)}))",
        for_=limit.for_,
        keep_firing_for=Duration("10m"),
        why="No `for`: one call counts. keep_firing_for: a feature that is dear again and again is one alert.",
        service=_SERVICE,
        labels={REQUEST_MODEL.label: "", USER_HASH.label: "", TRACE: ""},
        summary=f'One call of {_FEATURE} in {_SERVICE} cost ${{{{ $value | printf "%.2f" }}}}',
        description=f"More than ${limit.above:g} for a single call, within 5 minutes. The dearest: model "
        f"{{{{ $labels.{REQUEST_MODEL.label} }}}}, user {_USER}, trace {_TRACE}.",
        impact="Users notice nothing; one such call is no harm, a pattern of them is expensive.",
        traces=trace(TRACE),
    )


def _loop(thresholds: Thresholds) -> Alert:
    limit = thresholds.calls_a_trace.warning
    counted = f"sum by ({by(FEATURE, TRACE)}) (count_over_time({calls(f'{TRACE} != ``')} [5m]))"
    return Alert(
        name="GenAIRunawayLoop",
        severity="warning",
        expr=f"topk by ({by(FEATURE)}) (1, {counted} > {limit.above:g})",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="No `for`: the calls are made already. keep_firing_for: one window, as the next run may loop as well.",
        service=_SERVICE,
        labels={TRACE: ""},
        summary=f'{{{{ $value | printf "%.0f" }}}} model calls of {_FEATURE} in {_SERVICE} within one trace',
        description=f"More than {limit.above:g} within 5 minutes for one request of a user or one run of an agent: it "
        f"probably goes round in circles. Trace {_TRACE}.",
        impact="One user waits for an answer that probably never comes, at the cost of many.",
        traces=trace(TRACE),
    )


def _duplicates(thresholds: Thresholds) -> Alert:
    limit = thresholds.duplicate_requests.warning
    # Embeddings are of pieces of one size. Without a user it may be a batch of equal pieces of work.
    asked = calls(f"{field(OPERATION)} != `embeddings`", f"{field(USER_HASH)} != ``", f"{field(INPUT_TOKENS)} > 0")
    same = by(FEATURE, REQUEST_MODEL, USER_HASH, INPUT_TOKENS)
    return Alert(
        name="GenAIDuplicateRequests",
        severity="warning",
        expr=f"topk by ({by(FEATURE)}) (1, sum by ({same}) (count_over_time({asked} [2m])) > {limit.above:g})",
        for_=limit.for_,
        keep_firing_for=Duration("20m"),
        why="No `for`: the calls are made already. keep_firing_for: what repeats itself may pause; and longer than the "
        "alert on users with too many calls, which silences this one, or its end would be told to nobody.",
        service=_SERVICE,
        labels={REQUEST_MODEL.label: "", USER_HASH.label: "", INPUT_TOKENS.label: ""},
        summary=f'One user made the same call of {_FEATURE} in {_SERVICE} {{{{ $value | printf "%.0f" }}}} times',
        description=f"More than {limit.above:g} calls of one user within 2 minutes to the same model with equally "
        f"many input tokens: {{{{ $labels.{INPUT_TOKENS.label} }}}} to {{{{ $labels.{REQUEST_MODEL.label} }}}}. "
        f"User {_USER}.",
        impact="Nobody directly; the same answer is paid for many times, out of the rate limit of all.",
    )


# --- Users -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a user used too much of; ``used`` is a template of the value."""

    of: str
    query: str
    above: float
    used: str
    allowed: str


def _user(limit: _Limit) -> Alert:
    return Alert(
        name="GenAIUserLimitExceeded",
        severity="warning",
        expr=f"topk({_MOST}, sum by ({by(USER_HASH)}) ({limit.query}) > {limit.above:g})",
        keep_firing_for=Duration("15m"),
        why="No `for`: the window is the patience. keep_firing_for: one user who comes and goes is one alert.",
        service=_SERVICE,
        labels={"limit": limit.of},
        summary=f"One user of {_SERVICE} used {limit.used}",
        description=f"The limit is {limit.allowed}. User {_USER}. At most {_MOST} users are named.",
        impact="All users of the service, if this one uses up the rate limit; until then it is money.",
    )


def _requests(above: float) -> _Limit:
    # Embeddings are made for a request, not by a user.
    asked = calls(f"{field(USER_HASH)} != ``", f"{field(OPERATION)} != `embeddings`")
    return _Limit(
        of="requests",
        query=f"count_over_time({asked} [5m])",
        above=above * 5,
        used='{{ $value | printf "%.0f" }} model calls within 5 minutes',
        allowed=f"{above:g} calls a minute, over 5 minutes, without embeddings",
    )


def _tokens(above: float) -> _Limit:
    # Two fields cannot be unwrapped at once: the line becomes their sum.
    tokens = f"{{{{ add (int .{field(INPUT_TOKENS)}) (int .{field(OUTPUT_TOKENS)}) }}}}"
    asked = calls(f"{field(USER_HASH)} != ``", f"label_format tokens=`{tokens}`", "unwrap tokens")
    return _Limit(
        of="tokens",
        query=f"sum_over_time({asked} [1h])",
        above=above,
        used="{{ $value | humanize }} tokens within an hour",
        allowed=f"{above:g} tokens an hour",
    )


def _money(above: float) -> _Limit:
    asked = calls(f"{field(USER_HASH)} != ``", f"{field(COST)} > 0", f"unwrap {field(COST)}")
    return _Limit(
        of="money",
        query=f"sum_over_time({asked} [1d])",
        above=above,
        used='${{ $value | printf "%.2f" }} of model calls within 24 hours',
        allowed=f"${above:g} a day",
    )
