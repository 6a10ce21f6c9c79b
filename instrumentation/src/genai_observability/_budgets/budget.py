"""A limit on what a user, team, feature or tenant may use in an hour, a day or a month, and what is used of it."""

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

from genai_observability import signals
from genai_observability._context.attribution import text
from genai_observability._context.identity import user_hash

By = Literal["user", "team", "feature", "tenant"]
Per = Literal["hour", "day", "month"]
Unit = Literal["usd", "tokens", "requests"]
OnExceeded = Literal["warn", "raise"] | Callable[["BudgetExceeded"], object]

ATTRIBUTES: Final = {
    "user": signals.USER_HASH,
    "team": signals.TEAM,
    "feature": signals.FEATURE,
    "tenant": signals.TENANT,
}
_PERIODS: Final = {"hour": "an hour", "day": "a day", "month": "a month"}


class BudgetExceeded(Exception):  # noqa: N818 - reads as what happened: except BudgetExceeded
    """A model call is not made, as a budget is used up. Also what an ``on_exceeded`` function is given, and may raise.

    Attributes:
        by: What the budget is for: ``"user"``, ``"team"``, ``"feature"`` or ``"tenant"``.
        value: Whose it is; of a user, the hash that is recorded, never the id.
        per: ``"hour"``, ``"day"`` or ``"month"``.
        unit: ``"usd"``, ``"tokens"`` or ``"requests"``.
        limit: The budget, in that unit.
        spent: What is spent or reserved by calls under way, in that unit; ``None`` where the store does not answer.
        resets: When the next period begins, in UTC.
        first: Whether this is the first call of this process beyond this limit in this period.

    Example:
        try:
            client.responses.create(model="gpt-4.1-mini", input="Where is my order?")
        except genai_observability.BudgetExceeded as exceeded:
            print(f"That is all for today; try again after {exceeded.resets:%H:%M} UTC.")
    """

    by: By
    value: str
    per: Per
    unit: Unit
    limit: float
    spent: float | None
    resets: datetime
    first: bool

    def __str__(self) -> str:
        if self.args:  # raised by the application, with words of its own
            return super().__str__()
        if not hasattr(self, "resets"):  # made by the application, or anew on its way from another process
            return "A budget is used up."
        limit, whose = _amount(self.unit, self.limit), f"{self.by} {shortened(self.by, self.value)}"
        budget = f"The budget of {limit} {_PERIODS[self.per]} for {whose}"
        if self.spent is None:
            return f"{budget} cannot be checked, as its store does not answer."
        spent = f"{_amount(self.unit, self.spent)} spent or reserved by calls under way"
        return f"{budget} is used up: {spent}. It starts anew at {self.resets:%Y-%m-%d %H:%M} UTC."


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit for each user, team, feature or tenant, or for the one that is named.

    A budget with a ``name`` takes the place of that without, for the same period and unit. Otherwise all budgets
    hold that fit a call's attribution. A call without the attribution is under no budget of that kind.

    Args:
        by: What the limit is for, as in ``attributed_to()``.
        per: Period, by the clock in UTC: a full hour, a day, a calendar month.
        usd: Limit in US dollars.
        tokens: Limit in tokens, input and output together.
        requests: Limit in calls. Give one of the three.
        name: The one user, team, feature or tenant that the limit is for; without it, each has the limit for itself.
        on_exceeded: What happens to the calls beyond the limit. ``"warn"`` lets them through, with one warning in the
            log; ``"raise"`` refuses them with ``BudgetExceeded``. A function is called with the ``BudgetExceeded``
            before each such call, on the thread that makes it: it may raise what it is given to refuse the call.

    Raises:
        ValueError: the values do not make a budget; the message says which.

    Example:
        from genai_observability import Budget

        genai_observability.instrument(
            budgets=[
                Budget(by="user", per="day", usd=5.00, on_exceeded="raise"),
                Budget(by="team", name="growth", per="month", usd=2000.00),
            ]
        )
    """

    by: By
    per: Per
    usd: float | None = None
    tokens: int | None = None
    requests: int | None = None
    name: str | None = None
    on_exceeded: OnExceeded = "warn"

    def __post_init__(self) -> None:
        if self.by not in ATTRIBUTES:
            raise ValueError(f"A budget is by one of {', '.join(ATTRIBUTES)}, not by {self.by!r}.")
        if self.per not in _PERIODS:
            raise ValueError(f"A budget is per one of {', '.join(_PERIODS)}, not per {self.per!r}.")
        given = [value for value in (self.usd, self.tokens, self.requests) if value is not None]
        if len(given) != 1:
            raise ValueError("A budget has exactly one limit: usd, tokens or requests.")
        if isinstance(given[0], bool) or not isinstance(given[0], (int, float)) or not 0 < given[0] < math.inf:
            raise ValueError(f"The limit of a budget is a number above 0, not {given[0]!r}.")
        if inspect.iscoroutinefunction(self.on_exceeded):
            raise ValueError("on_exceeded is called where nothing can be awaited: give a plain function.")
        if self.on_exceeded not in ("warn", "raise") and not callable(self.on_exceeded):
            raise ValueError(f"on_exceeded is 'warn', 'raise' or a function, not {self.on_exceeded!r}.")

    @property
    def unit(self) -> Unit:
        """What is limited: ``"usd"``, ``"tokens"`` or ``"requests"``."""
        return "usd" if self.usd is not None else "tokens" if self.tokens is not None else "requests"

    @property
    def limit(self) -> float:
        """The limit in its unit."""
        return float(self.usd or self.tokens or self.requests or 0)

    @property
    def value(self) -> str | None:
        """The named one as calls are attributed to it, of a user the hash; ``None`` where it is for each."""
        if self.name is None:
            return None
        return user_hash(text(self.name)) if self.by == "user" else text(self.name)

    @property
    def label(self) -> str:
        """How signals and the store call it, such as ``user/day/usd``; a named user by the beginning of the hash."""
        named = f"={shortened(self.by, self.value)}" if self.value is not None else ""
        return f"{self.by}{named}/{self.per}/{self.unit}"


class Period(NamedTuple):
    """One hour, day or month. Times are in seconds since the epoch."""

    name: str
    begins: float
    ends: float


def period(per: Per, now: float) -> Period:
    """The period that ``now`` lies in, by the clock in UTC."""
    moment = datetime.fromtimestamp(now, tz=UTC)
    if per == "hour":
        begins = moment.replace(minute=0, second=0, microsecond=0)
        return Period(f"{begins:%Y-%m-%dT%H}", begins.timestamp(), (begins + timedelta(hours=1)).timestamp())
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if per == "day":
        return Period(f"{day:%Y-%m-%d}", day.timestamp(), (day + timedelta(days=1)).timestamp())
    begins = day.replace(day=1)
    ends = (begins + timedelta(days=31)).replace(day=1)
    return Period(f"{begins:%Y-%m}", begins.timestamp(), ends.timestamp())


def _amount(unit: Unit, amount: float) -> str:
    if unit == "usd":
        return f"${amount:,.2f}" if amount >= 1 else f"${amount:.3g}"
    return f"{amount:,.0f} {unit if amount != 1 else unit[:-1]}"


def shortened(by: By, value: str | None) -> str:
    """A value for people: of a user, enough of the hash to find the user's calls by."""
    return str(value)[:12] if by == "user" else str(value)


_LONGEST: Final = 600.0  # seconds for which a call that never ends keeps its reservation: the client's own timeout
_LEAST_COST: Final = 1e-6  # of the limit: what a call is taken to cost until one has ended
_RECENT: Final = 50  # calls over which the mean cost is taken, about: the newest counts for a fiftieth


@dataclass(slots=True)
class Mean:
    """The mean cost of recent calls; without any, a mere guess, which the first call replaces."""

    value: float
    calls: int = 0

    def add(self, cost: float) -> None:
        """Take another call into account."""
        self.calls += 1
        self.value += (cost - self.value) / min(self.calls, _RECENT)


class Rule:
    """A budget in force: what its calls cost, and the accounts of those that it is for, the least recent first."""

    def __init__(self, budget: Budget, label: str) -> None:
        """``label`` tells this budget from every other one."""
        self.budget = budget
        self.label = label
        self.limit = budget.limit
        self.counts_requests = budget.unit == "requests"
        self.least = 1.0 if self.counts_requests else self.limit * _LEAST_COST
        self.mean = Mean(self.least)
        self.accounts: OrderedDict[str, Account] = OrderedDict()


@dataclass(slots=True, eq=False)
class Account:
    """Spending of one value in one period. Whoever uses it holds the lock of the enforcement.

    A call that is let through reserves the mean cost of recent calls until its own cost is known. A request costs one
    request, known beforehand.
    """

    rule: Rule
    value: str
    period: Period
    allowance: float  # what may be spent or reserved here: the limit, or what the store has given this process
    spent: float = 0.0
    others: float = 0.0  # what the store has given other processes
    admitted: int = 0  # calls let through since the store was last told
    pace: int = 0  # calls let through between two visits to the store, lately
    waiting: int = 0  # callers that wait for the store to give more
    entry: str = ""  # its name in the store
    empty_until: float = 0.0  # time until which the store need not be asked, as it had nothing left
    said: bool = False  # whether a call beyond the limit was told of
    _in_flight: list[float] = field(default_factory=list)  # when each reservation lapses
    _mean: Mean = field(init=False)

    def __post_init__(self) -> None:
        mean = self.rule.mean
        self._mean = Mean(mean.value, calls=min(mean.calls, 1))  # of the others, as if it were a first call

    @property
    def cost(self) -> float:
        """What the next call is taken to cost."""
        return max(self._mean.value, self.rule.least)

    def committed(self, now: float) -> float:
        """Spent, and reserved by calls under way."""
        in_flight = self._in_flight
        while in_flight and in_flight[0] < now:
            del in_flight[0]
        return self.spent + len(in_flight) * self.cost if in_flight else self.spent

    def used(self, now: float) -> float:
        """What all processes together have committed, as far as it is known here."""
        return self.others + self.committed(now)

    def has_room(self, now: float) -> bool:
        """Whether another call may be made: less is committed than is allowed."""
        return self.committed(now) < self.allowance

    def admit(self, now: float) -> None:
        """A call is made."""
        self.admitted += 1
        if self.rule.counts_requests:
            self.spent += 1
        else:
            self._in_flight.append(now + _LONGEST)

    def book(self, cost: float, *, admitted: bool) -> None:
        """A call has ended, at this cost; 0 where it is not known or there is none.

        One that was admitted here gives its reservation back. Results of batches and other libraries' calls have none.
        """
        if admitted and self._in_flight:
            del self._in_flight[0]
        if cost > 0:
            self.spent += cost
            self._mean.add(cost)
            self.rule.mean.add(cost)

    def forget_calls_under_way(self) -> None:
        """In a child made by fork: the parent's calls end in the parent."""
        self._in_flight.clear()
