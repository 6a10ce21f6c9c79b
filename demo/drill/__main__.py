"""``make drill``: breaks a running demonstration in one way after another, and measures who knows when.

Everything runs beside whatever else does, on ports and in a folder of its own, and in real time.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from demo.accounts import Account, comparison, differences
from demo.drill.bounds import Rules
from demo.drill.losses import losses
from demo.drill.run import WARM_UP, Outcome, Plan, is_right, on_servers, on_services
from demo.drill.scene import Stack, standing
from demo.drill.table import DRILLS, MINUTE, Drill
from stack.clients import StoreError
from stack.interrupts import interrupt_on_termination
from stack.native import StackError
from stack.settings import Settings, SettingsError

MEDIAN: Final = 30.0
"""Seconds; the most that half of the total failures may take."""
_WIDTH: Final = 170


class Steps:
    """Prints what is done, with the time since the beginning."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.wide = Console(highlight=False, width=max(self.console.width, _WIDTH))
        """For tables: a line a drill, also where there is no terminal."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time since the beginning."""
        return time.monotonic() - self._began

    def __call__(self, text: str) -> None:
        """One step."""
        self.console.print(f"[{self.seconds:6.1f} s] {text}", markup=False)


def main() -> int:
    """Runs the drills; 1 where a bound is missed, 2 where an option is wrong."""
    options = _options()
    interrupt_on_termination()
    step = Steps()
    if options.list:
        step.wide.print(_listed(DRILLS.values()))
        return 0
    drills = [] if options.losses else [DRILLS[name] for name in options.only or DRILLS]
    pasts = [(drill.service, drill.past) for drill in drills if drill.past]
    try:
        with standing(Settings.load(), thresholds=options.thresholds, pasts=pasts, report=step) as stack:
            if options.losses:
                return _count(*losses(stack, minutes=options.losses, rate=options.rate, report=step), step)
            if options.thresholds:
                step(f"the thresholds are those of {options.thresholds}, not those in use")
            outcomes = _carry_out(stack, drills, options, step)
            strays = _strays(stack, outcomes)
    except SettingsError as error:
        return _fail(str(error), 2)
    except (StackError, StoreError) as error:
        return _fail(str(error), 1)
    except httpx.HTTPError as error:
        return _fail(f"A part of the drill stopped answering: {error or type(error).__name__}.", 1)
    except KeyboardInterrupt:
        return _fail("Interrupted: everything that the drill had started has ended.", 130)
    return _say(outcomes, strays, step, every=not options.only)


def _carry_out(stack: Stack, drills: Sequence[Drill], options: argparse.Namespace, step: Steps) -> list[Outcome]:
    root = stack.settings.root
    plan = Plan(
        stack=stack,
        rules=Rules(root / "prometheus" / "rules"),
        rate=options.rate,
        patience=options.patience * 60,
        warm_up=options.warm_up,
        report=step,
    )
    outcomes = []
    with step.console.status("") as status:
        for carry_out, chosen in (
            (on_services, [drill for drill in drills if not drill.server]),
            (on_servers, [drill for drill in drills if drill.server]),
        ):
            if chosen:
                status.update(f"{', '.join(drill.name for drill in chosen)}: under way")
                outcomes += asyncio.run(carry_out(plan, chosen))
    return outcomes


def _count(expected: Account, found: Sequence[Account], step: Steps) -> int:
    """Prints what each store has of the calls, and says in the exit code whether all have all."""
    step.wide.print(comparison([expected, *found]))
    if different := differences(expected, found):
        return _fail("The stores do not agree with what was sent:\n" + "\n".join(f"  {line}" for line in different), 1)
    step("all figures agree: nothing was lost")
    return 0


def _strays(stack: Stack, outcomes: Sequence[Outcome]) -> set[str]:
    """Alerts that were told at any time and that no drill accounts for."""
    return {
        told.name
        for told in stack.receivers.told
        if told.firing
        and not any(
            told.name in outcome.others or (told.is_of(outcome.drill.service) and is_right(told, outcome.drill))
            for outcome in outcomes
        )
    }


def _say(outcomes: Sequence[Outcome], strays: set[str], step: Steps, *, every: bool) -> int:
    """Prints the table and says in the exit code whether everything is as it should be."""
    step.wide.print(_table(outcomes))
    total = [outcome.measured for outcome in outcomes if outcome.drill.bound == MINUTE and outcome.measured is not None]
    late = False
    if total:
        median = statistics.median(total)
        late = every and median > MEDIAN  # one of them alone says nothing about the half
        step(f"total failures: half of them known within {median:.0f} s (bound: {MEDIAN:.0f} s)")
    failed = [outcome.drill.name for outcome in outcomes if outcome.faults]
    step(f"{len(outcomes)} drills in {step.seconds / 60:.1f} minutes")
    if strays:
        step(f"alerts that belong to no drill: {', '.join(sorted(strays))}")
    if failed or late or strays:
        what = [*failed, *(["the median of total failures"] if late else []), *sorted(strays)]
        return _fail(f"Not as it should be: {', '.join(what)}.", 1)
    return 0


def _table(outcomes: Iterable[Outcome]) -> Table:
    table = Table("fault", "alert", "severity", "bound", "measured", "told to", "others", "end told", "", box=None)
    for column in (3, 4, 7):
        table.columns[column].justify = "right"
    for outcome in outcomes:
        drill = outcome.drill
        table.add_row(
            drill.name,
            drill.alert,
            drill.severity,
            _seconds(None if drill.heartbeat else outcome.bound),
            _seconds(outcome.measured),
            ", ".join(sorted(outcome.channels)) or "-",
            ", ".join(sorted(outcome.others)) or "none",
            _seconds(outcome.resolved),
            "; ".join(filter(None, [*outcome.faults, outcome.note])) or "ok",
        )
    return table


def _listed(drills: Iterable[Drill]) -> Table:
    table = Table("drill", "fault", "alert", "severity", box=None)
    for drill in drills:
        table.add_row(drill.name, drill.words, drill.alert, drill.severity)
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"


def _fail(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.drill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="list the drills and do nothing")
    parser.add_argument("--only", action="append", choices=list(DRILLS), metavar="NAME", help="this drill; repeatable")
    parser.add_argument(
        "--losses",
        type=float,
        metavar="MINUTES",
        help="instead: kill the warehouse twice and its ingest once within so many minutes, and count calls afterwards",
    )
    parser.add_argument("--rate", type=float, default=2.0, help="requests a second to each application (2)")
    parser.add_argument(
        "--patience", type=float, default=15.0, help="minutes that the end of an alert is waited for (15)"
    )
    parser.add_argument("--warm-up", type=float, default=WARM_UP, help=f"seconds of health before ({WARM_UP:.0f})")
    parser.add_argument("--thresholds", type=Path, help="other thresholds, with shorter windows for instance")
    options = parser.parse_args()
    if options.losses is not None and options.losses <= 0:
        parser.error("--losses must be above 0")
    if not (options.rate > 0 and options.patience >= 0 and options.warm_up >= 0):
        parser.error("--rate must be above 0, --patience and --warm-up not below it")
    return options


if __name__ == "__main__":
    sys.exit(main())
