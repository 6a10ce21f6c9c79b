"""Budgets in force: each call is checked before it is made, and its cost booked once it has ended."""

import heapq
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Observation

from genai_observability import signals
from genai_observability._budgets.budget import ATTRIBUTES, Account, Budget, BudgetExceeded, OnExceeded, Rule, period
from genai_observability._budgets.leases import Leases, RedisStore
from genai_observability._call import Call, Price
from genai_observability._context import attribution as _attribution
from genai_observability._worker import Turns, in_each_child

_logger = logging.getLogger("genai_observability")

Reservation = tuple[Account, ...]
"""The accounts that have admitted a call."""

_MOST_ACCOUNTS: Final = 100_000  # of each budget: some 70 MB
_MOST_SERIES: Final = 100  # of each budget in the gauge: those that have used the most of it
_AT_ONCE: Final = 500  # accounts looked at while calls wait: a fraction of a millisecond
_MOST_QUESTIONS: Final = 10  # to the store for one call, where others take what it gives


class Enforcement:
    """Holds the calls of this process to its budgets. A fault in here breaks no call: it is let through."""

    def __init__(
        self, budgets: Iterable[Budget], *, store: RedisStore | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """``clock`` gives seconds since the epoch.

        Raises:
            TypeError: something among the budgets is none.
        """
        self.budgets = tuple(budgets)
        for budget in self.budgets:
            if not isinstance(budget, Budget):
                raise TypeError(f"budgets takes Budget(...) values, not {budget!r}.")
        self._clock = clock
        self._rules = _rules(self.budgets)
        self._by_attribute = _by_attribute(self._rules)
        self._lock = threading.RLock()  # an application's signal handler may make a call, too
        self._beyond: Counter[tuple[str, str]] = Counter()
        self._unchecked: Counter[str] = Counter()
        self._said: set[str] = set()
        self._active = True
        self._leases = Leases(store, lock=self._lock, clock=clock) if store is not None else None
        in_each_child(self._after_fork)

    def observed(self) -> dict[signals.Metric, Callable[[CallbackOptions], Iterable[Observation]]]:
        """What reads each of the catalogue's metrics of budgets."""
        return {
            signals.BUDGET_EXCEEDED: self._observe_exceeded,
            signals.BUDGET_UNCHECKED: self._observe_unchecked,
            signals.BUDGET_USED: self._observe_used,
        }

    def stop(self, timeout: float) -> None:
        """Let every call through from now on, and give back what the store has reserved, within ``timeout`` s."""
        self._active = False
        if self._leases is not None:
            self._leases.stop(timeout)

    def admit(self) -> Reservation:
        """Before a call, in the context that makes it: where it is admitted, to be given back when it is booked.

        Raises:
            BudgetExceeded: a budget refuses the call, or a function of the application's does.
        """
        attribution = _attribution.current()
        if not attribution or not self._active:
            return ()
        try:
            admitted, full = self._admit(attribution)
            if full:
                for account in full:
                    self._react(account)
                with self._lock:
                    now = self._clock()
                    admitted = self._admit_to(self._accounts_of(attribution, now), now)
        except BudgetExceeded:
            raise
        except Exception:
            self._fault("A call could not be checked against its budgets, and is made")
            return ()
        return admitted

    def book(self, call: Call, price: Price, reservation: Reservation = ()) -> None:
        """Once a call has ended, off the caller's thread. It counts in the period in which it began, if that lasts."""
        try:
            began = call.started.timestamp()
            with self._lock:
                accounts = [
                    account
                    for account in self._accounts_of(call.attribution, self._clock())
                    if account.period.begins <= began < account.period.ends
                ]
                for account in accounts:
                    account.book(_cost(account.rule, call, price), admitted=account in reservation)
                    if self._leases is not None:
                        self._leases.touch(account)
            if price.unpriced and any(account.rule.budget.unit == "usd" for account in accounts):
                self._say_once(
                    "unpriced", "Budgets in US dollars leave out calls without a price, such as those of %s (%s).",
                    call.response_model or call.request_model, price.unpriced,
                )  # fmt: skip
        except Exception:
            self._fault("The cost of a call could not be counted against its budgets")

    def _admit(self, attribution: Mapping[str, Any]) -> tuple[Reservation, Sequence[Account]]:
        """Admit a call where all its budgets have room for it; else the second are those that have not."""
        full: list[Account] = []
        began = time.monotonic()
        for _ in range(_MOST_QUESTIONS):
            with self._lock:
                now = self._clock()
                accounts = self._accounts_of(attribution, now)
                full = [a for a in accounts if not a.has_room(now) and not self._has_room_anyway(a, now)]
                if not full:
                    return self._admit_to(accounts, now), ()
            if self._leases is None or time.monotonic() - began > self._leases.store.timeout:
                break  # with an asynchronous client the event loop waits: so never for two timeouts together
            if not self._leases.ask(full):
                break
        return (), full

    def _has_room_anyway(self, account: Account, now: float) -> bool:
        """Whether an account has room by what this process knows, where the store does not answer."""
        if self._leases is None or self._leases.answering:
            return False
        self._unchecked[account.rule.label] += 1
        return self._leases.store.when_unreachable == "open" and account.used(now) < account.rule.limit

    def _admit_to(self, accounts: Iterable[Account], now: float) -> Reservation:
        for account in accounts:
            account.admit(now)
            if self._leases is not None:
                self._leases.touch(account)
        return tuple(accounts)

    def _accounts_of(self, attribution: Mapping[str, Any], now: float) -> list[Account]:
        """The accounts that a call with this attribution is under now."""
        accounts = []
        for attribute, general, named in self._by_attribute:
            if (value := attribution.get(attribute)) is not None:
                for rule in named.get(value, general):
                    account = rule.accounts.get(value)
                    if account is None or not account.period.begins <= now < account.period.ends:
                        account = self._open(rule, value, now)
                    rule.accounts.move_to_end(value)
                    accounts.append(account)
        return accounts

    def _open(self, rule: Rule, value: str, now: float) -> Account:
        for _ in range(2):  # two for one: those of a finished period are gone soon, and no caller waits for all of that
            if rule.accounts and next(iter(rule.accounts.values())).period.ends <= now:
                rule.accounts.popitem(last=False)
        if len(rule.accounts) >= _MOST_ACCOUNTS:
            _, oldest = rule.accounts.popitem(last=False)
            if self._leases is None and now < oldest.period.ends:
                self._say_once(
                    rule.label, "The budget %s is for more than %d at a time: what the one that called least recently "
                    "has used is forgotten.", rule.label, _MOST_ACCOUNTS,
                )  # fmt: skip
        allowance = rule.limit if self._leases is None else 0.0
        account = rule.accounts[value] = Account(rule, value, period(rule.budget.per, now), allowance=allowance)
        return account

    def _react(self, account: Account) -> None:
        """Do with a call beyond a limit what its budget says."""
        exceeded, label = self._exceeded_by(account), account.rule.label
        on_exceeded = account.rule.budget.on_exceeded
        try:
            _follow(on_exceeded, exceeded)
        except BudgetExceeded:
            self._beyond[label, "refused"] += 1
            if exceeded.first:
                _logger.warning("Model calls are refused: %s", exceeded)
            raise
        except Exception:
            self._fault(f"The on_exceeded function of the budget {label} failed, and the call is made")
        self._beyond[label, "let_through"] += 1
        if exceeded.first and on_exceeded == "warn":
            _logger.warning("Model calls go on beyond a limit: %s", exceeded)

    def _exceeded_by(self, account: Account) -> BudgetExceeded:
        budget = account.rule.budget
        with self._lock:
            spent: float | None = account.used(self._clock())
            first, account.said = not account.said, True
        if self._leases is not None and not self._leases.answering and spent is not None and spent < budget.limit:
            spent = None
        exceeded = BudgetExceeded()
        exceeded.by, exceeded.value, exceeded.per = budget.by, account.value, budget.per
        exceeded.unit, exceeded.limit, exceeded.spent = budget.unit, budget.limit, spent
        exceeded.resets, exceeded.first = datetime.fromtimestamp(account.period.ends, tz=UTC), first
        return exceeded

    def _observe_exceeded(self, _options: CallbackOptions) -> Iterable[Observation]:
        for (label, action), count in self._beyond.copy().items():
            yield Observation(count, {signals.BUDGET.name: label, signals.BUDGET_ACTION.name: action})

    def _observe_unchecked(self, _options: CallbackOptions) -> Iterable[Observation]:
        for label, count in self._unchecked.copy().items():
            yield Observation(count, {signals.BUDGET.name: label})

    def _observe_used(self, _options: CallbackOptions) -> Iterable[Observation]:
        for rule in self._rules:
            if self._active and rule.budget.by != "user":
                attribute = ATTRIBUTES[rule.budget.by].name
                for amount, value in heapq.nlargest(_MOST_SERIES, self._used(rule)):
                    yield Observation(amount / rule.limit, {signals.BUDGET.name: rule.label, attribute: value})

    def _used(self, rule: Rule) -> Iterator[tuple[float, str]]:
        """What each account of a budget has used; the lock, for which calls wait, is held for a few at a time."""
        now = self._clock()
        with self._lock:
            accounts = list(rule.accounts.values())
        turns = Turns()
        for start in range(0, len(accounts), _AT_ONCE):
            with self._lock:
                used = [(a.used(now), a.value) for a in accounts[start : start + _AT_ONCE] if now < a.period.ends]
            yield from used
            turns.give_way()

    def _fault(self, what: str) -> None:
        """Say once, with its traceback, what went wrong in here."""
        level = logging.DEBUG if what in self._said else logging.WARNING
        self._said.add(what)
        _logger.log(level, "%s", what, exc_info=True)

    def _say_once(self, topic: str, sentence: str, *values: object) -> None:
        if topic not in self._said:
            self._said.add(topic)
            _logger.warning(sentence, *values)

    def _after_fork(self) -> None:
        """In a child: what the parent has spent stays in memory, and is the parent's in a store."""
        self._lock = threading.RLock()
        self._beyond.clear()
        self._unchecked.clear()
        for rule in self._rules:
            if self._leases is not None:
                rule.accounts.clear()
            for account in rule.accounts.values():
                account.forget_calls_under_way()
        if self._leases is not None:
            self._leases.renew(self._lock)


def _rules(budgets: Iterable[Budget]) -> list[Rule]:
    """A rule for each budget. Several limits of the same kind are told apart by their order, the lowest first."""
    labels: Counter[str] = Counter()
    rules = []
    for budget in sorted(budgets, key=lambda budget: budget.limit):
        labels[budget.label] += 1
        number = labels[budget.label]
        rules.append(Rule(budget, budget.label if number == 1 else f"{budget.label}/{number}"))
    return rules


def _by_attribute(rules: Iterable[Rule]) -> list[tuple[str, list[Rule], dict[str, list[Rule]]]]:
    """By attribute of a call: the rules for any value, and those for certain values, which take their places."""
    found = []
    for by, attribute in ATTRIBUTES.items():
        mine = [rule for rule in rules if rule.budget.by == by]
        general = [rule for rule in mine if rule.budget.value is None]
        named: dict[str, list[Rule]] = {}
        for value in (rule.budget.value for rule in mine if rule.budget.value is not None):
            own = [rule for rule in mine if rule.budget.value == value]
            kinds = {(rule.budget.per, rule.budget.unit) for rule in own}
            named[value] = own + [rule for rule in general if (rule.budget.per, rule.budget.unit) not in kinds]
        if mine:
            found.append((attribute.name, general, named))
    return found


def _follow(on_exceeded: OnExceeded, exceeded: BudgetExceeded) -> None:
    if on_exceeded == "raise":
        raise exceeded
    if callable(on_exceeded):
        on_exceeded(exceeded)


def _cost(rule: Rule, call: Call, price: Price) -> float:
    """What a finished call adds to an account, in the unit of the budget. A request was counted when it was made."""
    if rule.budget.unit == "usd":
        return float(price.amount or 0)
    if rule.budget.unit == "tokens":
        return float((call.tokens.input or 0) + (call.tokens.output or 0))
    return 0.0
