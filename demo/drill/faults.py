"""What a drill breaks, and how it is mended."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from demo.drill.scene import Service, Stack
from demo.provider.faults import HEADER
from demo.provider.faults import Fault as ProviderFault
from demo.traffic import Visit


class Fault(Protocol):
    """Something that goes wrong."""

    async def begin(self, stack: Stack, service: Service) -> None:
        """Breaks it."""

    async def end(self, stack: Stack, service: Service) -> None:
        """Mends it."""


@dataclass(frozen=True, slots=True)
class Provider:
    """The provider does this to so many of the calls."""

    shares: Mapping[str, float]

    async def begin(self, stack: Stack, service: Service) -> None:
        """Sets the shares."""
        del stack
        await service.faults(self.shares)

    async def end(self, stack: Stack, service: Service) -> None:
        """Leaves the everyday mishaps."""
        del stack
        await service.faults({})


@dataclass(frozen=True, slots=True)
class Users:
    """Users do something else."""

    change: Callable[[Visit], Visit]

    async def begin(self, stack: Stack, service: Service) -> None:
        """From the next visit on."""
        del stack
        service.change = self.change

    async def end(self, stack: Stack, service: Service) -> None:
        """As usual again."""
        del stack
        service.change = None


@dataclass(frozen=True, slots=True)
class OneRequest:
    """A single request with this fault at the provider."""

    fault: ProviderFault

    async def begin(self, stack: Stack, service: Service) -> None:
        """Changes the next visit that asks for a streamed answer, and no other."""
        del stack

        def change(visit: Visit) -> Visit:
            if visit.path != "/ask/stream":
                return visit
            service.change = None
            return asking(visit, f"{visit.body['question']} {HEADER}: {self.fault}")

        service.change = change

    async def end(self, stack: Stack, service: Service) -> None:
        """Nothing is left to mend."""
        del stack
        service.change = None


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """Users come to what is answered by a model without a price."""

    async def begin(self, stack: Stack, service: Service) -> None:
        """From the next visit on."""
        del stack
        service.unpriced = True

    async def end(self, stack: Stack, service: Service) -> None:
        """They stay away again."""
        del stack
        service.unpriced = False


@dataclass(frozen=True, slots=True)
class Killed:
    """A server of the stack crashes."""

    server: str

    async def begin(self, stack: Stack, service: Service) -> None:
        """Kills it."""
        del service
        await asyncio.to_thread(stack.kill, self.server)

    async def end(self, stack: Stack, service: Service) -> None:
        """Starts it again."""
        del service
        await asyncio.to_thread(stack.revive, self.server)


def asking(visit: Visit, question: str) -> Visit:
    """The visit with another question; one without a question stays as it is."""
    return replace(visit, body={**visit.body, "question": question}) if "question" in visit.body else visit
