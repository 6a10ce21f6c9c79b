"""A limit on what a user, team, feature or tenant may use in an hour, a day or a month."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
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
