"""What goes wrong in a month, and which alerts are to tell of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from stack.replay.traffic import START, Calls, Change, changed

_MODEL_SWITCH: Final = START + timedelta(days=16, hours=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that goes wrong with the calls of one service for a while."""

    name: str
    service: str
    begins: datetime
    lasts: timedelta
    alters: Callable[[Calls], Calls]
    alerts: frozenset[str]
    """Names of the alerts of which each tells of it."""

    @property
    def ends(self) -> datetime:
        """When it is over."""
        return self.begins + self.lasts

    def change(self, when: datetime, calls: Calls) -> Calls:
        """The calls as they are at a time."""
        return self.alters(calls) if calls.service == self.service and self.begins <= when < self.ends else calls


def model_switch(when: datetime, calls: Calls) -> Calls:
    """The one planned change of the month: the assistant gets a model that is a little faster and writes less."""
    if calls.service == "shop" and calls.feature == "assistant" and when >= _MODEL_SWITCH:
        return changed(calls, seconds=0.9, output_tokens=0.92)
    return calls


def _at(day: int, hour: float) -> datetime:
    return START + timedelta(days=day, hours=hour)


def _of(feature: str, alter: Callable[[Calls], Calls]) -> Callable[[Calls], Calls]:
    return lambda calls: alter(calls) if calls.feature == feature else calls


INCIDENTS: Final = (
    Incident(
        name="a third of the shop's calls fail",
        service="shop",
        begins=_at(15, 11),
        lasts=timedelta(minutes=25),
        alters=lambda calls: replace(calls, failing=0.33),
        alerts=frozenset({"GenAIErrorBurst", "GenAIErrorRatioHigh"}),
    ),
    Incident(
        name="the provider of the support chat is down",
        service="support",
        begins=_at(17, 14),
        lasts=timedelta(minutes=40),
        alters=lambda calls: replace(calls, failing=1.0),
        alerts=frozenset({"GenAIErrorBurst", "GenAINoSuccess", "GenAIProviderDown"}),
    ),
    Incident(
        name="the support chat is six times as slow",
        service="support",
        begins=_at(18, 10),
        lasts=timedelta(minutes=60),
        alters=lambda calls: changed(calls, seconds=6.0, first_token=6.0),
        alerts=frozenset({"GenAILatencyHigh", "GenAILatencyUnusual", "GenAILatencyBurst"}),
    ),
    Incident(
        name="a rate limit refuses a tenth of the shop's calls",
        service="shop",
        begins=_at(20, 15),
        lasts=timedelta(minutes=45),
        alters=lambda calls: replace(calls, refused=0.1),
        alerts=frozenset({"GenAIRateLimited"}),
    ),
    Incident(
        name="a prompt that grew makes reports cost eight times as much",
        service="reports",
        begins=_at(21, 9),
        lasts=timedelta(hours=8),
        alters=lambda calls: changed(calls, input_tokens=12.0, output_tokens=6.0),
        alerts=frozenset({"GenAITokensUnusual", "GenAITokenSpike", "GenAICostUnusual", "GenAICostSpike"}),
    ),
    Incident(
        name="the assistant's answers get worse",
        service="shop",
        begins=_at(22, 8),
        lasts=timedelta(hours=10),
        alters=_of("assistant", lambda calls: changed(calls, quality=0.6)),
        alerts=frozenset({"GenAIQualityLow", "GenAIQualityDrop", "GenAIDrift"}),
    ),
    Incident(
        name="a loop makes the shop ask five times as often",
        service="shop",
        begins=_at(24, 13),
        lasts=timedelta(hours=2),
        alters=lambda calls: changed(calls, rate=5.0),
        alerts=frozenset({"GenAICostSpike", "GenAITokenSpike", "GenAICostUnusual"}),
    ),
    Incident(
        name="one in twenty of the support chat's calls fails for a morning",
        service="support",
        begins=_at(25, 8),
        lasts=timedelta(hours=3),
        alters=lambda calls: replace(calls, failing=0.07),
        alerts=frozenset({"GenAIErrorRatioHigh", "GenAISLOBurn", "GenAIErrorsUnusual"}),
    ),
)


def changes(*, incidents: bool) -> list[Change]:
    """What changes the traffic of the month."""
    return [model_switch, *((each.change for each in INCIDENTS) if incidents else ())]
