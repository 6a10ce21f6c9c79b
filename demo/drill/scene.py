"""Where a drill takes place: a stack of its own with its receivers, and sample applications that use it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import yaml

from demo import services
from demo.drill.past import Past, remember
from demo.drill.receivers import Receivers, listening
from demo.traffic import EVERYDAY, Traffic, Visit, set_faults, visits
from stack.native import StackError, down, process, up
from stack.native.lock import alone
from stack.native.ports import free_ports
from stack.settings import Settings

SERVERS: Final = ("prometheus", "victorialogs", "jaeger", "alertmanager", "postgres", "usage", "inbox", "collector")

Report = Callable[[str], None]
Change = Callable[[Visit], Visit]

_CHANNELS: Final[Mapping[str, Mapping[str, object]]] = {
    "pagerduty": {"severities": ["critical"]},
    "slack": {"severities": ["critical", "warning"]},
    "webhook": {"severities": ["critical", "warning", "info"]},
}
"""The channels that are switched on, and for what."""


@dataclass(frozen=True)
class Stack:
    """The servers, and who is told."""

    settings: Settings
    receivers: Receivers

    def expected_channels(self, severity: str) -> set[str]:
        """Where an alert of a severity has to arrive."""
        return {name for name, channel in _CHANNELS.items() if severity in channel["severities"]}  # type: ignore[operator]

    def kill(self, server: str) -> None:
        """Ends a server as a crash does: at once, without a chance to tidy up."""
        found = process.find(server, state=self.settings.state)
        if not found:
            raise StackError(f"{server} cannot be killed: it does not run.")
        os.kill(found.pid, signal.SIGKILL)

    def revive(self, server: str) -> None:
        """Starts it again."""
        up(self.settings, only={server})


@contextmanager
def standing(
    settings: Settings, *, thresholds: Path | None, pasts: Iterable[tuple[str, Past]] = (), report: Report
) -> Iterator[Stack]:
    """A stack with data and ports of its own, beside whatever else runs; its data is kept until the next drill.

    ``pasts`` is what it knows of services from before.

    Raises:
        StackError: it does not start, or its configuration is refused.
    """
    with ExitStack() as ending:
        otherwise = "Another drill is running: wait until it has ended, or end it."
        ending.enter_context(alone(settings.state / "run" / "drill.lock", otherwise=otherwise))
        receivers = ending.enter_context(listening())
        own = _own(settings)
        _end_earlier(own)
        down(own, volumes=True)  # the warehouse's data may lie elsewhere
        shutil.rmtree(own.state, ignore_errors=True)
        own = replace(own, root=_configured(own, receivers, thresholds))
        remember(pasts, promtool=own.binaries / "promtool", data=own.state / "data" / "prometheus")
        ending.callback(down, own)
        up(own, only=SERVERS)
        report(f"a stack of the drill's own is up: Prometheus {own.prometheus_url}, inbox {own.inbox_url}")
        yield Stack(own, receivers)
        report("ending the drill's stack")


class Service:
    """A sample application with a simulated provider of its own, its users, and what is wrong with them."""

    def __init__(self, settings: Settings, name: str, *, rate: float) -> None:
        self.name = name
        self.settings = settings
        self.traffic = Traffic(settings.demo_url, rate=rate, visiting=self.visits())
        self.change: Change | None = None
        """What users send instead of what they usually do."""
        self.unpriced = False
        """Whether users ask for what is answered by the model without a price."""
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Lets the users in."""
        await set_faults(self.settings.provider_url, EVERYDAY)
        self._running = asyncio.create_task(self.traffic.run(stop=self._stop))

    async def close(self) -> None:
        """Lets the last users finish."""
        self._stop.set()
        if self._running:
            await self._running

    async def faults(self, shares: Mapping[str, float]) -> None:
        """Sets what goes wrong at the provider, besides the everyday mishaps as far as there is room for them."""
        room = 1 - sum(shares.values())
        usual = EVERYDAY if room >= sum(EVERYDAY.values()) else {}
        await set_faults(self.settings.provider_url, {**usual, **shares})

    def visits(self) -> Iterator[Visit]:
        """Visits without end; each is as things are at its time."""
        for number, visit in enumerate(visits(1)):
            if visit.path == "/sort" and not self.unpriced:
                continue
            # Many users rather than the same twelve, who would reach the limits of a single user.
            many = replace(visit, body={**visit.body, "user": f"{number % 997}-{visit.body['user']}"})
            yield self.change(many) if self.change else many


@contextmanager
def serving(stack: Stack, name: str, *, rate: float, environment: Mapping[str, str]) -> Iterator[Service]:
    """A sample application of that name in an environment of that name, until the block is left.

    The environment is its own, too, because a provider that is down is told for a whole environment.

    Raises:
        StackError: it does not start.
    """
    ports = free_ports(2)
    settings = replace(
        stack.settings, state=stack.settings.state / "services" / name, provider_port=ports[0], demo_port=ports[1]
    )
    own = {
        "OTEL_SERVICE_NAME": name,
        "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={name}",
        **environment,
    }
    with services.running(settings, simulated=True, keep=False, report=lambda _: None, environment=own):
        yield Service(settings, name, rate=rate)


def _end_earlier(own: Settings) -> None:
    """What a drill that was killed has left."""
    for folder in (own.state, *(own.state / "services").glob("*")):
        for running in process.find_all(state=folder):
            process.stop(running, state=folder)


def _own(settings: Settings) -> Settings:
    names = [field.name for field in fields(Settings) if field.name.endswith("_port")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    return replace(settings, state=settings.state / "drill", logs="victorialogs", **ports)  # type: ignore[arg-type]


def _configured(settings: Settings, receivers: Receivers, thresholds: Path | None) -> Path:
    """A repository like this one, in which a user has switched the channels on; the real one is not touched."""
    root = settings.state / "repository"
    root.mkdir(parents=True)
    own = {"alertmanager", "prometheus", "secrets"}
    for entry in settings.root.iterdir():
        if entry.name in own - {"secrets"}:
            shutil.copytree(entry, root / entry.name)
        elif not entry.name.startswith(".") and entry.name not in own:
            (root / entry.name).symlink_to(entry)
    secrets = root / "secrets"
    secrets.mkdir()
    channels = channels_of_drill(settings.root / "stack" / "channels.yaml", receivers.url)
    (root / "channels.yaml").write_text(yaml.safe_dump(channels, sort_keys=False), encoding="utf-8")
    for name, content in _secrets(receivers).items():
        (secrets / name).write_text(content, encoding="utf-8")
    output = root / "alertmanager" / "alertmanager.yml"
    _generate("alerting", "--channels", root / "channels.yaml", "--secrets", secrets, "--output", output)
    if thresholds:
        written = settings.state / "rules"
        _generate("rules", "--thresholds", thresholds, "--directory", written)
        for file in written.glob("*.yaml"):
            shutil.copy(file, root / "prometheus" / "rules")
        os.environ["THRESHOLDS_FILE"] = str(thresholds.absolute())  # for the usage service, which measures by them
    return root


def channels_of_drill(path: Path, url: str) -> dict[str, Any]:
    """The user's file with every channel off that is not the drill's: nobody is woken up by a drill."""
    channels: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, channel in channels.items():
        if isinstance(channel, dict) and "enabled" in channel:
            channel |= {"enabled": name in _CHANNELS or name == "heartbeat", **_CHANNELS.get(name, {})}
    channels["pagerduty"]["address"] = f"{url}/pagerduty"
    # A team's own channels, muted times and further people are the user's, not the drill's.
    return channels | {name: {} for name in ("teams", "mute_times", "escalation") if name in channels}


def _secrets(receivers: Receivers) -> dict[str, str]:
    return {
        "pagerduty-routing-key": "0123456789abcdef0123456789abcdef",
        "slack-webhook-url": f"{receivers.url}/slack",
        "webhook-url": f"{receivers.url}/webhook",
        "heartbeat-url": f"{receivers.url}/heartbeat",
    }


def _generate(module: str, *arguments: object) -> None:
    done = subprocess.run(  # noqa: S603 -- our own command
        [sys.executable, "-m", f"stack.{module}", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(done.stderr.strip())
