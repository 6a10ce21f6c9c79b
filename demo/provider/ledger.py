"""What the provider itself counted and would bill: the independent account that the telemetry is compared with."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from demo.provider.prices import PRICES
from demo.provider.usage import Usage

_MOST_MODELS: Final = 100
OTHER_MODELS: Final = "_other"
"""Stands for all further models once a hundred names have been seen, so that the ledger cannot grow without end."""


@dataclass(slots=True)
class Account:
    """What one model has answered; ``amount`` in US dollars."""

    answers: int = 0
    usage: Usage = field(default_factory=Usage)
    amount: Decimal = Decimal(0)


@dataclass(slots=True)
class Ledger:
    """Counts since the provider's start.

    A call is what an application asked for: its first attempt. Retries made inside the client are further attempts
    of the same call. Only what was answered in full is billed.
    """

    calls: int = 0
    attempts: int = 0
    unfinished: int = 0
    """Attempts whose client went away before the whole answer was sent."""
    refused: Counter[int] = field(default_factory=Counter)
    """Attempts answered with an error, by HTTP status."""
    models: dict[str, Account] = field(default_factory=dict)

    def attempted(self, *, first: bool) -> None:
        """A request has arrived."""
        self.attempts += 1
        self.calls += first

    def answered(self, model: str, usage: Usage) -> None:
        """A request was answered in full: it is billed if the model has a price."""
        name = model if model in self.models or len(self.models) < _MOST_MODELS else OTHER_MODELS
        account = self.models.setdefault(name, Account())
        account.answers += 1
        account.usage += usage
        if model in PRICES:
            account.amount += PRICES[model].amount(usage)

    def report(self) -> dict[str, Any]:
        """The ledger as JSON; amounts are strings, so that no digit is lost."""
        unpriced = {name: account for name, account in self.models.items() if name not in PRICES}
        return {
            "calls": self.calls,
            "attempts": self.attempts,
            "answers": sum(account.answers for account in self.models.values()),
            "refused": {str(status): count for status, count in sorted(self.refused.items())},
            "unfinished": self.unfinished,
            "usage": _tokens(sum((account.usage for account in self.models.values()), Usage())),
            "amount_usd": _exact(sum((account.amount for account in self.models.values()), Decimal(0))),
            "unpriced_answers": sum(account.answers for account in unpriced.values()),
            "models": {
                name: {
                    "answers": account.answers,
                    **_tokens(account.usage),
                    "amount_usd": None if name in unpriced else _exact(account.amount),
                }
                for name, account in sorted(self.models.items())
            },
        }


def _tokens(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _exact(amount: Decimal) -> str:
    return f"{amount:f}"
