"""What budgets add to a call, and how far concurrent calls overspend.

``python -m instrumentation.benchmarks.budgets``, which takes two minutes and needs ``redis-server``. Costs of calls
vary widely (exponential distribution), and each call lasts 50 ms.
"""

import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Final

import genai_observability
from genai_observability import Budget, RedisStore
from genai_observability._budgets.enforcement import Enforcement

from instrumentation.tests.redis_server import RedisServer
from instrumentation.tests.spending_processes import MEAN, spent_together

_BUDGETS: Final = {
    "none that applies": [Budget(by="tenant", per="day", requests=10**9)],
    "one": [Budget(by="user", per="day", requests=10**9)],
    "three": [
        Budget(by="user", per="day", usd=10**9),
        Budget(by="team", per="month", usd=10**9),
        Budget(by="feature", per="hour", requests=10**9),
    ],
}


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory, RedisServer(Path(directory)) as server:
        print("a check on the caller's thread, microseconds")
        for name, budgets in _BUDGETS.items():
            for place, store in (("memory", None), ("Redis", RedisStore(url=server.url))):
                print(f"  budgets: {name:<20}{place:<8}", end="")
                print(f"{_microseconds(budgets, store):6.1f}")
        print("\nspent beyond the limit, by calls with up to 64 under way in a process at a time")
        for place, processes in (("memory", 1), ("Redis", 1), ("Redis", 3)):
            for unit, limit in (("requests", 2000), ("usd", 1000 * MEAN), ("usd", 3000 * MEAN), ("usd", 10_000 * MEAN)):
                server.client.flushall()
                url = server.url if place == "Redis" else "memory"
                began, visits = time.monotonic(), _visits(server)
                spent = spent_together(url, unit=unit, limit=limit, processes=processes)
                took, visits = time.monotonic() - began, _visits(server) - visits
                print(
                    f"  {place:<7}{processes} x 64 threads   limit {limit:>6,.0f} {unit:<9}"
                    f"{100 * sum(spent) / limit - 100:+6.1f}%{len(spent):>8} calls{visits:>7} visits{took:>6.1f} s"
                )


def _microseconds(budgets: list[Budget], store: RedisStore | None) -> float:
    enforcement = Enforcement(budgets, store=store)
    with genai_observability.attributed_to(user="alice", team="growth", feature="search"):
        _measure(enforcement.admit, 5000)
        check = min(_measure(enforcement.admit, 2000) for _ in range(20))
    enforcement.stop(1)
    return check


def _measure(function: Callable[[], object], count: int) -> float:
    return timeit.timeit(function, number=count) / count * 1e6


def _visits(server: RedisServer) -> int:
    return int(server.client.info("commandstats").get("cmdstat_eval", {}).get("calls", 0))


if __name__ == "__main__":
    main()
