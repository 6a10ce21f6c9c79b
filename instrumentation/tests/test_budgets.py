"""Budgets in memory: what they hold to, when they start anew, and what becomes of a call beyond them."""

import pickle
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import genai_observability
import pytest
from genai_observability import Budget, BudgetExceeded, signals
from genai_observability._budgets import enforcement as enforcement_module
from genai_observability._budgets.enforcement import Enforcement
from genai_observability._context.identity import user_hash
from genai_observability._record.instruments import observe
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from instrumentation.tests.spending import Clock, end, spend, until_refused

Labels = frozenset[tuple[str, Any]]


@pytest.fixture
def clock() -> Clock:
    return Clock("2026-11-21T10:30:00Z")


def observed(enforcement: Enforcement) -> dict[str, dict[Labels, float]]:
    """What the enforcement's metrics say, by name and labels."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    for metric, read in enforcement.observed().items():
        observe(provider.get_meter("test"), metric, read)
    data = reader.get_metrics_data()
    provider.shutdown()
    return {
        metric.name: {
            frozenset((point.attributes or {}).items()): float(getattr(point, "value", 0))
            for point in metric.data.data_points
        }
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"by": "session", "usd": 1}, "A budget is by one of user, team, feature, tenant, not by 'session'."),
        ({"per": "week", "usd": 1}, "A budget is per one of hour, day, month, not per 'week'."),
        ({}, "A budget has exactly one limit: usd, tokens or requests."),
        ({"usd": 1, "tokens": 1}, "A budget has exactly one limit: usd, tokens or requests."),
        ({"usd": 0}, "The limit of a budget is a number above 0, not 0."),
        ({"usd": float("nan")}, "The limit of a budget is a number above 0, not nan."),
        ({"requests": True}, "The limit of a budget is a number above 0, not True."),
        ({"usd": "5"}, "The limit of a budget is a number above 0, not '5'."),
        ({"usd": 1, "on_exceeded": "stop"}, "on_exceeded is 'warn', 'raise' or a function, not 'stop'."),
    ],
)
def test_values_that_make_no_budget_are_refused_with_a_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=r"budget|on_exceeded") as refused:
        Budget(**{"by": "user", "per": "day"} | wrong)
    assert str(refused.value) == sentence


def test_an_async_function_cannot_decide_on_a_call() -> None:
    async def decide(exceeded: BudgetExceeded) -> None: ...

    with pytest.raises(ValueError, match="give a plain function"):
        Budget(by="user", per="day", usd=1, on_exceeded=decide)


def test_what_is_no_budget_is_refused_when_the_application_starts() -> None:
    with pytest.raises(TypeError, match="takes Budget"):
        genai_observability.instrument(budgets=[{"by": "user"}])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("per", "last", "first"),
    [
        ("hour", "2026-11-21T10:59:59.999Z", "2026-11-21T11:00:00Z"),
        ("day", "2026-11-21T23:59:59.999Z", "2026-11-22T00:00:00Z"),
        ("month", "2026-11-30T23:59:59.999Z", "2026-12-01T00:00:00Z"),
        ("month", "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"),
        ("month", "2028-02-29T23:59:59.999Z", "2028-03-01T00:00:00Z"),
    ],
)
def test_a_budget_starts_anew_with_the_next_period_by_the_clock_in_utc(
    per: Any, last: str, first: str, clock: Clock
) -> None:
    clock.set(last)
    enforcement = Enforcement([Budget(by="team", per=per, usd=1, on_exceeded="raise")], clock=clock)
    spend(enforcement, at=clock.now, usd=1, team="growth")
    with pytest.raises(BudgetExceeded) as refused:
        spend(enforcement, at=clock.now, team="growth")
    clock.set(first)
    assert refused.value.resets.timestamp() == clock.now
    spend(enforcement, at=clock.now, team="growth")


def test_a_call_that_ends_in_the_next_period_does_not_count_in_it(clock: Clock) -> None:
    clock.set("2026-11-21T23:59:59Z")
    began = clock.now
    enforcement = Enforcement([Budget(by="team", per="day", usd=1, on_exceeded="raise")], clock=clock)
    reservation = spend(enforcement, at=began, ended=False, team="growth")
    clock.set("2026-11-22T00:00:01Z")
    end(enforcement, reservation, at=began, usd=5, team="growth")
    spend(enforcement, at=clock.now, usd=0.5, team="growth")
    spend(enforcement, at=clock.now, usd=0.5, team="growth")
    with pytest.raises(BudgetExceeded):
        spend(enforcement, at=clock.now, team="growth")


def test_a_clock_that_is_set_back_does_not_end_the_checks(clock: Clock) -> None:
    enforcement = Enforcement([Budget(by="team", per="day", requests=1, on_exceeded="raise")], clock=clock)
    spend(enforcement, at=clock.now, team="growth")
    clock.set("2026-11-20T10:30:00Z")
    spend(enforcement, at=clock.now, team="growth")
    with pytest.raises(BudgetExceeded):
        spend(enforcement, at=clock.now, team="growth")


@pytest.mark.parametrize("unit", ["usd", "tokens", "requests"])
def test_money_tokens_and_requests_are_limited(unit: str, clock: Clock) -> None:
    budget = Budget(by="tenant", per="day", on_exceeded="raise", **{unit: 3})  # type: ignore[arg-type]
    enforcement = Enforcement([budget], clock=clock)
    for _ in range(3):
        spend(enforcement, at=clock.now, usd=1, tokens=1, tenant="acme")
    with pytest.raises(BudgetExceeded) as refused:
        spend(enforcement, at=clock.now, tenant="acme")
    assert (refused.value.unit, refused.value.limit, refused.value.spent) == (unit, 3, 3)
    spend(enforcement, at=clock.now, tenant="another")
    spend(enforcement, at=clock.now, feature="search")


def test_a_budget_of_one_named_value_takes_the_place_of_that_for_all(clock: Clock) -> None:
    enforcement = Enforcement(
        [
            Budget(by="user", per="day", requests=1, on_exceeded="raise"),
            Budget(by="user", name="batch@example.com", per="day", requests=3, on_exceeded="raise"),
            Budget(by="user", per="hour", requests=5, on_exceeded="raise"),
        ],
        clock=clock,
    )
    assert until_refused(lambda: spend(enforcement, at=clock.now, user="alice@example.com")) == 1
    assert until_refused(lambda: spend(enforcement, at=clock.now, user="batch@example.com")) == 3


def test_a_call_that_one_budget_refuses_uses_up_nothing_of_another(clock: Clock) -> None:
    enforcement = Enforcement(
        [
            Budget(by="user", per="day", requests=1, on_exceeded="raise"),
            Budget(by="team", per="day", requests=2, on_exceeded="raise"),
        ],
        clock=clock,
    )
    spend(enforcement, at=clock.now, user="a", team="growth")
    for _ in range(5):
        with pytest.raises(BudgetExceeded, match="for user"):
            spend(enforcement, at=clock.now, user="a", team="growth")
    spend(enforcement, at=clock.now, user="b", team="growth")
    with pytest.raises(BudgetExceeded, match="for team"):
        spend(enforcement, at=clock.now, user="c", team="growth")


def test_a_warning_and_a_refusal_at_two_limits_count_the_same_calls(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    enforcement = Enforcement(
        [
            Budget(by="team", per="month", usd=10, on_exceeded="raise"),
            Budget(by="team", per="month", usd=8),
        ],
        clock=clock,
    )
    for _ in range(10):
        spend(enforcement, at=clock.now, usd=1, team="growth")
    (message,) = caplog.messages
    assert message == (
        "Model calls go on beyond a limit: The budget of $8.00 a month for team growth is used up: "
        "$8.00 spent or reserved by calls under way. It starts anew at 2026-12-01 00:00 UTC."
    )
    with pytest.raises(BudgetExceeded):
        spend(enforcement, at=clock.now, usd=1, team="growth")


def test_calls_under_way_reserve_the_mean_cost_of_recent_ones_until_they_end(clock: Clock) -> None:
    enforcement = Enforcement([Budget(by="team", per="month", usd=10, on_exceeded="raise")], clock=clock)
    for cost in (1, 3):
        spend(enforcement, at=clock.now, usd=cost, team="growth")
    for _ in range(3):  # 4 spent, three times 2 reserved
        reservation = spend(enforcement, at=clock.now, ended=False, team="growth")
    with pytest.raises(BudgetExceeded) as refused:
        spend(enforcement, at=clock.now, team="growth")
    assert refused.value.spent == 10
    end(enforcement, at=clock.now, usd=0, team="growth")  # a result of a batch, or a call of another library
    with pytest.raises(BudgetExceeded):
        spend(enforcement, at=clock.now, team="growth")
    end(enforcement, reservation, at=clock.now, usd=0, team="growth")
    spend(enforcement, at=clock.now, ended=False, team="growth")


def test_a_call_that_never_ends_lets_go_of_what_it_reserved_after_ten_minutes(clock: Clock) -> None:
    enforcement = Enforcement([Budget(by="team", per="day", usd=10, on_exceeded="raise")], clock=clock)
    spend(enforcement, at=clock.now, usd=5, team="growth")
    spend(enforcement, at=clock.now, ended=False, team="growth")
    clock.set("2026-11-21T10:39:59Z")
    with pytest.raises(BudgetExceeded):
        spend(enforcement, at=clock.now, team="growth")
    clock.set("2026-11-21T10:40:01Z")
    spend(enforcement, at=clock.now, team="growth")


def test_64_threads_make_exactly_as_many_requests_as_they_may() -> None:
    enforcement = Enforcement([Budget(by="team", per="month", requests=1000, on_exceeded="raise")])

    def call() -> None:
        spend(enforcement, at=time.time(), team="growth")
        time.sleep(0.001)

    assert sum(_each_of_64_threads(lambda: until_refused(call))) == 1000


def test_64_threads_overspend_by_a_few_per_cent_at_most() -> None:
    enforcement = Enforcement([Budget(by="team", per="month", usd=10, on_exceeded="raise")])
    costs = random.Random(1)

    def call(spent: list[float]) -> None:
        began = time.time()
        reservation = spend(enforcement, at=began, ended=False, team="growth")
        time.sleep(0.02)
        spent.append(costs.expovariate(100))  # a cent; half cost less than 0.7 cents, one in twenty more than 3
        end(enforcement, reservation, at=began, usd=spent[-1], team="growth")

    def call_on() -> float:
        spent: list[float] = []
        until_refused(lambda: call(spent))
        return sum(spent)

    assert 9 < sum(_each_of_64_threads(call_on)) < 10.5


def _each_of_64_threads(work: Callable[[], float]) -> list[float]:
    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(lambda _: work(), range(64)))


def test_a_refusal_says_what_is_used_up_and_until_when_without_the_users_id(clock: Clock) -> None:
    enforcement = Enforcement([Budget(by="user", per="day", usd=0.005, on_exceeded="raise")], clock=clock)
    spend(enforcement, at=clock.now, usd=0.0071, user="alice@example.com")
    with pytest.raises(BudgetExceeded) as refused:
        spend(enforcement, at=clock.now, user="alice@example.com")
    hashed = user_hash("alice@example.com")
    assert str(refused.value) == (
        f"The budget of $0.005 a day for user {hashed[:12]} is used up: $0.0071 spent or reserved by calls under way. "
        "It starts anew at 2026-11-22 00:00 UTC."
    )
    assert refused.value.value == hashed
    assert "alice" not in repr(vars(refused.value))
    copy = pickle.loads(pickle.dumps(refused.value))
    assert (str(copy), vars(copy)) == (str(refused.value), vars(refused.value))


def test_refusals_are_logged_once_a_period_and_counted_each(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    enforcement = Enforcement(
        [Budget(by="user", name="alice", per="hour", requests=1, on_exceeded="raise")], clock=clock
    )
    for hour in ("10", "11"):
        clock.set(f"2026-11-21T{hour}:30:00Z")
        spend(enforcement, at=clock.now, user="alice")
        for _ in range(3):
            with pytest.raises(BudgetExceeded):
                spend(enforcement, at=clock.now, user="alice")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    label = f"user={user_hash('alice')[:12]}/hour/requests"
    assert observed(enforcement)[signals.BUDGET_EXCEEDED.name] == {
        frozenset({(signals.BUDGET.name, label), (signals.BUDGET_ACTION.name, "refused")}): 6
    }


def test_the_share_used_is_a_gauge_for_teams_and_not_for_users(clock: Clock) -> None:
    enforcement = Enforcement([Budget(by="team", per="day", usd=10), Budget(by="user", per="day", usd=10)], clock=clock)
    for number in range(150):
        spend(enforcement, at=clock.now, usd=number / 10, team=f"team-{number}", user=f"user-{number}")
    used = observed(enforcement)[signals.BUDGET_USED.name]
    assert len(used) == 100, "the fullest hundred"
    assert min(used.values()) == pytest.approx(0.5)
    labels = {(signals.BUDGET.name, "team/day/usd"), (signals.TEAM.name, "team-149")}
    assert used[frozenset(labels)] == pytest.approx(1.49)
    clock.set("2026-11-22T00:00:00Z")
    assert signals.BUDGET_USED.name not in observed(enforcement)


def test_a_function_decides_on_each_call_beyond_the_limit(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[bool] = []

    def decide(exceeded: BudgetExceeded) -> None:
        seen.append(exceeded.first)
        if len(seen) > 2:
            raise exceeded

    enforcement = Enforcement([Budget(by="team", per="day", requests=1, on_exceeded=decide)], clock=clock)
    for _ in range(3):
        spend(enforcement, at=clock.now, team="growth")
    with pytest.raises(BudgetExceeded):
        spend(enforcement, at=clock.now, team="growth")
    assert seen == [True, False, False]
    assert caplog.messages == []
    counted = observed(enforcement)[signals.BUDGET_EXCEEDED.name]
    assert {dict(labels)[signals.BUDGET_ACTION.name]: count for labels, count in counted.items()} == {
        "let_through": 2,
        "refused": 1,
    }


def test_a_function_may_refuse_in_words_of_its_own(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(exceeded: BudgetExceeded) -> None:
        raise BudgetExceeded("Ask your manager.") from exceeded

    enforcement = Enforcement([Budget(by="team", per="day", requests=1, on_exceeded=refuse)], clock=clock)
    spend(enforcement, at=clock.now, team="growth")
    with pytest.raises(BudgetExceeded, match="Ask your manager"):
        spend(enforcement, at=clock.now, team="growth")
    assert caplog.messages[0].startswith("Model calls are refused: The budget of 1 request a day for team growth ")


def test_a_function_that_fails_breaks_no_call_and_is_said_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    def fail(exceeded: BudgetExceeded) -> None:
        raise ConnectionError("the pager is away")

    enforcement = Enforcement([Budget(by="team", per="day", requests=1, on_exceeded=fail)], clock=clock)
    for _ in range(4):
        spend(enforcement, at=clock.now, team="growth")
    assert caplog.messages == ["The on_exceeded function of the budget team/day/requests failed, and the call is made"]


def test_a_fault_of_ours_breaks_no_call_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> float:
        raise OSError("no clock")

    enforcement = Enforcement([Budget(by="team", per="day", requests=1, on_exceeded="raise")], clock=broken)
    for _ in range(3):
        spend(enforcement, at=0, team="growth")
    assert caplog.messages == [
        "A call could not be checked against its budgets, and is made",
        "The cost of a call could not be counted against its budgets",
    ]


def test_calls_without_a_price_count_as_tokens_and_requests_and_not_as_money(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    enforcement = Enforcement(
        [
            Budget(by="team", per="day", usd=0.01, on_exceeded="raise"),
            Budget(by="team", per="day", tokens=300, on_exceeded="raise"),
        ],
        clock=clock,
    )
    for _ in range(3):
        spend(enforcement, at=clock.now, tokens=100, unpriced=True, team="growth")
    with pytest.raises(BudgetExceeded, match="300 tokens"):
        spend(enforcement, at=clock.now, team="growth")
    assert caplog.messages[:-1] == [
        "Budgets in US dollars leave out calls without a price, such as those of gpt-4o-mini (unknown_model)."
    ]


def test_users_of_a_finished_period_make_room_for_those_of_the_next(clock: Clock) -> None:
    enforcement = Enforcement([Budget(by="user", per="hour", usd=1)], clock=clock)
    for hour in range(3):
        for number in range(100):
            spend(enforcement, at=clock.now, user=f"user-{hour}-{number}")
        clock.now += 3600
    (rule,) = enforcement._rules
    assert len(rule.accounts) == 100


def test_users_are_bounded_and_the_least_recent_is_forgotten_first(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enforcement_module, "_MOST_ACCOUNTS", 10)
    enforcement = Enforcement([Budget(by="user", per="day", requests=1, on_exceeded="raise")], clock=clock)
    for number in range(12):
        spend(enforcement, at=clock.now, user=f"user-{number}")
    with pytest.raises(BudgetExceeded):
        spend(enforcement, at=clock.now, user="user-2")
    spend(enforcement, at=clock.now, user="user-0")
    assert [message[:37] for message in caplog.messages] == [
        "The budget user/day/requests is for m",
        "Model calls are refused: The budget o",
    ]


def test_reading_a_full_budget_for_the_metrics_keeps_no_call_waiting_for_it() -> None:
    enforcement = Enforcement([Budget(by="tenant", per="month", usd=5)])
    for number in range(100_000):
        enforcement._open(enforcement._rules[0], f"tenant-{number}", time.time())
    waits: list[float] = []
    ended = threading.Event()

    def call() -> None:
        while not ended.wait(0.001):
            began = time.perf_counter()
            spend(enforcement, at=time.time(), ended=False, tenant="tenant-1")
            waits.append(time.perf_counter() - began)

    calling = threading.Thread(target=call)
    calling.start()
    began = time.perf_counter()
    for _ in range(3):
        observed(enforcement)
    took = (time.perf_counter() - began) / 3
    ended.set()
    calling.join()
    assert max(waits) < took / 3


def test_a_new_name_in_a_full_budget_costs_its_caller_no_more_than_in_an_empty_one() -> None:
    enforcement = Enforcement([Budget(by="tenant", per="month", usd=5)])

    def calls(first: int) -> float:
        began = time.thread_time()
        for number in range(first, first + 1_000):
            spend(enforcement, at=time.time(), ended=False, tenant=f"tenant-{number}")
        return time.thread_time() - began

    empty = min(calls(first) for first in range(0, 5_000, 1_000))
    for number in range(5_000, 100_000):
        enforcement._open(enforcement._rules[0], f"tenant-{number}", time.time())
    assert min(calls(first) for first in range(100_000, 105_000, 1_000)) < 3 * empty
