"""What the alerts of a replayed month are worth."""

import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from stack.replay.engine import Firing
from stack.replay.incidents import INCIDENTS, Incident
from stack.replay.traffic import START
from stack.rules import escalation

_SHIFT: Final = timedelta(hours=8)
_MOST_A_SHIFT: Final = 4
_MOST_WARNINGS_A_WEEK: Final = 2
_AFTERMATH: Final = timedelta(hours=1)
"""An alert that begins so soon after an incident still tells of it: windows look back."""
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class _Episode(NamedTuple):
    """Firings of an alert of a service without a pause."""

    critical: bool
    ends: datetime


def quiet(firings: Sequence[Firing], days: float, console: Console) -> bool:
    """Print what was told in a month in which nothing happened; whether that is little enough."""
    told = messages(firings)
    pages = [each for each in told if each.severity == "critical"]
    warnings = [each for each in told if each.severity == "warning"]
    weekly = Counter((each.begun - START).days // 7 for each in warnings)
    worst = max(weekly.values(), default=0)
    console.print(
        f"A quiet month of {days:g} days: {len(pages)} pages (0 allowed), {len(warnings)} warnings, "
        f"at most {worst} in a week ({_MOST_WARNINGS_A_WEEK} allowed)"
    )
    _list([*pages, *warnings], console)
    return not pages and worst <= _MOST_WARNINGS_A_WEEK


def eventful(firings: Sequence[Firing], days: float, console: Console) -> bool:
    """Print what was found of the incidents, and what was told besides; whether all were found with few alerts."""
    urgent = [each for each in messages(firings) if each.severity in ("critical", "warning")]
    told = [each for each in urgent if each.name != escalation.ALERT]
    happened = [incident for incident in INCIDENTS if incident.ends <= START + timedelta(days=days)]
    table = Table("incident", "found by", "after", title=f"{len(happened)} incidents in {days:g} days")
    delays: list[float] = []
    for incident in happened:
        of_it = [each for each in told if _tells_of(each, incident)]
        first = next((each for each in of_it if each.name in incident.alerts), None)
        if first is not None:
            delays.append((first.begun - incident.begins).total_seconds())
        after = f"{delays[-1] / 60:.1f} min" if first else ""
        table.add_row(incident.name, ", ".join(sorted({each.name for each in of_it})) or "nothing", after)
    console.print(table)
    right = [each for each in told if any(_tells_of(each, incident) for incident in happened)]
    others = [each for each in told if each not in right]
    busiest = _busiest_shift(told)
    console.print(
        f"Recall {len(delays)}/{len(happened)}, precision {len(right)}/{len(told)}, "
        f"median time to detect {statistics.median(delays or [0]) / 60:.1f} min, "
        f"at most {busiest} alerts in a shift of 8 hours ({_MOST_A_SHIFT} allowed); besides, as nobody acknowledges "
        f"anything here, {len(urgent) - len(told)} escalations to the next people"
    )
    _list(others, console)
    return len(delays) == len(happened) and busiest <= _MOST_A_SHIFT


def messages(firings: Sequence[Firing]) -> list[Firing]:
    """The firings that someone is told of, of all in the order in which they began.

    Alertmanager tells of an alert of a service once, until all of its firings have ended, and once more when it turns
    critical.
    """
    told: list[Firing] = []
    episodes: dict[tuple[str, str], _Episode] = {}
    for each in firings:
        key = (each.name, each.labels.get("service", ""))
        critical, ends = each.severity == "critical", each.ended or _NEVER
        episode = episodes.get(key)
        if episode is None or each.begun > episode.ends:
            told.append(each)
            episodes[key] = _Episode(critical, ends)
        else:
            if critical and not episode.critical:
                told.append(each)
            episodes[key] = _Episode(critical or episode.critical, max(ends, episode.ends))
    return told


def _tells_of(firing: Firing, incident: Incident) -> bool:
    mine = firing.labels.get("job", incident.service) == incident.service
    return mine and incident.begins <= firing.begun <= incident.ends + _AFTERMATH


def _busiest_shift(told: Sequence[Firing]) -> int:
    return max(Counter((each.begun - START) // _SHIFT for each in told).values(), default=0)


def _list(firings: Sequence[Firing], console: Console) -> None:
    for each in firings:
        where = ", ".join(
            value for name, value in each.labels.items() if name not in ("alertname", "severity", "team", "service")
        )
        console.print(f"  {each.begun:%a %d %b %H:%M} {each.severity} {each.name} ({where})")
