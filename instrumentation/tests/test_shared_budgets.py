"""Budgets that several processes share in a real Redis, also when it goes away."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import genai_observability
import openai
import pytest
from genai_observability import Budget, BudgetExceeded, RedisStore, signals
from genai_observability._budgets.enforcement import Enforcement
from genai_observability._context.identity import user_hash

from instrumentation.tests.recording import Recording
from instrumentation.tests.redis_server import RedisServer
from instrumentation.tests.spending import Clock, spend, until_refused
from instrumentation.tests.spending_processes import spent_together
from tests.serving import free_port


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def enforcing() -> Iterator[Any]:
    """Starts enforcements, each like another process to the store."""
    started: list[Enforcement] = []

    def start(store: RedisStore, *budgets: Budget, **options: Any) -> Enforcement:
        started.append(Enforcement(budgets, store=store, **options))
        return started[-1]

    yield start
    for enforcement in started:
        enforcement.stop(5)


def monthly(limit: int) -> Budget:
    return Budget(by="team", per="month", requests=limit, on_exceeded="raise")


def call(enforcement: Enforcement) -> None:
    spend(enforcement, at=time.time(), ended=False, team="growth")


def settled(server: RedisServer, total: float) -> dict[str, float]:
    """The one account of the server, once its total is this."""
    deadline = time.monotonic() + 15
    while True:
        (account,) = server.accounts().values() or [{}]
        if account.get("total") == pytest.approx(total):
            return account
        assert time.monotonic() < deadline, account
        time.sleep(0.05)


def test_processes_of_64_threads_together_make_exactly_as_many_requests_as_they_may(redis_server: RedisServer) -> None:
    assert sum(spent_together(redis_server.url, unit="requests", limit=3000)) == 3000
    (account,) = redis_server.accounts().values()
    assert account["total"] == 3000


def test_processes_of_64_threads_together_overspend_by_a_few_per_cent_at_most(redis_server: RedisServer) -> None:
    spent = sum(spent_together(redis_server.url, unit="usd", limit=30))
    assert 29 < spent < 31.5
    (account,) = redis_server.accounts().values()
    assert account["total"] == pytest.approx(spent)


def test_nearly_every_call_is_let_through_without_asking_redis(redis_server: RedisServer, enforcing: Any) -> None:
    enforcement = enforcing(RedisStore(url=redis_server.url, timeout=2), monthly(100_000))
    began = time.monotonic()
    for _ in range(2000):
        call(enforcement)
        time.sleep(0.0005)
    visits = redis_server.client.info("commandstats")["cmdstat_eval"]["calls"]
    assert visits < 20 + 5 * (time.monotonic() - began), "five a second, and some until the pace is known"
    enforcement.stop(5)
    assert settled(redis_server, 2000)


def test_what_a_process_does_not_use_it_gives_back_when_it_ends(redis_server: RedisServer, enforcing: Any) -> None:
    store = RedisStore(url=redis_server.url, timeout=2)
    first = enforcing(store, monthly(100))
    for _ in range(10):
        call(first)
    first.stop(5)
    settled(redis_server, 10)
    second = enforcing(store, monthly(100))
    assert until_refused(lambda: call(second)) == 90


def test_a_new_period_is_another_account_and_the_old_one_expires(redis_server: RedisServer, enforcing: Any) -> None:
    clock = Clock("2026-12-31T23:59:00Z")
    enforcement = enforcing(RedisStore(url=redis_server.url, timeout=2), monthly(3), clock=clock)
    assert until_refused(lambda: call(enforcement)) == 3
    clock.set("2027-01-01T00:00:00Z")
    assert until_refused(lambda: call(enforcement)) == 3
    accounts = redis_server.accounts()
    assert [key.rpartition(":")[2] for key in accounts] == ["2026-12", "2027-01"]
    old, _new = accounts
    assert 3600 < redis_server.client.ttl(old) <= 3660


def test_redis_holds_users_as_hashes(redis_server: RedisServer, enforcing: Any) -> None:
    budget = Budget(by="user", name="alice@example.com", per="day", usd=1)
    enforcement = enforcing(RedisStore(url=redis_server.url, timeout=2), budget)
    spend(enforcement, at=time.time(), usd=0.5, user="alice@example.com")
    enforcement.stop(5)
    (key,) = redis_server.accounts()
    assert "alice" not in key
    assert user_hash("alice@example.com") in key


def test_a_killed_redis_is_said_once_and_each_process_goes_on_by_what_it_knows(
    redis_server: RedisServer, enforcing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStore(url=redis_server.url, timeout=2)
    one, other = enforcing(store, monthly(100)), enforcing(store, monthly(100))
    for _ in range(30):
        call(other)
    other.stop(5)
    for _ in range(20):
        call(one)
    time.sleep(0.5)
    redis_server.kill()
    assert until_refused(lambda: call(one)) == 50, "of 100, after 30 of the other and 20 of its own"
    assert [message[:64] for message in caplog.messages] == [
        "Budgets are not shared: Redis does not answer (ConnectionError: ",
        "Model calls are refused: The budget of 100 requests a month for ",
    ]
    redis_server.start()  # empty
    settled(redis_server, 71)  # what the living process has spent, and the next call


def test_a_redis_that_hangs_delays_one_call_and_counts_nothing_twice(
    redis_server: RedisServer, enforcing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStore(url=redis_server.url, timeout=0.1)
    enforcement = enforcing(store, monthly(1000))
    call(enforcement)
    time.sleep(0.5)
    redis_server.signal(signal.SIGSTOP)
    waits = []
    for _ in range(300):
        began = time.perf_counter()
        call(enforcement)
        waits.append(time.perf_counter() - began)
    redis_server.signal(signal.SIGCONT)
    assert 1 <= sum(wait >= 0.1 for wait in waits) <= 3, "one, and room for a busy machine"
    assert max(waits) < 1
    assert len(caplog.messages) == 1
    enforcement.stop(5)
    settled(redis_server, 301)


def test_an_event_loop_waits_for_a_redis_that_hangs_for_one_timeout_and_not_again(
    redis_server: RedisServer, provider: str
) -> None:
    recording = Recording(budgets=[monthly(1000)], budget_store=RedisStore(url=redis_server.url, timeout=0.3))

    async def calls() -> list[float]:
        gaps: list[float] = []

        async def tick() -> None:
            while True:
                last = time.perf_counter()
                await asyncio.sleep(0.005)
                gaps.append(time.perf_counter() - last)

        async with openai.AsyncOpenAI(base_url=f"{provider}/v1", api_key="test") as client:
            await client.embeddings.create(model="text-embedding-3-small", input="a")  # under no budget
            ticking = asyncio.create_task(tick())
            redis_server.signal(signal.SIGSTOP)
            for team in ("growth", "sales", "support"):  # of none of them is anything known here
                with genai_observability.attributed_to(team=team):
                    await client.embeddings.create(model="text-embedding-3-small", input="a")
            ticking.cancel()
        return sorted(gaps, reverse=True)

    longest, second, *_ = asyncio.run(calls())
    redis_server.signal(signal.SIGCONT)
    recording.close()
    assert longest < 0.3 + 0.25
    assert second < 0.25


def test_a_call_never_waits_for_two_timeouts_together_however_slow_redis_is(
    redis_server: RedisServer, enforcing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    enforcement = enforcing(RedisStore(url=redis_server.url, timeout=0.2), monthly(1000))

    def answered_late_and_taken_by_others(_accounts: object) -> bool:
        time.sleep(0.15)
        return True

    monkeypatch.setattr(enforcement._leases, "ask", answered_late_and_taken_by_others)
    began = time.perf_counter()
    with pytest.raises(BudgetExceeded):
        call(enforcement)
    assert time.perf_counter() - began < 2 * 0.2


def test_the_end_of_a_process_does_not_wait_for_a_redis_that_hangs(redis_server: RedisServer, enforcing: Any) -> None:
    enforcement = enforcing(RedisStore(url=redis_server.url, timeout=2), monthly(1000))
    call(enforcement)
    redis_server.signal(signal.SIGSTOP)
    began = time.perf_counter()
    enforcement.stop(0.3)
    assert time.perf_counter() - began < 1
    redis_server.signal(signal.SIGCONT)


def test_a_connection_that_was_closed_while_idle_is_made_again_in_silence(
    redis_server: RedisServer, enforcing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    enforcement = enforcing(RedisStore(url=redis_server.url, timeout=2), monthly(1000))
    call(enforcement)
    time.sleep(0.5)
    redis_server.client.client_kill_filter(skipme=True, _type="normal")
    for _ in range(10):
        call(enforcement)
    enforcement.stop(5)
    settled(redis_server, 11)
    assert caplog.messages == []


def test_a_closed_budget_refuses_calls_beyond_what_the_process_was_given(
    redis_server: RedisServer, enforcing: Any
) -> None:
    store = RedisStore(url=redis_server.url, when_unreachable="closed", timeout=2)
    enforcement = enforcing(store, monthly(1000))
    call(enforcement)
    time.sleep(0.5)
    redis_server.kill()
    assert until_refused(lambda: call(enforcement)) < 10
    with pytest.raises(BudgetExceeded) as refused:
        call(enforcement)
    assert str(refused.value) == (
        "The budget of 1,000 requests a month for team growth cannot be checked, as its store does not answer."
    )
    redis_server.start()
    deadline = time.monotonic() + 15
    while until_refused(lambda: call(enforcement)) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_calls_that_were_decided_without_redis_are_counted(provider: str, caplog: pytest.LogCaptureFixture) -> None:
    store = RedisStore(url=f"redis://127.0.0.1:{free_port()}/0")
    recording = Recording(budgets=[monthly(2)], budget_store=store)
    with (
        openai.OpenAI(base_url=f"{provider}/v1", api_key="test") as client,
        genai_observability.attributed_to(team="growth"),
    ):
        assert until_refused(lambda: client.embeddings.create(model="text-embedding-3-small", input="a")) == 2
    (unchecked,) = recording.points(signals.BUDGET_UNCHECKED.name)
    assert (unchecked.labels, unchecked.value) == ({signals.BUDGET.name: "team/month/requests"}, 3)
    recording.close()
    assert len([message for message in caplog.messages if "does not answer" in message]) == 1


def test_a_forked_child_shares_the_budget_as_a_process_of_its_own(redis_server: RedisServer) -> None:
    program = """
import os, sys, time, warnings
from genai_observability import Budget, RedisStore
from genai_observability._budgets.enforcement import Enforcement
from instrumentation.tests.spending import spend, until_refused
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later dislike any fork beside threads
budget = Budget(by="team", per="month", requests=100, on_exceeded="raise")
enforcement = Enforcement([budget], store=RedisStore(url=sys.argv[1], timeout=2))
def call(): spend(enforcement, at=time.time(), ended=False, team="growth")
for _ in range(10): call()
if (child := os.fork()) == 0:
    for _ in range(20): call()
    enforcement.stop(5)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(until_refused(call))
enforcement.stop(5)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, redis_server.url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "70\n", done.stderr
    assert sorted(settled(redis_server, 100).values()) == [20, 80, 100]


def test_without_the_redis_package_a_sentence_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "import genai_observability\n"
        "genai_observability.RedisStore(url='redis://127.0.0.1')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: RedisStore needs the package redis: pip install 'genai-observability[redis]'."
    )


def test_redis_is_loaded_only_where_it_is_used() -> None:
    program = "import sys, genai_observability; print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"url": None}, "The url of a RedisStore reads like redis://:password@host:6379/0."),
        ({"url": "localhost:6379/secret"}, "The url of a RedisStore reads like redis://:password@host:6379/0."),
        ({"url": "redis://:secret@host:port"}, "The url of a RedisStore reads like redis://:password@host:6379/0."),
        ({"when_unreachable": "ajar"}, "when_unreachable is 'open' or 'closed', not 'ajar'."),
        ({"timeout": 0}, "timeout is a number of seconds up to 60, not 0."),
    ],
)
def test_a_store_that_cannot_be_is_refused_without_its_password(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=r"url|unreachable|timeout") as refused:
        RedisStore(**{"url": "redis://:secret@host"} | wrong)
    assert str(refused.value) == sentence


def test_the_password_of_a_store_is_not_in_what_it_looks_like() -> None:
    assert "secret" not in repr(RedisStore(url="redis://:secret@127.0.0.1:6379/0"))
