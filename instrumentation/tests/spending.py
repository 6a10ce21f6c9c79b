"""Calls as a budget sees them, without a client: checked, under way for a while, ended at a cost."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import genai_observability
from genai_observability import BudgetExceeded, signals
from genai_observability._budgets.enforcement import Enforcement, Reservation
from genai_observability._call import Call, Price, Tokens
from genai_observability._context.identity import user_hash

BY = {"feature": signals.FEATURE, "team": signals.TEAM, "tenant": signals.TENANT, "user": signals.USER_HASH}


def spend(
    enforcement: Enforcement,
    *,
    at: float,
    ended: bool = True,
    usd: float = 0.0,
    tokens: int = 0,
    unpriced: bool = False,
    **attribution: str,
) -> Reservation:
    """A call that begins at a time and costs so much; ``BudgetExceeded`` where it is refused."""
    with genai_observability.attributed_to(**attribution):  # type: ignore[arg-type]
        reservation = enforcement.admit()
    if ended:
        end(enforcement, reservation, at=at, usd=usd, tokens=tokens, unpriced=unpriced, **attribution)
    return reservation


def end(
    enforcement: Enforcement,
    reservation: Reservation = (),
    *,
    at: float,
    usd: float = 0.0,
    tokens: int = 0,
    unpriced: bool = False,
    **attribution: str,
) -> None:
    """The end of a call that began at a time."""
    recorded = {BY[by].name: user_hash(value) if by == "user" else value for by, value in attribution.items()}
    call = Call(
        operation="chat",
        provider="openai",
        request_model="gpt-4o-mini",
        started=datetime.fromtimestamp(at, tz=UTC),
        duration=1.0,
        tokens=Tokens(input=tokens),
        attribution=recorded,
    )
    enforcement.book(call, Price(unpriced="unknown_model") if unpriced else Price(amount=Decimal(usd)), reservation)


def until_refused(call: Callable[[], object]) -> int:
    """How many calls were let through before the first that was not."""
    count = 0
    with contextlib.suppress(BudgetExceeded):
        for count in range(100_000):  # noqa: B007 - the number of calls that came back
            call()
    return count


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, time: str) -> None:
        """``time`` as in ``2026-02-28T23:59:59Z``."""
        self.set(time)

    def set(self, time: str) -> None:
        self.now = datetime.fromisoformat(time).timestamp()

    def __call__(self) -> float:
        return self.now
