"""The command ``genai-observability``."""

import argparse

from genai_observability._doctor import doctor
from genai_observability._run import run


def main() -> int:
    """Do what the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="genai-observability", description="Records the model calls of applications over OpenTelemetry."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    running = commands.add_parser("run", help="run a program, unchanged, with its model calls recorded")
    running.add_argument("program", nargs=argparse.REMAINDER, help="the program and its arguments: python app.py")
    commands.add_parser("doctor", help="say what would be recorded, what is missing, and whether the Collector answers")
    arguments = parser.parse_args()
    if arguments.command == "doctor":
        return doctor()
    program = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    if not program:
        running.error("name a program to run, such as: genai-observability run python app.py")
    return run(program)
