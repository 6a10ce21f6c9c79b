"""Starts and ends the two programs of the demonstration: the simulated provider and the sample application."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from stack.interrupts import interrupts_deferred
from stack.native import process
from stack.native.lock import alone
from stack.native.process import Program
from stack.settings import Settings

PROVIDER: Final = "demo-provider"
APPLICATION: Final = "demo-app"


@contextmanager
def running(
    settings: Settings,
    *,
    simulated: bool,
    keep: bool,
    report: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
) -> Iterator[datetime]:
    """Both programs (of a real provider: the application alone), until the block is left; with ``keep``, longer.

    The time is the beginning of the run: all telemetry of these programs is younger, that of earlier ones is older.
    Programs that an interrupted demonstration or one with ``--keep`` left behind are ended first. ``environment`` is
    for both programs, over what they get otherwise.

    Raises:
        StackError: a port is in use, or a program does not start.
    """
    programs = _programs(settings, simulated=simulated, more=environment or {})
    otherwise = "Another demonstration is running: wait until it has ended, or end it."
    with alone(settings.state / "run" / "demo.lock", otherwise=otherwise):
        _end_earlier(settings, report)
        process.require_free_ports(programs)
        began = datetime.now(UTC)
        try:
            started = {program.name: process.start(program, state=settings.state) for program in programs}
            process.wait_until_ready(started, programs, on_ready=lambda ready: report(f"{ready.name} is ready"))
            yield began
        except BaseException:
            report("ending the demo's programs")
            stop(settings)
            raise
        if not keep:
            stop(settings)


def stop(settings: Settings) -> None:
    """Ends what runs of the two, the application first: it sends the last of its telemetry while it ends.

    Raises:
        StackError: one does not end.
    """
    with interrupts_deferred():
        for name in (APPLICATION, PROVIDER):
            if found := process.find(name, state=settings.state):
                process.stop(found, state=settings.state)


def _end_earlier(settings: Settings, report: Callable[[str], None]) -> None:
    for name in (APPLICATION, PROVIDER):
        if left := process.find(name, state=settings.state):
            report(f"ending {name} of an earlier run")
            process.stop(left, state=settings.state)


def _programs(settings: Settings, *, simulated: bool, more: Mapping[str, str]) -> list[Program]:
    # Everything they talk to is on this machine, but for the real provider: no proxy stands in between.
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1")))
    environment = {
        **settings.variables(),
        "NO_PROXY": direct,
        "no_proxy": direct,
        "OTEL_EXPORTER_OTLP_ENDPOINT": settings.otlp_http_url,
        # The demo's users are invented: no key for them is to be kept in the configuration of whoever runs it.
        "GENAI_OBSERVABILITY_USER_KEY": "demo",
        **more,
    }
    provider = Program(
        name=PROVIDER,
        command=(sys.executable, "-m", "demo.provider"),
        health_url=f"{settings.provider_url}/healthz",
        ports={"PROVIDER_PORT": settings.provider_port},
        environment=environment,
    )
    application = Program(
        name=APPLICATION,
        command=(sys.executable, "-m", "demo.app"),
        health_url=f"{settings.demo_url}/healthz",
        ports={"DEMO_PORT": settings.demo_port},
        environment=environment,
        without=("OTEL_",),  # what the user's shell sets for other applications is not for this one
    )
    return [provider, application] if simulated else [application]
