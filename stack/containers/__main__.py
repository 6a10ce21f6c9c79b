"""The stack with containers or without: `python -m stack.containers up|status|logs|sql|backfill|down`, MODE says which.

Without MODE: what runs already is what is meant; else containers where a Docker engine answers, else natively.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Literal

from stack.containers import compose
from stack.containers.compose import ComposeError
from stack.native import process
from stack.settings import Settings, SettingsError
from stack.warehouse import OWNER, READER, whereabouts


def main() -> int:
    """Carries out one command in the right mode; the exit code is that of the command, 1 after an error."""
    arguments = _parser().parse_args()
    try:
        settings = Settings.load()
        if chosen_mode(settings) == "native":
            # In the place of this process, so that Ctrl-C and exit codes are those of the native run.
            os.execv(sys.executable, [sys.executable, "-m", "stack.native", *sys.argv[1:]])  # noqa: S606
        _compose(settings, arguments)
    except (ComposeError, SettingsError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stack.containers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="build what is missing, start everything, wait until ready")
    commands.add_parser("status", help="what runs")
    logs = commands.add_parser("logs", help="the last lines of the logs; on a terminal, then what follows")
    logs.add_argument("servers", nargs="*", help="one or more servers; all by default")
    sql = commands.add_parser("sql", help="ask the warehouse, as a reader")
    sql.add_argument("--query", help="one query; psql otherwise")
    backfill = commands.add_parser("backfill", help="read a gap of the warehouse again from the log store")
    backfill.add_argument("window", nargs=2, metavar="TIME")
    down = commands.add_parser("down", help="stop everything")
    down.add_argument("--volumes", action="store_true", help="also delete all stored data")
    return parser


def chosen_mode(settings: Settings) -> Literal["native", "compose"]:
    """What MODE says, else what runs, else what can run.

    Raises:
        ComposeError: MODE is neither `native` nor `compose`.
    """
    mode = os.environ.get("MODE", "")
    if mode == "native":
        return "native"
    if mode == "compose":
        return "compose"
    if mode:
        raise ComposeError(f"MODE is {mode!r}: it must be native or compose, or left out.")
    if process.find_all(state=settings.state):
        return "native"
    return "compose" if compose.engine_answers() else "native"


def _compose(settings: Settings, arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "up":
            whereabouts(settings)  # an address that is none is named before anything starts
            compose.up(settings.root)
            sys.stdout.write(
                f"The stack is up. Applications send OTLP to {settings.otlp_http_url}\n"
                f"Grafana is {settings.grafana_url}, with the user admin; this prints the password:\n"
                "    docker compose exec grafana cat /etc/grafana-password/password\n"
            )
        case "status":
            compose.status(settings.root)
        case "logs":
            compose.logs(settings.root, arguments.servers, follow=sys.stdout.isatty())
        case "sql" if settings.usage_database_url:  # the usage service knows the address and the reader's password
            query = ["--query", arguments.query] if arguments.query else []
            compose.execute(settings.root, "usage", "python", "-m", "stack.native", "sql", *query)
        case "sql":
            query = ["--command", arguments.query] if arguments.query else []
            psql = ("psql", "--set=ON_ERROR_STOP=1", "--username", READER, "--dbname", OWNER)
            compose.execute(settings.root, "postgres", *psql, *query)
        case "backfill":
            compose.execute(settings.root, "usage", "python", "-m", "stack.usage.backfill", *arguments.window)
        case "down":
            compose.down(settings.root, volumes=arguments.volumes)


if __name__ == "__main__":
    sys.exit(main())
