"""What one user, team, feature or tenant has used of a budget in the current period."""

from collections import OrderedDict
from typing import Final

from genai_observability._budgets.budget import Budget, Period

_LONGEST: Final = 600.0  # seconds for which a call that never ends keeps its reservation: the client's own timeout
_LEAST_COST: Final = 1e-6  # of the limit: what a call is taken to cost until one has ended
_RECENT: Final = 50  # calls over which the mean cost is taken, about: the newest counts for a fiftieth


class Mean:
    """The mean cost of recent calls."""

    __slots__ = ("calls", "value")

    def __init__(self, value: float, calls: int = 0) -> None:
        """``calls`` is 0 where the value is a mere guess, which the first call replaces."""
        self.value = value
        self.calls = calls

    def add(self, cost: float) -> None:
        """Take another call into account."""
        self.calls += 1
        self.value += (cost - self.value) / min(self.calls, _RECENT)


class Rule:
    """A budget in force: what its calls cost, and the accounts of those that it is for, the least recent first."""

    __slots__ = ("accounts", "budget", "counts_requests", "label", "least", "limit", "mean")

    def __init__(self, budget: Budget, label: str) -> None:
        """``label`` tells this budget from every other one."""
        self.budget = budget
        self.label = label
        self.limit = budget.limit
        self.counts_requests = budget.unit == "requests"
        self.least = 1.0 if self.counts_requests else self.limit * _LEAST_COST
        self.mean = Mean(self.least)
        self.accounts: OrderedDict[str, Account] = OrderedDict()


class Account:
    """Spending of one value in one period. Whoever uses it holds the lock of the enforcement.

    A call that is let through reserves the mean cost of recent calls until its own cost is known. A request costs one
    request, known beforehand.

    Attributes:
        allowance: What may be committed (spent or reserved) here: the limit, or what the store has given this process.
        others: What the store has given other processes.
        admitted: Calls let through since the store was last told.
        pace: Calls let through between two visits to the store, lately.
        waiting: Callers that wait for the store to give more.
        field: The account's name in the store.
        empty_until: Time until which the store need not be asked, as it had nothing left.
    """

    __slots__ = (
        "_in_flight", "_mean", "admitted", "allowance", "empty_until", "field", "others", "pace", "period", "rule",
        "said", "spent", "value", "waiting",
    )  # fmt: skip

    def __init__(self, rule: Rule, value: str, period: Period, *, allowance: float) -> None:
        self.rule = rule
        self.value = value
        self.period = period
        self.allowance = allowance
        self.field = ""
        self.spent = 0.0
        self.others = 0.0
        self.admitted = 0
        self.pace = 0
        self.waiting = 0
        self.empty_until = 0.0
        self.said = False
        self._mean = Mean(rule.mean.value, calls=min(rule.mean.calls, 1))  # of the others, as if it were a first call
        self._in_flight: list[float] = []  # when each reservation lapses

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
