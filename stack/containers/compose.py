"""Runs the stack by Docker Compose, from compose.yaml, with the commands that the native run has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

_OLDEST: Final = (2, 20)
"""Of Docker Compose: earlier ones take a service that has done its work and ended for one that has failed."""


class ComposeError(Exception):
    """Something the user can act on; the message says what is wrong and what to do."""


def engine_answers() -> bool:
    """Whether a Docker engine answers to the `docker` command within five seconds."""
    return _why_not() is None


def up(root: Path) -> None:
    """Builds the image that is out of date, starts every service, and waits until all are healthy.

    What ran before is told to read its rules and routes anew: they may have been generated anew.

    Raises:
        ComposeError: there is no engine, Compose is too old, or a service does not become healthy.
    """
    _require_usable()
    _run(root, "up", "--build", "--detach", "--wait", "--wait-timeout", "300")
    _reload(root)


def status(root: Path) -> None:
    """Prints each container's state and ports; raises ComposeError."""
    _require_usable()
    _run(root, "--profile", "*", "ps", "--all")


def logs(root: Path, services: Sequence[str], *, follow: bool) -> None:
    """Prints the last lines of the services' logs, of all by default; raises ComposeError."""
    _require_usable()
    _run(root, "--profile", "*", "logs", "--tail", "20", *(["--follow"] if follow else []), *services)


def execute(root: Path, service: str, *command: str) -> NoReturn:
    """Runs a command in a service's container, in the place of this process: with its own keys, pager and exit code.

    Raises:
        ComposeError: there is no engine, Compose is too old, or the service does not run.
    """
    _require_usable()
    compose = ("docker", "compose", "--project-directory", str(root))
    if not _output(*compose, "ps", "--quiet", "--status", "running", service):
        raise ComposeError(f"The service {service} does not run: start the stack with `make up`.")
    terminal = [] if sys.stdin.isatty() and sys.stdout.isatty() else ["--no-TTY"]
    os.execvp("docker", [*compose, "exec", *terminal, service, *command])  # noqa: S606, S607 -- as all of them


def down(root: Path, *, volumes: bool) -> None:
    """Ends and removes the containers; `volumes` also deletes all data, without a way back; raises ComposeError."""
    _require_usable()
    _run(root, "--profile", "*", "down", *(["--volumes"] if volumes else []))


def _reload(root: Path) -> None:
    # Compose reports that it has "killed" whatever it sends a signal to: that is not shown.
    servers = ("prometheus", "alertmanager")
    if _output("docker", "compose", "--project-directory", str(root), "kill", "--signal", "SIGHUP", *servers) is None:
        raise ComposeError(
            "The stack is up, but Prometheus and Alertmanager could not be told to read their rules and routes anew: "
            "`docker compose restart prometheus alertmanager` makes them."
        )


def _require_usable() -> None:
    if reason := _why_not():
        raise ComposeError(f"{reason} Start or install it, or run the stack without containers: MODE=native.")
    text = _output("docker", "compose", "version", "--short")
    numbers = re.match(r"v?(\d+)\.(\d+)", text or "")
    wanted = ".".join(map(str, _OLDEST))
    if not text or not numbers:
        raise ComposeError(
            f"`docker compose` does not answer: install Docker Compose {wanted} or newer, or use MODE=native."
        )
    if (int(numbers[1]), int(numbers[2])) < _OLDEST:
        raise ComposeError(
            f"Docker Compose is {text.strip()}, and {wanted} or newer is needed: update it, or use MODE=native."
        )


def _why_not() -> str | None:
    if not shutil.which("docker"):
        return "There is no `docker` command here."
    if not _output("docker", "version", "--format", "{{.Server.Version}}"):
        return "No Docker engine answers to the `docker` command."
    return None


def _output(*command: str) -> str | None:
    """What a command prints; None where it fails or takes longer than five seconds."""
    try:
        result = subprocess.run(  # noqa: S603 -- fixed commands
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _run(root: Path, *arguments: str) -> None:
    command = ("docker", "compose", "--project-directory", str(root), *arguments)
    interrupted = False
    with subprocess.Popen(command) as child:  # noqa: S603 -- fixed commands
        while child.poll() is None:
            try:
                child.wait()
            except KeyboardInterrupt:  # Compose has got it, too, and ends by itself
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    if child.returncode:
        raise ComposeError(
            "Docker Compose has failed: what it says is above; `make logs MODE=compose` shows the servers' own words."
        )
