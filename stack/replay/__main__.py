"""Replays four weeks of traffic through the rules: ``make month``.

Once as they are (a quiet month), once with eight incidents; prints what the alerts told, how soon, and what they told
for nothing. It takes about an hour on two cores.
"""

import argparse
import sys
from datetime import timedelta

from rich.console import Console
from rich.progress import Progress

from stack.replay import incidents, report, traffic
from stack.replay.engine import Firing, ReplayError, replay
from stack.settings import Settings, SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Replay and print; 1 where a month is not as it should be."""
    parser = argparse.ArgumentParser(prog="make month", description="Replays a month of traffic through the rules.")
    parser.add_argument("--days", type=float, default=28, help="length of the month (default: 28)")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default: 1)")
    parser.add_argument("--only", choices=("quiet", "incidents"), help="one of the two months")
    options = parser.parse_args(arguments)
    if not 0 < options.days <= 365:
        parser.error("--days must be above 0 and at most 365")
    console = Console()
    try:
        settings = Settings.load()
        right = True
        if options.only != "incidents":
            right = report.quiet(_replayed(settings, options, console, with_incidents=False), options.days, console)
        if options.only != "quiet":
            firings = _replayed(settings, options, console, with_incidents=True)
            right = report.eventful(firings, options.days, console) and right
    except KeyboardInterrupt:
        return 130
    except (ReplayError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0 if right else 1


def _replayed(
    settings: Settings, options: argparse.Namespace, console: Console, *, with_incidents: bool
) -> list[Firing]:
    labels, steps = traffic.labels_and_steps(
        options.days, seed=options.seed, changes=incidents.changes(incidents=with_incidents)
    )
    total = int(timedelta(days=options.days) / traffic.STEP)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("A month with incidents" if with_incidents else "A quiet month", total=total)
        return replay(
            settings.binaries / "replay",
            sorted((settings.root / "prometheus" / "rules").glob("*.yaml")),
            labels,
            steps,
            start=traffic.START,
            step=traffic.STEP,
            on_step=lambda: progress.advance(task),
        )


if __name__ == "__main__":
    sys.exit(main())
