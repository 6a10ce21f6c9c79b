"""What budgets add to a call, and how far concurrent calls overspend.

``python -m instrumentation.benchmarks.budgets``, which takes two minutes and needs ``redis-server``. Costs of calls
vary widely (exponential distribution), and each call lasts 50 ms.
"""

import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import genai_observability
import httpx2
import openai
from genai_observability import Budget, RedisStore
from genai_observability._budgets.checked_methods import check_first
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
_ANSWER: Final = {"object": "list", "model": "m", "data": [], "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory, RedisServer(Path(directory)) as server:
        print("a check on the caller's thread, microseconds; and what it adds to a call of the bare client")
        for name, budgets in _BUDGETS.items():
            for place, store in (("memory", None), ("Redis", RedisStore(url=server.url))):
                print(f"  budgets: {name:<20}{place:<8}", end="")
                print("{:6.1f}{:8.1f}".format(*_microseconds(budgets, store)))
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


def _microseconds(budgets: list[Budget], store: RedisStore | None) -> tuple[float, float]:
    enforcement = Enforcement(budgets, store=store)
    client = openai.OpenAI(
        api_key="none",
        http_client=httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=_ANSWER))),
    )

    def call() -> Any:
        return client.embeddings.create(model="m", input="a", encoding_format="float")

    with genai_observability.attributed_to(user="alice", team="growth", feature="search"):
        _measure(enforcement.check, 5000)
        check = min(_measure(enforcement.check, 2000) for _ in range(20))
        bare, checked = [], []
        for _ in range(20):  # in turns, as the machine gets slower and faster meanwhile
            bare.append(_measure(call, 200))
            end = check_first(enforcement.check)
            checked.append(_measure(call, 200))
            end()
    enforcement.stop(1)
    return check, min(checked) - min(bare)


def _measure(function: Callable[[], object], count: int) -> float:
    return timeit.timeit(function, number=count) / count * 1e6


def _visits(server: RedisServer) -> int:
    return int(server.client.info("commandstats").get("cmdstat_eval", {}).get("calls", 0))


if __name__ == "__main__":
    main()
