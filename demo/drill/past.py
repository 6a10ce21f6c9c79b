"""What Prometheus remembers of the hours before a drill: some alerts compare with them."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from stack.native import StackError

_BEGAN: Final = timedelta(hours=9)
_ENDED: Final = timedelta(minutes=30)
"""Ago; the windows of the drill itself begin with it."""
_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Past:
    """A series that had one value all the time, for a drill's service in its environment."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)

    def samples(self, service: str, now: datetime) -> Iterator[str]:
        """As OpenMetrics."""
        labels = {"job": service, "deployment_environment_name": service, **self.labels}
        named = ",".join(f'{name}="{value}"' for name, value in labels.items())
        yield f"# TYPE {self.name} gauge"
        for number in range(int((_BEGAN - _ENDED) / _EVERY)):
            yield f"{self.name}{{{named}}} {self.value} {(now - _BEGAN + number * _EVERY).timestamp():.0f}"


def remember(pasts: Iterable[tuple[str, Past]], *, promtool: Path, data: Path) -> None:
    """Write what was, by service, into the data of a Prometheus that does not run.

    Raises:
        StackError: promtool is missing or refuses it.
    """
    now = datetime.now(UTC)
    lines = [line for service, past in pasts for line in past.samples(service, now)]
    if not lines:
        return
    data.mkdir(parents=True, exist_ok=True)
    written = data / "past.txt"
    written.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    command: list[str | Path] = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", written, data]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise StackError(f"{promtool} cannot be run ({error.strerror}): build it with `make up`.") from error
    if done.returncode:
        raise StackError(f"promtool refuses the past of a drill: {done.stderr.strip()}")
    written.unlink()
