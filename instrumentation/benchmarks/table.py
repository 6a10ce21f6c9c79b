"""The tables of the comparison."""

import statistics
from collections.abc import Sequence
from typing import Final

from instrumentation.benchmarks.processes import Measured
from instrumentation.benchmarks.provider import CHUNKS
from instrumentation.benchmarks.variants import BY_NAME, CALLS, Variant

_TITLES: Final = {"plain": "A plain call", "streamed": f"A streamed call of {CHUNKS} chunks"}
_WIDTH: Final = 44

Results = dict[Variant, Measured]


def show(results: Results, rounds: int, seconds: float) -> None:
    """Print what was measured."""
    if not results:
        return
    print(f"Medians of {rounds} interleaved rounds of {seconds:g} s; 'added' is the median of the difference to the")
    print("same version of openai without instrumentation, within a round; '×' is that as a multiple of upstream's.")
    print("'caller' is the CPU time of the caller's own thread, 'CPU' that of the whole process.")
    for call in CALLS:
        _show_calls(_TITLES[call], call, results)
    _show_starts(results)
    _show_recorded(results)


def show_failures(failures: dict[Variant, str]) -> None:
    """Print what was not measured, and why."""
    if failures:
        print("\nNot measured")
    for variant, reason in failures.items():
        print(f"  {variant.title}: {reason}.")


def _show_calls(title: str, call: str, results: Results) -> None:
    streamed = call == "streamed"
    head = ["latency", "added", "×", "p99", "caller", "added", "a chunk" if streamed else "", "CPU", "added", "×"]
    _show_head(f"{title}, µs", head)
    for variant, measured in results.items():
        medians = {
            what: f"{statistics.median(turn[what] for turn in measured.turns[call]):,.0f}"
            for what in ("latency", "p99", "thread", "cpu")
        }
        latency, thread, chunk, cpu = ["", ""], ["", ""], "", ["", ""]
        if variant.setup != "none":
            latency, thread, cpu = (_compared(results, variant, call, what) for what in ("latency", "thread", "cpu"))
            more = _added(results, variant, call, "thread") - _added(results, variant, "plain", "thread")
            chunk = f"{more / CHUNKS:+.1f}" if streamed else ""
        row = [medians["latency"], *latency, medians["p99"], medians["thread"], thread[0], chunk, medians["cpu"], *cpu]
        _show_row(variant, row)


def _show_starts(results: Results) -> None:
    _show_head("Importing, CPU ms more than openai", ["import", "and start"])
    for variant, measured in results.items():
        base = results[BY_NAME[variant.baseline]].imports
        if variant.setup == "none":
            _show_row(variant, [f"{statistics.median(base) / 1000:,.0f}"])
        else:
            times = (measured.imports, measured.starts)
            _show_row(variant, [f"{_difference(mine, base) / 1000:+,.0f}" for mine in times])


def _show_recorded(results: Results) -> None:
    _show_head("What was recorded of a call", ["openai", "spans", "logs", "metrics", "content"])
    for variant, measured in results.items():
        found = measured.found
        columns = [found["openai"]]
        if variant.setup != "none":
            columns += [f"{found[kind] / found['calls']:g}" for kind in ("spans", "logs")]
            columns += [str(found["metrics"]), "yes" if found["content"] else "no"]
        _show_row(variant, columns)


def _show_head(title: str, columns: Sequence[str]) -> None:
    print(f"\n{title:<{_WIDTH}}" + "".join(f"{column:>10}" for column in columns))


def _show_row(variant: Variant, columns: Sequence[str]) -> None:
    print((f"  {variant.title:<{_WIDTH - 2}}" + "".join(f"{column:>10}" for column in columns)).rstrip())


def _added(results: Results, variant: Variant, call: str, what: str) -> float:
    base = results[BY_NAME[variant.baseline]].turns[call]
    return _difference([turn[what] for turn in results[variant].turns[call]], [turn[what] for turn in base])


def _compared(results: Results, variant: Variant, call: str, what: str) -> list[str]:
    added = _added(results, variant, call, what)
    upstream = BY_NAME["upstream"]
    return [f"{added:+,.0f}", f"{added / _added(results, upstream, call, what):.2f}" if upstream in results else ""]


def _difference(mine: Sequence[float], base: Sequence[float]) -> float:
    return statistics.median(one - other for one, other in zip(mine, base, strict=True))
