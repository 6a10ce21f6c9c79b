"""Processes of many threads that spend one budget together, each thread until it is refused.

As a program it is one of those processes: the address of its Redis or ``memory``, unit, limit, threads and a seed.
"""

import json
import random
import subprocess
import sys
import threading
import time

from genai_observability import Budget, RedisStore
from genai_observability._budgets.enforcement import Enforcement

from instrumentation.tests.spending import end, spend, until_refused

MEAN = 0.01  # US dollars a call; half of the calls cost less than 0.007, one in twenty more than 0.03
UNDER_WAY = 0.05  # seconds
_PATIENCE = 2.0  # seconds for which a refused thread tries again, as others may give back what they hold


def spent_together(url: str, *, unit: str, limit: float, processes: int = 3, threads: int = 64) -> list[float]:
    """What each call cost, in the unit."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, url, unit, str(limit), str(threads), str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for seed in range(processes)
    ]  # fmt: skip
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    return [cost for process in started for cost in json.loads(process.communicate(timeout=300)[0])]


def main(url: str, unit: str, limit: str, threads: str, seed: str) -> None:
    """Spend, and print what each call cost."""
    budget = Budget(by="team", per="month", on_exceeded="raise", **{unit: float(limit)})  # type: ignore[arg-type]
    enforcement = Enforcement([budget], store=None if url == "memory" else RedisStore(url=url, timeout=2))
    costs = random.Random(int(seed))
    spent: list[float] = []

    def call() -> None:
        began = time.time()
        reservation = spend(enforcement, at=began, ended=False, team="growth")
        time.sleep(UNDER_WAY)
        spent.append(1 if unit == "requests" else costs.expovariate(1 / MEAN))
        end(enforcement, reservation, at=began, usd=spent[-1], team="growth")

    def work() -> None:
        refused = time.monotonic()
        while time.monotonic() - refused < _PATIENCE:
            if until_refused(call):
                refused = time.monotonic()
            time.sleep(0.2)

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    workers = [threading.Thread(target=work) for _ in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    enforcement.stop(5)
    sys.stdout.write(json.dumps(spent))


if __name__ == "__main__":
    main(*sys.argv[1:])
