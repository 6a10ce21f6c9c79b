"""The lines of the doctor's report."""

import sys
from dataclasses import dataclass
from typing import Final

_WIDTH: Final = len("Collector, metrics")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: a subject, what was found, and whether it is as it should be."""

    subject: str
    found: str
    right: bool = True

    def show(self) -> None:
        """Print the line at once: the next one may take a while."""
        sys.stdout.write(f"{'ok   ' if self.right else 'WRONG'}  {self.subject:{_WIDTH}}  {self.found}\n")
        sys.stdout.flush()
