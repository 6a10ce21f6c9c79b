"""Starts and ends the servers of the stack."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import get_args

from stack.files import delete_folder, write_whole
from stack.interrupts import interrupts_deferred
from stack.native import postgres, process
from stack.native.configuration import prepare
from stack.native.lock import alone
from stack.native.process import Running, StackError
from stack.native.servers import Server, servers
from stack.secret_files import GRAFANA_PASSWORD, WAREHOUSE_PASSWORDS, make_password
from stack.settings import Logs, Settings
from stack.warehouse import OWNER, password

KEEPER = "keeper"
"""The process that brings back servers which have ended by themselves."""
_RELOAD_SECONDS = 20.0

Report = Callable[[str], None]
"""Is told, in a short sentence, what has just happened."""


def up(
    settings: Settings, *, only: Collection[str] | None = None, report: Report = lambda _: None, timeout: float = 60.0
) -> None:
    """Starts what is not running, restarts what was configured anew, and waits until every server is ready.

    Args:
        settings: ports and folders.
        only: names of servers; all by default.
        report: is told of every server that has become ready.
        timeout: seconds that a server may take.

    Raises:
        StackError: a port is in use, a configuration is broken, or a server does not become ready. Whatever this call
            had started has been ended again, also when it is interrupted.
    """
    selected = [server for server in servers(settings) if only is None or server.name in only]
    with locked(settings.state):
        began = time.monotonic()
        _require_built(selected)
        fingerprints = {server.name: _fingerprints(server, prepare(settings, server)) for server in selected}
        running = _unchanged(settings.state, fingerprints)
        to_start = [server for server in selected if server.name not in running]
        for server in reversed(to_start):
            if outdated := process.find(server.name, state=settings.state):
                report(f"{server.name}: it has changed, restarting")
                process.stop(outdated, state=settings.state)
        _end_other_log_store(settings, selected, report)
        process.require_free_ports(to_start)
        _make_folders(settings, to_start)
        try:
            for _, wave in groupby(selected, key=lambda server: server.wave):
                members = list(wave)
                for server in members:
                    running[server.name] = _run(settings, server, running.get(server.name), fingerprints, report)
                process.wait_until_ready(
                    running, members, timeout=timeout, on_ready=lambda ready: report(f"{ready.name} is ready")
                )
        except BaseException:
            with interrupts_deferred():
                for server in reversed(to_start):
                    if started := process.find(server.name, state=settings.state):
                        process.stop(started, state=settings.state)
            raise
        if to_start:
            seconds = round(time.monotonic() - began, 1)
            write_whole(_ready_file(settings.state), json.dumps({"seconds": seconds}))


def down(
    settings: Settings, *, besides: Collection[str] = (), volumes: bool = False, report: Report = lambda _: None
) -> None:
    """Ends every process started here but those of these names, the last one first.

    `volumes` also deletes all data, without a way back. An interruption waits until all have ended.

    Raises:
        StackError: a server does not end, or data cannot be deleted.
    """
    with locked(settings.state), interrupts_deferred():
        everything = process.find_all(state=settings.state)
        for running in sorted(everything, key=lambda each: (each.name == KEEPER, each.started), reverse=True):
            if running.name not in besides:
                process.stop(running, state=settings.state)
                report(f"{running.name} has ended")
        for ended in process.find_ended(state=settings.state):
            if ended.name not in besides:
                process.stop(ended, state=settings.state)  # its children may live
        if volumes:
            try:
                postgres.delete(settings.state)
                delete_folder(settings.state / "data")
            except OSError as error:
                raise StackError(f"Not all data in {settings.state / 'data'} could be deleted: {error}.") from error
            report(f"all data in {settings.state / 'data'} has been deleted")


def seconds_until_ready(state: Path) -> float | None:
    """How long the last `up` that started something took until everything was ready."""
    try:
        return float(json.loads(_ready_file(state).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


_Fingerprints = tuple[str, str]
"""Of what a server has to be restarted for, and of what it only has to read again."""


def _unchanged(state: Path, fingerprints: dict[str, _Fingerprints]) -> dict[str, Running]:
    found = {name: process.find(name, state=state) for name in fingerprints}
    return {name: each for name, each in found.items() if each and each.fingerprint == fingerprints[name][0]}


def _run(
    settings: Settings,
    server: Server,
    running: Running | None,
    fingerprints: dict[str, _Fingerprints],
    report: Report,
) -> Running:
    """The server running as it is configured now: started, told to read its configuration again, or left."""
    fingerprint, configuration = fingerprints[server.name]
    if running is None:
        return process.start(server, state=settings.state, fingerprint=fingerprint, configuration=configuration)
    if running.configuration == configuration:
        return running
    report(f"{server.name}: its configuration has changed, reloading")
    began, deadline = time.time(), time.monotonic() + _RELOAD_SECONDS
    process.reload(running)
    while _last_reload(server) < began:
        if time.monotonic() > deadline:
            excerpt = process.log_excerpt(Path(running.log), since=running.log_offset)
            raise StackError(f"{server.name} has not taken its new configuration.\n{excerpt}")
        time.sleep(0.05)
    reloaded = replace(running, configuration=configuration)
    process.remember(reloaded, state=settings.state)  # not before: one that is not taken is tried by the next `up`
    return reloaded


def _last_reload(server: Server) -> float:
    """When the server last took a configuration, by its own metrics, in seconds since the epoch; 0 if it is silent."""
    metrics = process.get(f"{server.url}/metrics", timeout=5.0) or ""
    found = re.search(r"^\w+_config_last_reload_success_timestamp_seconds (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _fingerprints(server: Server, configuration: str) -> _Fingerprints:
    """Differ when anything differs that a running server has read: its program, arguments, variables and files."""
    programs = server.sources or (Path(server.command[0]),)
    files = [file for program in programs for file in (program, *program.rglob("*"))]
    versions = [(str(path), path.stat().st_mtime_ns) for path in files if path.is_file() and path.suffix != ".pyc"]
    fixed = "" if server.reloads else configuration
    parts = (server.command, sorted(server.environment.items()), fixed, sorted(versions))
    again = configuration if server.reloads else ""
    return hashlib.sha256(repr(parts).encode()).hexdigest(), hashlib.sha256(again.encode()).hexdigest()


def _end_other_log_store(settings: Settings, selected: Sequence[Server], report: Report) -> None:
    """LOGS may have been another the last time; and before VictoriaLogs, it was Loki."""
    logs_are_selected = any(server.name == settings.logs for server in selected)
    for name in get_args(Logs) if logs_are_selected else ():
        if name != settings.logs and (found := process.find(name, state=settings.state)):
            report(f"{name}: {settings.logs} keeps the logs from now on, ending")
            process.stop(found, state=settings.state)


def _require_built(selected: Sequence[Server]) -> None:
    needed = {Path(program) for server in selected for program in (server.command[0], *server.check[:1])}
    if missing := sorted(program.name for program in needed if not program.exists()):
        raise StackError(f"Not built yet: {', '.join(missing)}. Run `make up`, which builds what is missing.")


def _make_folders(settings: Settings, selected: Sequence[Server]) -> None:
    for server in selected:
        if server.name != "postgres":  # makes its own, whole
            (settings.state / "data" / server.name).mkdir(parents=True, exist_ok=True)
        if server.name == "grafana":
            make_password(settings.secrets / GRAFANA_PASSWORD)
        if server.name in ("postgres", "usage"):
            for name in WAREHOUSE_PASSWORDS.values():
                make_password(settings.secrets / name)
        if server.name == "postgres":
            postgres.prepare(settings.state, password=password(settings, OWNER))


def _ready_file(state: Path) -> Path:
    return state / "run" / "ready.json"


def locked(state: Path) -> AbstractContextManager[None]:
    """Held by whoever starts or ends servers; raises StackError where another command holds it."""
    otherwise = "Another command is starting or stopping the stack: wait until it has ended."
    return alone(state / "run" / "lock", otherwise=otherwise)
