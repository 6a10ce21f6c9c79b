"""The guided demonstration: ``make demo``, or ``python -m demo`` once everything is built.

Starts what does not run yet, sends traffic, breaks the provider, waits for the alert, and compares what the stores
hold with what the provider itself counted.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import httpx
from rich.console import Console
from rich.status import Status

from demo import accounts, services
from demo.accounts import Account, Times
from demo.app.clients import ConfigurationError, chosen_provider
from demo.app.library import read_passages
from demo.bound import upper_bound
from demo.traffic import EVERYDAY, OUTAGE, Traffic, set_faults, visits
from stack.clients import Prometheus, StoreError
from stack.interrupts import interrupt_on_termination
from stack.native import StackError, down, keeper, process, up
from stack.native.process import is_healthy
from stack.settings import Settings, SettingsError

ALERT: Final = "GenAIErrorBurst"
"""The alert that the fault must raise."""

_HEALTHY_SECONDS: Final = 15.0
_RECOVERY_SECONDS: Final = 4.0
_ALERT_WITHIN: Final = 90.0
_EARLIER_ALERT_ENDS_WITHIN: Final = 240.0
_EQUAL_WITHIN: Final = 45.0
_WIDTH: Final = 100
"""Of the table of all stores, also where the output is a file."""
_REAL_VISITS: Final = 20


class DemoError(Exception):
    """The demonstration did not show what it should; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    keep: bool
    seed: int
    rate: float


class Steps:
    """Prints what is done, with the time since the beginning."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        """One step."""
        self.console.print(f"[{time.monotonic() - self._began:6.1f} s] {text}", markup=False)


def main() -> int:
    """Runs the demonstration and says in its exit code whether it succeeded."""
    options = _options()
    interrupt_on_termination()
    step = Steps()
    try:
        settings = Settings.load()
        provider = chosen_provider()
        with _stack(settings, step):
            if provider == "simulated":
                _with_simulated_provider(settings, options, step)
            else:
                _with_real_provider(settings, options, step)
    except (SettingsError, ConfigurationError) as error:
        return _fail(str(error), 2)
    except (DemoError, StackError, StoreError) as error:
        return _fail(str(error), 1)
    except httpx.HTTPError as error:
        return _fail(f"A part of the demonstration stopped answering: {error or type(error).__name__}.", 1)
    except KeyboardInterrupt:
        return _fail("Interrupted: everything that this run had started has ended.", 130)
    _say_what_next(settings, options, step)
    return 0


@contextmanager
def _stack(settings: Settings, step: Steps) -> Iterator[None]:
    """The servers, which go on afterwards; interrupted, those end that did not run before."""
    before = {each.name for each in process.find_all(state=settings.state)}
    step("starting the stack (what runs already is reused)")
    try:
        up(settings, report=step)
        keeper.start(settings)
        yield
    except KeyboardInterrupt:
        step("ending the servers that this run has started")
        down(settings, besides=before)
        raise


def _with_simulated_provider(settings: Settings, options: Options, step: Steps) -> None:
    with services.running(settings, simulated=True, keep=options.keep, report=step) as began:
        traffic = asyncio.run(_break_and_mend(settings, options, step))
        ledger: dict[str, Any] = _get(f"{settings.provider_url}/control/ledger")
        _say_what_was_sent(traffic, step)
        step("waiting until the application has sent its telemetry")
    expected = accounts.of_provider(ledger, requests=traffic.requests)
    retries = ledger["attempts"] - ledger["calls"]
    refused = ", ".join(f"{count} × {status}" for status, count in ledger["refused"].items())
    step(
        f"the provider counted {ledger['calls']} calls, {retries} retries, {ledger['answers']} answers, "
        f"refusals: {refused or 'none'}, left unanswered: {ledger['unfinished']}"
    )
    _compare(settings, expected, began, step)


def _with_real_provider(settings: Settings, options: Options, step: Steps) -> None:
    most = upper_bound(islice(visits(options.seed), _REAL_VISITS), read_passages())
    step(f"the real provider: {_REAL_VISITS} requests to the application, which cost at most ${most:.2f} in all")
    step("it cannot be made to fail on demand: no fault and no alert; the calls of a model it does not know fail")
    with services.running(settings, simulated=False, keep=options.keep, report=step) as began:
        traffic = Traffic(settings.demo_url, seed=options.seed, rate=1.0)
        asyncio.run(traffic.run(stop=asyncio.Event(), most=_REAL_VISITS))
        calls: int = _get(f"{settings.demo_url}/calls")["calls"]
        _say_what_was_sent(traffic, step)
    step("the real provider shows no ledger: calls and requests are compared with the application's own count")
    _compare(settings, accounts.of_application(calls=calls, requests=traffic.requests), began, step)


async def _break_and_mend(settings: Settings, options: Options, step: Steps) -> Traffic:
    """Traffic all the time: first all is well, then the provider fails until the alert is there, then all is well."""
    traffic = Traffic(settings.demo_url, seed=options.seed, rate=options.rate)
    stop = asyncio.Event()
    await set_faults(settings.provider_url, EVERYDAY)
    step(f"traffic begins: {options.rate:g} requests a second, with a few rate limits, timeouts and slow answers")
    with step.console.status("") as status:
        running = asyncio.create_task(traffic.run(stop=stop))
        showing = asyncio.create_task(_show(traffic, status))
        try:
            await asyncio.sleep(_HEALTHY_SECONDS)
            await _until_earlier_alert_has_ended(settings, step)
            await set_faults(settings.provider_url, OUTAGE)
            broken = datetime.now(UTC)
            step(f"fault: the provider answers {OUTAGE['server_error']:.0%} of the calls with an error")
            seconds = await _seconds_until_alert(settings, broken)
            step(f"the alert {ALERT} arrived in the inbox {seconds:.0f} s after the fault")
            await set_faults(settings.provider_url, {})
            step("the fault is mended")
            await asyncio.sleep(_RECOVERY_SECONDS)
            stop.set()
            await running
        finally:
            running.cancel()
            showing.cancel()
    return traffic


async def _show(traffic: Traffic, status: Status) -> None:
    """Progress on a terminal; elsewhere nothing is shown."""
    while True:
        status.update(f"{traffic.requests} requests sent, {traffic.statuses[200]} answered well")
        await asyncio.sleep(0.5)


async def _until_earlier_alert_has_ended(settings: Settings, step: Steps) -> None:
    """A fault cannot be seen to raise an alert that is still there from an earlier run."""
    prometheus = Prometheus(settings.prometheus_url)
    deadline = time.monotonic() + _EARLIER_ALERT_ENDS_WITHIN
    told = False
    while any(
        alert.name == ALERT and alert.labels.get("service") == accounts.SERVICE
        for alert in await asyncio.to_thread(prometheus.alerts)
    ):
        if not told:
            step(f"{ALERT} is still there from an earlier run: waiting until it has ended")
            told = True
        if time.monotonic() > deadline:
            raise DemoError(f"{ALERT} was there before the fault and did not end: see {settings.inbox_url}.")
        await asyncio.sleep(2)


async def _seconds_until_alert(settings: Settings, broken: datetime) -> float:
    deadline = time.monotonic() + _ALERT_WITHIN
    since = broken.isoformat().replace("+00:00", "Z")
    async with httpx.AsyncClient(trust_env=False) as client:
        while time.monotonic() < deadline:
            answer = await client.get(f"{settings.inbox_url}/api/notifications", params={"since": since})
            for notification in answer.raise_for_status().json():
                if _raised(notification["alerts"], broken):
                    return (datetime.fromisoformat(notification["received_at"]) - broken).total_seconds()
            await asyncio.sleep(0.5)
    raise DemoError(
        f"The alert {ALERT} did not arrive in the inbox within {_ALERT_WITHIN:.0f} s of the fault: "
        f"`make status` says whether Prometheus, Alertmanager and the inbox are well."
    )


def _raised(alerts: Sequence[dict[str, Any]], broken: datetime) -> bool:
    return any(
        alert["labels"].get("alertname") == ALERT
        and alert["labels"].get("service") == accounts.SERVICE
        and alert["status"] == "firing"
        and datetime.fromisoformat(alert["startsAt"]) >= broken
        for alert in alerts
    )


def _compare(settings: Settings, expected: Account, began: datetime, step: Steps) -> None:
    """Reads the stores until they agree with the expected account, then shows what they say.

    Raises:
        DemoError: they do not agree in time; the message names every difference.
    """
    deadline = time.monotonic() + _EQUAL_WITHIN
    while True:
        end = datetime.now(UTC)
        found = accounts.of_stores(settings, began, end)
        different = accounts.differences(expected, found)
        if not different or time.monotonic() > deadline:
            break
        time.sleep(1)
    step("read back from the stores:")
    wide = Console(highlight=False, width=max(step.console.width, _WIDTH))
    wide.print(accounts.comparison([expected, *found]))
    _say_times(accounts.times(settings, began, end), step)
    if different:
        raise DemoError("The stores do not agree with what was sent:\n" + "\n".join(f"  {line}" for line in different))
    step("all figures agree")


def _say_times(times: Times, step: Steps) -> None:
    def seconds(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.2f} s"

    step.console.print(
        f"  95 % of the calls took at most {seconds(times.call_p95)}; first token of streams after "
        f"{seconds(times.first_token_p50)} (p50), {seconds(times.first_token_p95)} (p95)."
    )


def _say_what_was_sent(traffic: Traffic, step: Steps) -> None:
    answered = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(traffic.statuses.items()))
    step(
        f"{traffic.requests} requests sent, answered {answered}; "
        f"{traffic.ratings['up']} thumbs up, {traffic.ratings['down']} down"
    )


def _say_what_next(settings: Settings, options: Options, step: Steps) -> None:
    addresses = {"alert inbox": settings.inbox_url}
    if options.keep:
        addresses["sample application"] = settings.demo_url
    if is_healthy(f"{settings.grafana_url}/api/health"):
        addresses["Grafana"] = settings.grafana_url
    step.console.print("\nOpen in a browser (the stack keeps running):")
    for name, address in addresses.items():
        step.console.print(f"  {name:20} {address}")
    step.console.print("\nNext:")
    step.console.print("  make preview         the dashboards with this data, as HTML pages")
    step.console.print("  make status          what runs, and how much memory it takes")
    step.console.print("  make down            ends everything; VOLUMES=1 deletes the data too")


def _get(url: str) -> Any:
    return httpx.get(url, trust_env=False).raise_for_status().json()


def _fail(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Shows the whole stack at work.")
    parser.add_argument("--keep", action="store_true", help="let the application and the provider run on afterwards")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same traffic (1)")
    parser.add_argument("--rate", type=float, default=6.0, help="requests a second (6)")
    given = parser.parse_args()
    if not given.rate > 0:
        parser.error("--rate must be above 0")
    return Options(keep=given.keep, seed=given.seed, rate=given.rate)
