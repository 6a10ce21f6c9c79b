"""What a drill breaks, and how it is mended."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from demo.drill.scene import Service, Stack


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
