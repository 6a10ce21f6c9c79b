"""When the learned baselines had learned enough to tell: where they had not, their silence proves nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import yaml
from rich.console import Console
from rich.table import Table

from stack.replay.engine import Firing
from stack.replay.traffic import START
from stack.rules.baselines import FEATURES, OPERATIONS
from stack.rules.calls import Level
from stack.rules.cost import SPENT
from stack.rules.quality import SCORES

_SEVERITY: Final = "gate"


def _usual(level: Level) -> str:
    measured = f"{level.name}:genai_measure"
    return f'{measured}:z or {measured}:times_usual{{measure="errors"}}'  # of errors there is no deviation


_OPEN: Final = {
    "usual, by operation": _usual(OPERATIONS),
    "usual, by feature": _usual(FEATURES),
    "drift, by feature": f"{FEATURES.name}:genai_drift:z",
    "drift, by score": f"{SCORES.name}:genai_drift:z",
    "cost of a day": f"{SPENT}:usual_day",
}
"""What exists exactly where there is enough history for the alerts that compare with it."""


def write(folder: Path) -> Path:
    """A file of rules which fire as long as a baseline can tell, for each of its measures; nobody is told of them."""
    rules = [
        {
            "alert": "BaselineOpen",
            "expr": f"group by (measure) ({expr})",
            "labels": {"severity": _SEVERITY, "baseline": name},
        }
        for name, expr in _OPEN.items()
    ]
    file = folder / "gates.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "gates", "interval": "5m", "rules": rules}]}), encoding="utf-8")
    return file


def show(firings: Sequence[Firing], days: float, console: Console) -> None:
    """Print since when each baseline could tell, and for which share of the time after that."""
    end = START + timedelta(days=days)
    open_: dict[tuple[str, str], list[Firing]] = {}
    for each in firings:
        if each.severity == _SEVERITY:
            open_.setdefault((each.labels["baseline"], each.labels.get("measure", "")), []).append(each)
    table = Table("baseline", "measure", "open from day", "of the time since", title="What had been learned")
    for (baseline, measure), times in sorted(open_.items()):
        since = min(each.begun for each in times)
        share = sum((_ended(each, end) - each.begun for each in times), timedelta()) / (end - since)
        table.add_row(baseline, measure, f"{(since - START) / timedelta(days=1):.1f}", f"{share:.0%}")
    console.print(table if open_ else "No baseline had learned enough to tell: that takes some days.")


def _ended(firing: Firing, end: datetime) -> datetime:
    return firing.ended or end
