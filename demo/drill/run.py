"""Carries the drills out: those on services side by side, those on servers one after the other."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import httpx

from demo.drill.bounds import Patience, Rules
from demo.drill.receivers import Told
from demo.drill.scene import Report, Service, Stack, serving
from demo.drill.table import ORDINARY, Drill

WARM_UP: Final = 75.0
"""Seconds of healthy traffic before a fault: the shortest windows, of a minute, have to be full of it."""
_HOLD: Final = 15.0
"""Seconds that a fault lasts on once it is known: what else it raises by then is seen, too."""
_LATE: Final = 30.0
"""Seconds beyond the bound that are waited for, to say by how much it was missed."""
_TOLD_AGAIN: Final = 90.0
"""Seconds within which Alertmanager tells the end: its interval of a minute, and some."""
_BEATS_MISSED: Final = 3
"""So many beats the outside service waits for before it raises the alarm."""
_LONGEST_SILENCE: Final = 600.0
"""Seconds after which a silence that has not come, or a beat, is no longer waited for."""

BYSTANDER: Final = "drill-bystander"
"""The service that goes on while servers are killed: nothing must be told of it."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a drill has shown; all times in seconds."""

    drill: Drill
    bound: float
    measured: float | None = None
    """From the fault to the message."""
    channels: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    """Channels that should have been told and were not."""
    others: set[str] = field(default_factory=set)
    """Alerts that should not have been told."""
    resolved: float | None = None
    """From the end of the fault to the message of it."""
    note: str = ""
    """Why something was not measured."""

    @property
    def faults(self) -> list[str]:
        """What is wrong, each as a short phrase."""
        return [
            phrase
            for wrong, phrase in (
                (self.measured is None and not self.note, "not told"),
                (self.measured is not None and self.measured > self.bound, "too late"),
                (bool(self.missing), f"not told to {', '.join(sorted(self.missing))}"),
                (bool(self.others), "other alerts"),
                (self.measured is not None and self.resolved is None and not self.note, "end not told"),
            )
            if wrong
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all drills of a run share."""

    stack: Stack
    rules: Rules
    rate: float
    patience: float
    """Seconds that the end of an alert is waited for at most."""
    warm_up: float
    report: Report


async def on_services(plan: Plan, drills: Sequence[Drill]) -> list[Outcome]:
    """All at the same time, each on a service of its own, so that none sees the fault of another."""
    with ExitStack() as ending:
        services = [
            ending.enter_context(serving(plan.stack, drill.service, rate=plan.rate, environment=drill.environment))
            for drill in drills
        ]
        plan.report(f"{len(services)} sample applications are ready, each with {plan.rate:g} requests a second")
        pairs = zip(drills, services, strict=True)
        tasks = [asyncio.create_task(_on_service(plan, drill, service)) for drill, service in pairs]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def on_servers(plan: Plan, drills: Sequence[Drill]) -> list[Outcome]:
    """One after the other, while a service goes on."""
    with ExitStack() as ending:
        service = ending.enter_context(serving(plan.stack, BYSTANDER, rate=plan.rate, environment={}))
        async with _open(service):
            await asyncio.sleep(plan.warm_up)
            return [await _drill(plan, drill, service, since=datetime.now(UTC)) for drill in drills]


async def _on_service(plan: Plan, drill: Drill, service: Service) -> Outcome:
    since = datetime.now(UTC)
    async with _open(service):
        await asyncio.sleep(plan.warm_up)
        return await _drill(plan, drill, service, since=since)


@asynccontextmanager
async def _open(service: Service) -> AsyncIterator[None]:
    await service.open()
    try:
        yield
    finally:
        await service.close()


async def _drill(plan: Plan, drill: Drill, service: Service, *, since: datetime) -> Outcome:
    patience = plan.rules.patience(drill.alert, drill.severity, **drill.labels)
    patience = replace(patience, window=drill.window or patience.window)
    outcome = Outcome(drill=drill, bound=drill.bound or patience.bound)
    expected = f"{drill.alert} has to arrive within {outcome.bound:.0f} s"
    plan.report(f"{drill.name}: {drill.words}; {'only a heartbeat can tell' if drill.heartbeat else expected}")
    interval = await _beat(plan) if drill.heartbeat else None
    broken = datetime.now(UTC)
    await drill.fault.begin(plan.stack, service)
    try:
        if drill.heartbeat:
            await _until_silent(outcome, plan, interval, broken)
        else:
            await _until_told(plan, outcome, broken)
    finally:
        await drill.fault.end(plan.stack, service)
    mended = datetime.now(UTC)
    if outcome.measured is not None and not drill.heartbeat:
        await _until_resolved(plan, outcome, patience, mended)
    else:
        await asyncio.sleep(_HOLD)
    about = (drill.service, service.name)
    outcome.others = {
        told.name
        for told in list(plan.stack.receivers.told)
        if told.at >= since and told.firing and any(map(told.is_of, about)) and not is_right(told, drill)
    }
    plan.report(f"{drill.name}: {'; '.join(outcome.faults) or outcome.note or 'as it should be'}")
    return outcome


async def _until_told(plan: Plan, outcome: Outcome, broken: datetime) -> None:
    drill, receivers = outcome.drill, plan.stack.receivers
    told = await _wait(plan, drill, firing=True, since=broken, seconds=outcome.bound + _LATE)
    if not told:
        return
    outcome.measured = (told.at - broken).total_seconds()
    plan.report(f"{drill.name}: {drill.alert} arrived after {outcome.measured:.0f} s")
    await asyncio.sleep(_HOLD)
    outcome.channels = receivers.channels(drill.alert, told.labels["service"], broken)
    expected = plan.stack.expected_channels(drill.severity)
    if drill.server != "inbox":
        expected.add("inbox")
        if await _in_inbox(plan, told, broken):
            outcome.channels.add("inbox")
    outcome.missing = expected - outcome.channels


async def _beat(plan: Plan) -> float | None:
    """Seconds from one beat to the next, once one has just been heard; nothing where there is no heartbeat."""
    beats = plan.stack.receivers.beats
    if len(beats) < 2:
        return None
    # The shortest, as some may have been missed in an earlier drill.
    interval = min((later - earlier).total_seconds() for earlier, later in pairwise(beats))
    deadline = time.monotonic() + _LONGEST_SILENCE
    while (datetime.now(UTC) - beats[-1]).total_seconds() > interval and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    return interval


async def _until_silent(outcome: Outcome, plan: Plan, interval: float | None, broken: datetime) -> None:
    """Waits until the outside service would raise the alarm, as nothing else can."""
    if interval is None:
        outcome.note = "seen only by an outside heartbeat"
        await asyncio.sleep(_HOLD)
        return
    deadline = time.monotonic() + _LONGEST_SILENCE
    while time.monotonic() < deadline:
        if (datetime.now(UTC) - plan.stack.receivers.beats[-1]).total_seconds() >= _BEATS_MISSED * interval:
            seconds = (datetime.now(UTC) - broken).total_seconds()
            outcome.note = f"seen only by the heartbeat, {seconds:.0f} s after"
            outcome.channels = {"heartbeat"}
            return
        await asyncio.sleep(0.5)


async def _until_resolved(plan: Plan, outcome: Outcome, patience: Patience, mended: datetime) -> None:
    drill = outcome.drill
    longest = patience.window + patience.keep + _TOLD_AGAIN + _LATE
    if longest > plan.patience:
        outcome.note = f"end not waited for: up to {longest / 60:.0f} min"
        return
    if told := await _wait(plan, drill, firing=False, since=mended, seconds=longest):
        outcome.resolved = (told.at - mended).total_seconds()
        plan.report(f"{drill.name}: its end was told {outcome.resolved:.0f} s after the fault was mended")


async def _wait(plan: Plan, drill: Drill, *, firing: bool, since: datetime, seconds: float) -> Told | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for told in list(plan.stack.receivers.told):
            if (
                told.at >= since
                and told.firing is firing
                and told.severity == drill.severity
                and told.is_of(drill.service)
                and _is_expected(told, drill)
            ):
                return told
        await asyncio.sleep(0.2)
    return None


async def _in_inbox(plan: Plan, told: Told, since: datetime) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(
            f"{plan.stack.settings.inbox_url}/api/notifications",
            params={"since": since.isoformat().replace("+00:00", "Z")},
        )
    return any(
        alert["status"] == "firing" and alert["labels"] == told.labels
        for notification in answer.raise_for_status().json()
        for alert in notification["alerts"]
    )


def _is_expected(told: Told, drill: Drill) -> bool:
    return told.name == drill.alert and all(told.labels.get(name) == value for name, value in drill.labels.items())


def is_right(told: Told, drill: Drill) -> bool:
    """Whether the fault of the drill should raise the alert, or its traffic does."""
    return _is_expected(told, drill) or told.name in drill.also or (told.name, told.severity) in ORDINARY
