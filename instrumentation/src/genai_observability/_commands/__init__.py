"""The command ``genai-observability``."""

import argparse
from typing import Final

from genai_observability._export.exporters import is_address

_INTERRUPTED: Final = 130  # as a shell answers
_STORES: Final = {
    "prometheus": ("http://localhost:9090",),
    "logs": ("http://localhost:9428", "http://localhost:3100"),  # VictoriaLogs, Loki
    "warehouse": ("http://localhost:8094",),
    "traces": ("http://localhost:16686", "http://localhost:3200"),  # Jaeger, Tempo
}


def main() -> int:
    """Do what the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="genai-observability", description="Records the model calls of applications over OpenTelemetry."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    running = commands.add_parser("run", help="run a program, unchanged, with its model calls recorded")
    running.add_argument("program", nargs=argparse.REMAINDER, help="the program and its arguments: python app.py")
    examining = commands.add_parser(
        "doctor", help="say what would be recorded, what is missing, and whether the Collector answers"
    )
    examining.add_argument("--check", action="store_true", help="send one test call through to the stores")
    places = examining.add_argument_group("where --check looks for the call, and for how long")
    for store, addresses in _STORES.items():
        places.add_argument(f"--{store}", metavar="URL", type=_address, help=f"default: {' or '.join(addresses)}")
    places.add_argument("--within", metavar="SECONDS", type=float, default=30.0, help="default: 30")
    arguments = parser.parse_args()
    # The modules of both commands are imported when they are needed: programs that `run` has started load this package.
    if arguments.command == "doctor":
        from genai_observability._commands.doctor import doctor

        given = {store: getattr(arguments, store) for store in _STORES if getattr(arguments, store)}
        if given and not arguments.check:
            examining.error("the addresses of stores are for --check")
        try:
            return doctor(_STORES | given if arguments.check else None, within=arguments.within)
        except KeyboardInterrupt:
            return _INTERRUPTED
    from genai_observability._commands.run import run

    program = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    if not program:
        running.error("name a program to run, such as: genai-observability run python app.py")
    return run(program)


def _address(text: str) -> tuple[str]:
    if not is_address(text):
        raise argparse.ArgumentTypeError(f"{text} is no address such as http://localhost:9090")
    return (text.rstrip("/"),)
