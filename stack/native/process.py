"""Starts, watches and ends processes that outlive the program that started them.

A started process is remembered in `run/<name>.json` together with a random mark that it carries in its environment.
Only a process with that pid and that mark is ever ended: a pid that the system has given to another program is safe.
Unlike the start time, the mark does not move when the clock is set.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from stack.files import write_whole
from stack.interrupts import interrupts_deferred
from stack.native.ports import is_free

_MARK = "GENAI_STACK_PROCESS"
_LOG_LIMIT_BYTES = 10_000_000
"""A log larger than this is set aside as `<name>.log.1` at the next start, so that logs take 20 MB a server or so."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Processes started by this very program: kept so that they are reaped when they end."""


class StackError(Exception):
    """Something the user can act on; the message says what is wrong and what to do."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to run in the background."""

    name: str
    """Names its log, its record and its place in messages."""
    command: tuple[str, ...]
    health_url: str = ""
    """Answers 200 once the program is ready."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """The ports that it listens on, by the variable that changes them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables set in addition to the environment of the caller."""
    without: tuple[str, ...] = ()
    """Beginnings of names of variables that it must not inherit."""
    health_command: tuple[str, ...] = ()
    """Ends with 0 once the program is ready; for a program that does not speak HTTP, in place of ``health_url``."""
    user: str | None = None
    """Another user than the caller to run it as."""
    stop_signal: int = signal.SIGTERM
    """Asks it to end."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """What is remembered of a started process."""

    name: str
    pid: int
    mark: str
    started: float
    """Seconds since the epoch."""
    log: str
    log_offset: int
    """Size of the log when the process started: what follows was written by it."""
    fingerprint: str
    """Whatever the starter compares to know whether a restart is needed."""
    configuration: str = ""
    """Likewise of what it reads again by a signal."""
    restarts: int = 0
    """How often it was started again after it had ended by itself."""
    stop_signal: int = signal.SIGTERM


def start(
    program: Program, *, state: Path, fingerprint: str = "", configuration: str = "", restarts: int = 0
) -> Running:
    """Starts the program in a session of its own, writing to `logs/<name>.log`, and remembers it.

    Raises:
        StackError: the program cannot be executed.
    """
    log = state / "logs" / f"{program.name}.log"
    record = _record(state, program.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    record.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    offset = log.stat().st_size if log.exists() else 0
    mark = secrets.token_hex(8)
    with interrupts_deferred(), log.open("ab") as output:
        try:
            child = subprocess.Popen(  # noqa: S603 -- commands are built here, never by a shell
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**_inherited(program.without), **program.environment, _MARK: mark},
                start_new_session=True,
                user=program.user,
                group=pwd.getpwnam(program.user).pw_gid if program.user else None,
                extra_groups=[] if program.user else None,
                cwd="/" if program.user else None,  # the caller's folder may be closed to that user
            )
        except OSError as error:
            raise StackError(f"{program.name} cannot be started: {error}.") from error
        _children[child.pid] = child
        running = Running(
            name=program.name,
            pid=child.pid,
            mark=mark,
            started=time.time(),
            log=str(log),
            log_offset=offset,
            fingerprint=fingerprint,
            configuration=configuration,
            restarts=restarts,
            stop_signal=program.stop_signal,
        )
        remember(running, state=state)
    return running


def reload(running: Running) -> None:
    """Has the process read its configuration again, by SIGHUP."""
    os.kill(running.pid, signal.SIGHUP)


def remember(running: Running, *, state: Path) -> None:
    """Writes down what is known of a process, for the next command."""
    write_whole(_record(state, running.name), json.dumps(asdict(running)))


def find(name: str, *, state: Path) -> Running | None:
    """The process of that name if it was started here and is still alive."""
    running = _recorded(_record(state, name))
    return running if running and _process(running) else None


def find_all(*, state: Path) -> list[Running]:
    """Every process started here that is still alive."""
    return [running for running in _remembered(state) if _process(running)]


def find_ended(*, state: Path) -> list[Running]:
    """Every process started here that has ended by itself: what is asked to end is forgotten."""
    return [running for running in _remembered(state) if not _process(running)]


def is_alive(running: Running) -> bool:
    """Whether that very process still runs."""
    return _process(running) is not None


def memory_bytes(running: Running) -> int:
    """Memory of the process and its children; 0 when it has ended.

    A page that several of them share counts once in all (Linux's proportional set size). Where the system does not
    tell that, it counts once in each.
    """
    process = _process(running)
    return sum(map(_memory_bytes, (process, *_children_of(process)))) if process else 0


def stop(running: Running, *, state: Path, grace: float = 20.0) -> None:
    """Asks the process to end, kills it when it has not within `grace` seconds, and forgets it.

    Children that are left when it has ended are killed too, also where it had ended by itself before.

    Raises:
        StackError: the process survives even that.
    """
    process = _process(running)
    children = _left_by(running)
    if process:
        children += _children_of(process)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(running.stop_signal)
        if not _ends(process, within=grace):
            children += _children_of(process)
            _kill(process)
            if not _ends(process, within=10.0):
                raise StackError(f"{running.name} (pid {running.pid}) does not end, not even when killed.")
    for child in children:
        _kill(child)
    _record(state, running.name).unlink(missing_ok=True)


def wait_until_ready(
    started: Mapping[str, Running],
    programs: Collection[Program],
    *,
    timeout: float = 60.0,
    on_ready: Callable[[Program], None] = lambda _: None,
) -> None:
    """Waits until each program answers at its health address; `started` holds their processes by name.

    Raises:
        StackError: one ended or is not ready in `timeout` seconds; the message ends with the last lines of its log.
    """
    waiting = list(programs)
    deadline = time.monotonic() + timeout
    while waiting:
        for program in list(waiting):
            running = started[program.name]
            if is_ready(program):
                waiting.remove(program)
                on_ready(program)
            elif not is_alive(running):
                code = _children[running.pid].poll() if running.pid in _children else None
                how = f"ended while starting (exit code {code})" if code is not None else "ended while starting"
                raise StackError(f"{program.name} {how}.\n{log_excerpt(Path(running.log), since=running.log_offset)}")
            elif time.monotonic() > deadline:
                raise StackError(
                    f"{program.name} is not ready after {timeout:.0f} seconds"
                    f" ({program.health_url or ' '.join(program.health_command)}).\n"
                    f"{log_excerpt(Path(running.log), since=running.log_offset)}"
                )
        if waiting:
            time.sleep(0.05)


def is_ready(program: Program) -> bool:
    """Whether the program answers as one that is ready."""
    if not program.health_command:
        return is_healthy(program.health_url)
    environment = _inherited(program.without)
    asked = subprocess.run(program.health_command, env=environment, capture_output=True, check=False)  # noqa: S603
    return asked.returncode == 0


def is_healthy(url: str, *, timeout: float = 1.0) -> bool:
    """Whether the address answers 200."""
    return get(url, timeout=timeout) is not None


def get(url: str, *, timeout: float = 1.0) -> str | None:
    """The answer of an address where that is 200. Proxy settings are not used: every address is on this machine."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=timeout)
    try:
        connection.request("GET", address.path or "/")
        with connection.getresponse() as response:
            return response.read().decode(errors="replace") if response.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def require_free_ports(programs: Iterable[Program]) -> None:
    """Checks that nothing else listens on the programs' ports.

    Raises:
        StackError: names every port in use, its owner and the variable that changes it.
    """
    taken = [
        (program, variable, port)
        for program in programs
        for variable, port in program.ports.items()
        if not is_free(port)
    ]
    if not taken:
        return
    owners = {port: _listener(port) for _, _, port in taken}
    lines = [
        f"Port {port} of {program.name} ({variable}) is in use by {_described(owners[port])}."
        for program, variable, port in taken
    ]
    stacks = {_folder_of_stack(owner) for owner in owners.values() if owner} - {None}
    lines += [f"Another stack runs in {folder}: `make down` there ends it." for folder in sorted(map(str, stacks))]
    raise StackError(
        "\n".join([*lines, "End what uses the port, or set the variable in brackets to another one, also in .env."])
    )


def log_excerpt(log: Path, *, lines: int = 15, since: int = 0) -> str:
    """The last lines of a log, indented, followed by its path; nothing from before the byte `since`."""
    tail = "".join(f"    {line}\n" for line in last_lines(log, lines, since=since))
    return (tail or "    (nothing was written)\n") + f"Whole log: {log}"


def last_lines(path: Path, count: int, *, since: int = 0) -> list[str]:
    """The last lines of a text file, read from its end; none when there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(since, path.stat().st_size - 400 * count))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def _inherited(without: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(without or ("\0",))}


def _record(state: Path, name: str) -> Path:
    return state / "run" / f"{name}.json"


def _remembered(state: Path) -> list[Running]:
    for child in _children.values():
        child.poll()  # what another command has ended is reaped
    found = map(_recorded, sorted((state / "run").glob("*.json")))
    return [running for running in found if running]


def _recorded(record: Path) -> Running | None:
    try:
        return Running(**json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _process(running: Running) -> psutil.Process | None:
    child = _children.get(running.pid)
    try:
        if child:  # ours: its environment cannot be read for a moment after it was started, and need not be
            return psutil.Process(running.pid) if child.poll() is None else None
        process = psutil.Process(running.pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.environ().get(_MARK) != running.mark:
            return None
    except (psutil.Error, OSError):
        return None
    return process


def _children_of(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _left_by(running: Running) -> list[psutil.Process]:
    """The processes that it has started, by the mark that they inherit: whoever loses a parent keeps the mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != running.pid and process.environ().get(_MARK) == running.mark:
                found.append(process)
    return found


def _memory_bytes(process: psutil.Process) -> int:
    try:
        with contextlib.suppress(psutil.AccessDenied, AttributeError):
            return int(process.memory_full_info().pss)
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # also where another process has its number by now
        process.kill()


def _ends(process: psutil.Process, *, within: float) -> bool:
    deadline = time.monotonic() + within
    while _exists(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    if child := _children.pop(process.pid, None):
        child.wait()
    return True


def _exists(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _listener(port: int) -> psutil.Process | None:
    """The process that listens on a port, if it can be told."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:  # macOS shows only root the connections of other processes
        connections = []
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            with contextlib.suppress(psutil.Error):
                return psutil.Process(connection.pid)
    return None


def _described(owner: psutil.Process | None) -> str:
    if owner:
        with contextlib.suppress(psutil.Error):
            return f"{owner.name()} (pid {owner.pid})"
    return "a process of another user"


def _folder_of_stack(owner: psutil.Process) -> str | None:
    """Where a server of another stack like this one was started."""
    try:
        return owner.cwd() if _MARK in owner.environ() else None
    except (psutil.Error, OSError):
        return None
