"""Replays four weeks of traffic through the rules: ``make month``.

Once as they are (a quiet month), once with eight incidents, both at the same time; prints what the alerts told, how
soon, and what they told for nothing. It takes about three quarters of an hour on two cores.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Final

from rich.console import Console
from rich.progress import Progress

from stack.interrupts import interrupt_on_termination
from stack.replay import gates, incidents, inhibition, report, traffic
from stack.replay.engine import Firing, ReplayError, replay
from stack.replay.rules import needed
from stack.settings import Settings, SettingsError

_MONTHS: Final = {"quiet": report.quiet, "incidents": report.eventful}


def main(arguments: list[str] | None = None) -> int:
    """Replay and print; 1 where a month is not as it should be."""
    parser = argparse.ArgumentParser(prog="make month", description="Replays a month of traffic through the rules.")
    parser.add_argument("--days", type=float, default=28, help="length of the month (default: 28)")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default: 1)")
    parser.add_argument("--only", choices=tuple(_MONTHS), help="one of the two months")
    options = parser.parse_args(arguments)
    if not 0 < options.days <= 365:
        parser.error("--days must be above 0 and at most 365")
    interrupt_on_termination()
    console = Console()
    months = [name for name in _MONTHS if options.only in (None, name)]
    try:
        settings = Settings.load()
        files = sorted((settings.root / "prometheus" / "rules").glob("*.yaml"))
        silent = inhibition.rules(settings.root / "alertmanager" / "alertmanager.yml")
        with (
            TemporaryDirectory() as folder,
            Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
        ):
            program = settings.binaries / "replay"
            rules = needed([*files, gates.write(Path(folder))], Path(folder))
            firings = _side_by_side(
                months, lambda month, stopping: _replayed(program, rules, options, month, progress, stopping)
            )
    except KeyboardInterrupt:
        return 130
    except (ReplayError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    gates.show(firings[0], options.days, console)
    told = [inhibition.told(each, silent) for each in firings]
    right = [_MONTHS[month](each, options.days, console) for month, each in zip(months, told, strict=True)]
    return 0 if all(right) else 1


def _side_by_side(months: Sequence[str], replayed: Callable[[str, Event], list[Firing]]) -> list[list[Firing]]:
    stopping = Event()
    with ThreadPoolExecutor() as pool:
        try:
            return list(pool.map(lambda month: replayed(month, stopping), months))
        except BaseException:
            stopping.set()  # the other month ends too
            raise


def _replayed(
    program: Path, rules: Sequence[Path], options: argparse.Namespace, month: str, progress: Progress, stopping: Event
) -> list[Firing]:
    labels, steps = traffic.labels_and_steps(
        options.days, seed=options.seed, changes=incidents.changes(incidents=month == "incidents")
    )
    task = progress.add_task(f"A month: {month}", total=int(timedelta(days=options.days) / traffic.STEP))

    def on_step() -> None:
        if stopping.is_set():
            raise ReplayError("The replay was ended.")
        progress.advance(task)

    return replay(
        program,
        rules,
        labels,
        steps,
        start=traffic.START,
        step=traffic.STEP,
        on_step=on_step,
    )


if __name__ == "__main__":
    sys.exit(main())
