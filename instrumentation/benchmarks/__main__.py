"""What instrumentation adds to a model call, beside other packages that do so: ``make bench``.

Each variant runs in a process of its own, with the packages of its own environment, and they take turns, round by
round, so that a machine that gets slower or faster meanwhile does so for all of them. The provider is an in-memory
transport that answers at once; exporters drop what they get. Latency is what the caller waits for, CPU time is that of
the whole process, background threads included.
"""

import argparse
import sys

from instrumentation.benchmarks import table
from instrumentation.benchmarks.comparison import Comparison
from instrumentation.benchmarks.variants import BY_NAME, chosen
from stack.interrupts import interrupt_on_termination
from stack.settings import Settings, SettingsError


def main() -> int:
    """Measure and print tables; the exit code is 1 where a variant could not be measured."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measures what instrumentation adds to a call.")
    parser.add_argument("--variants", default="", metavar="A,B", help=f"some of: {', '.join(BY_NAME)}")
    parser.add_argument("--rounds", type=int, default=12, help="turns that each variant takes (default: 12)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one turn in seconds (default: 0.5)")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or not 0.1 <= arguments.seconds <= 60:
        parser.error("--rounds must be at least 1, and --seconds between 0.1 and 60")
    try:
        variants = chosen([name.strip() for name in arguments.variants.split(",") if name.strip()])
        folder = Settings.load().state / "environments"
    except (ValueError, SettingsError) as error:
        parser.error(str(error))
    interrupt_on_termination()
    try:
        comparison = Comparison(variants, folder)
        comparison.run(arguments.rounds, arguments.seconds)
    except KeyboardInterrupt:
        return 130
    table.show(comparison.results(), arguments.rounds, arguments.seconds)
    table.show_failures(comparison.failures)
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
