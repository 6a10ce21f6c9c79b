"""Copies each server's configuration to where it runs, fills in the addresses, and lets the server check it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from stack.files import write_whole
from stack.native.process import StackError
from stack.native.servers import Server, metrics_addresses
from stack.settings import Settings

_NOT_READ_BY_SERVERS = {"distribution", "rule_tests"}

_INBOX_OF_COMPOSE = "http://inbox:8093"
"""The inbox as alertmanager.yml addresses it. Alertmanager expands no variables: the copy gets the native address."""
_SECRETS_OF_COMPOSE = "/run/secrets/"
"""The folder of the secrets as alertmanager.yml names it; likewise."""


def prepare(settings: Settings, server: Server) -> str:
    """Writes and checks `config/<server>/`; returns its contents, to tell whether they have changed.

    Raises:
        StackError: a file is broken; names the file in the repository and the line.
    """
    source, target = settings.root / server.name, settings.state / "config" / server.name
    files = _rendered(settings, server.name, source)
    for path, text in files.items():
        _check_syntax(source / path, text)
        if not (target / path).exists() or (target / path).read_text(encoding="utf-8") != text:
            write_whole(target / path, text)
    for path in list(_files(target)):
        if path not in files:
            (target / path).unlink()
    if server.check:
        _check(server, source=source, target=target)
    return repr(sorted(files.items()))


def _rendered(settings: Settings, name: str, source: Path) -> dict[Path, str]:
    files = {path: (source / path).read_text(encoding="utf-8") for path in _files(source)}
    if name == "prometheus":
        groups = [{"targets": [where], "labels": {"job": job}} for job, where in metrics_addresses(settings).items()]
        alertmanagers = [{"targets": [f"127.0.0.1:{settings.alertmanager_port}"]}]
        files[Path("targets/servers.yml")] = yaml.safe_dump(groups)
        files[Path("targets/alertmanagers.yml")] = yaml.safe_dump(alertmanagers)
    if name == "alertmanager":
        main = Path("alertmanager.yml")
        if _INBOX_OF_COMPOSE not in files[main]:
            raise StackError(
                f"{source / main} has no receiver at {_INBOX_OF_COMPOSE}, so that no alert would reach the inbox: "
                "keep that address, it is replaced by the one of this machine."
            )
        text = files[main].replace(_INBOX_OF_COMPOSE, settings.inbox_url)
        files[main] = text.replace(_SECRETS_OF_COMPOSE, f"{settings.secrets}/")
    return files


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] not in _NOT_READ_BY_SERVERS and not path.name.startswith("."):
            yield relative


def _check_syntax(file: Path, text: str) -> None:
    if file.suffix not in {".yml", ".yaml"}:
        return
    try:
        yaml.compose(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise StackError(f"{file}, line {line}: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise StackError(f"{file} is no YAML: {error}.") from error


def _check(server: Server, *, source: Path, target: Path) -> None:
    result = subprocess.run(  # noqa: S603 -- the servers' own checks
        server.check,
        env={**os.environ, **server.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        return
    # The original is what the user has to edit, so that is what the message names.
    output = f"{result.stdout}\n{result.stderr}".replace(str(target), str(source))
    lines = [line.rstrip() for line in output.splitlines() if line.strip() and "application version" not in line]
    message = "\n".join(f"    {line}" for line in dict.fromkeys(lines))
    file = source / server.configuration
    raise StackError(f"{server.name} refuses its configuration, {file}{_line(message, file)}.\n{message}")


def _line(message: str, file: Path) -> str:
    """Where to look: nothing if the message gives a line, else the first line with the rarest word that it quotes."""
    if re.search(r"line \d+|\.ya?ml: \d+:\d+", message):
        return ""
    lines = file.read_text(encoding="utf-8").splitlines()
    quoted = re.findall(r"[\"'`]([\w./-]+)[\"'`]", message) + re.findall(r"invalid keys: ([\w./-]+)", message)
    found = []
    for word in quoted:
        pattern = re.compile(rf"(?<![\w./-]){re.escape(word)}(?![\w./-])")
        found.append([number for number, line in enumerate(lines, start=1) if pattern.search(line)])
    rarest = min(filter(None, found), key=len, default=None)
    return f", near line {rarest[0]}" if rarest else ""
