"""How many instructions a call takes beyond the bare client, in the caller's thread and in all others.

``python -m instrumentation.benchmarks.instructions``, a part of ``make bench``, which needs valgrind. On a busy machine
instructions repeat, where times vary by half. Some calls are made, and then more: what the second time takes beyond the
first is what those were that are more.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from instrumentation.benchmarks.comparison import progress
from instrumentation.benchmarks.environments import InstallError, python_of
from instrumentation.benchmarks.processes import Worker, WorkerError
from instrumentation.benchmarks.provider import CHUNKS
from instrumentation.benchmarks.variants import BY_NAME, CALLS, Variant
from stack.interrupts import interrupt_on_termination
from stack.settings import Settings, SettingsError

VARIANTS: Final = ("none", "upstream", "floor", "ours", "ours-application")
_FEW: Final = {"plain": 20, "streamed": 2}
_MORE: Final = {"plain": 100, "streamed": 20}
_SLOWLY: Final = {
    "OTEL_METRIC_EXPORT_INTERVAL": "500000",  # milliseconds
    "OTEL_BSP_SCHEDULE_DELAY": "500000",
    "OTEL_BLRP_SCHEDULE_DELAY": "500000",
    "BENCHMARK_PAUSE": "20",  # seconds
}
"""Under valgrind calls take a hundred times as long, and what is done by the clock would be a hundred times as much."""
_MISSING: Final = "Instructions cannot be counted, as there is no valgrind; Debian has it in the package valgrind."
_MILLION: Final = 1e6


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions by thread."""

    caller: float
    others: float

    def beyond(self, other: "Counts", calls: int = 1) -> "Counts":
        """What is more here than there, of each of some calls."""
        return Counts((self.caller - other.caller) / calls, (self.others - other.others) / calls)


def main() -> int:
    """Count and print a table; the exit code is 1 where something could not be counted."""
    if shutil.which("valgrind") is None:
        sys.exit(_MISSING)
    interrupt_on_termination()
    found: dict[str, dict[str, Counts]] = {}
    try:
        folder = Settings.load().state / "environments"
        for name in VARIANTS:
            progress(f"counting instructions: {BY_NAME[name].title}")
            found[name] = _count(BY_NAME[name], folder)
    except KeyboardInterrupt:
        return 130
    except (InstallError, SettingsError, WorkerError) as error:
        sys.exit(f"{BY_NAME[name].title}: {error}.")
    finally:
        progress("")
    show(found)
    return 0


def _count(variant: Variant, folder: Path) -> dict[str, Counts]:
    """Instructions of a call of each kind."""
    python = python_of(variant.environment, folder)
    with tempfile.TemporaryDirectory() as counts:
        valgrind = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--instr-atstart=no"]
        worker = Worker(variant, python, under=[*valgrind, f"--callgrind-out-file={counts}/counts"], **_SLOWLY)
        try:
            worker.check()
            _tell(worker, "instrumentation", "on")
            for call in CALLS:
                for number in (_FEW[call], _FEW[call], _FEW[call] + _MORE[call]):  # the first time as a warm-up
                    worker.repeat(call, number)
                    _tell(worker, "dump")
        finally:
            worker.end()
        found = counted(Path(counts))
    return {call: found[last].beyond(found[last - 1], _MORE[call]) for call, last in zip(CALLS, (3, 6), strict=True)}


def _tell(worker: Worker, *order: str) -> None:
    """Tell the valgrind that a process runs under."""
    done = subprocess.run(["vgdb", f"--pid={worker.pid}", *order], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkerError(f"valgrind does not obey: {done.stderr.strip()}")


def counted(folder: Path) -> dict[int, Counts]:
    """What callgrind has written: by the number of the dump, a file for each thread. The first is the caller's."""
    threads: dict[int, dict[int, int]] = {}
    for path in folder.glob("counts.*-*"):
        dump, thread = map(int, path.suffix[1:].split("-"))
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("totals:"):
                threads.setdefault(dump, {})[thread] = int(line.split()[1])
    return {dump: Counts(found[1], sum(found.values()) - found[1]) for dump, found in threads.items()}


def show(found: Mapping[str, Mapping[str, Counts]]) -> None:
    """Print a table of what each variant adds."""
    print("\nInstructions of a call, millions: of the bare client, and what the others add to it; × is that of the")
    print(f"caller's thread as a multiple of upstream's. A streamed call has {CHUNKS} chunks.\n")
    _show_row("", ["plain", "×", "background", "streamed", "×", "background"])
    for name, calls in found.items():
        columns = []
        for call in CALLS:
            base, upstream = found["none"][call], found["upstream"][call]
            added = calls[call] if name == "none" else calls[call].beyond(base)
            share = "" if name == "none" else f"{added.caller / upstream.beyond(base).caller:.2f}"
            columns += [f"{added.caller / _MILLION:,.2f}", share, f"{added.others / _MILLION:,.2f}"]
        _show_row(BY_NAME[name].title, columns)


def _show_row(title: str, columns: Sequence[str]) -> None:
    print((f"  {title:<42}" + "".join(f"{column:>12}" for column in columns)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
