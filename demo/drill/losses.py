"""Kills the warehouse twice and its ingest once under load, and counts the calls in every store afterwards.

``make drill DRILL="--losses 10"`` (minutes). The counts have to be those of the provider's own ledger.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from demo import accounts
from demo.accounts import Account
from demo.drill.scene import Service, Stack, serving
from stack.settings import Settings

_SERVICE: Final = "drill-losses"
_KILLED: Final = ((0.2, "postgres"), (0.45, "usage"), (0.7, "postgres"))
"""What is killed after which share of the time."""
_AWAY: Final = 0.1
"""The share of the time for which it is away."""
_EQUAL_WITHIN: Final = 90.0
"""Seconds until what the Collector kept meanwhile is in all stores."""

Report = Callable[[str], None]


def losses(stack: Stack, *, minutes: float, rate: float, report: Report) -> tuple[Account, Sequence[Account]]:
    """Carries the drill out; what the provider's ledger says, and what each store says.

    Raises:
        StackError: a server does not start again.
        StoreError: a store cannot be asked.
    """
    began = datetime.now(UTC)
    with serving(stack, _SERVICE, rate=rate, environment={}) as service:
        asyncio.run(_under_load(stack, service, seconds=minutes * 60, report=report))
        with httpx.Client(trust_env=False) as client:
            ledger: dict[str, Any] = client.get(f"{service.settings.provider_url}/control/ledger").json()
        requests = service.traffic.requests
    expected = accounts.of_provider(ledger, requests=requests)
    report(f"the provider counted {ledger['calls']} calls of {requests} requests")
    return expected, _until_equal(stack.settings, expected, began)


async def _under_load(stack: Stack, service: Service, *, seconds: float, report: Report) -> None:
    await service.open()
    began = time.monotonic()
    try:
        for share, server in _KILLED:
            await asyncio.sleep(max(0.0, began + share * seconds - time.monotonic()))
            stack.kill(server)
            report(f"{server} is killed")
            await asyncio.sleep(_AWAY * seconds)
            await asyncio.to_thread(stack.revive, server)
            report(f"{server} is back")
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
    finally:
        await service.close()


def _until_equal(settings: Settings, expected: Account, began: datetime) -> Sequence[Account]:
    deadline = time.monotonic() + _EQUAL_WITHIN
    while True:
        found = accounts.of_stores(settings, began, datetime.now(UTC), service=_SERVICE)
        if not accounts.differences(expected, found) or time.monotonic() > deadline:
            return found
        time.sleep(1)
