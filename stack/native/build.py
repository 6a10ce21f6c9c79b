"""Builds the servers from the Go modules that their `distribution/` folders pin."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stack.files import write_whole
from stack.native import toolchain
from stack.native.process import StackError, last_lines, log_excerpt
from stack.settings import Settings

_LINKER = "-s -w"  # no symbol tables: a third smaller, and nobody debugs these binaries
_LANES = 2
"""Builds at a time: one compiles while the other links or loads; more only take memory, up to 3 GB each."""

_CACHE_BYTES_EACH = 2_000_000_000
_BINARY_BYTES_EACH = 200_000_000


@dataclass(frozen=True, kw_only=True)
class Build:
    """How one server is built."""

    name: str
    module: str
    """The module whose version in go.mod is the version of the server."""
    programs: tuple[str, ...]
    own: tuple[str, ...] = ()
    """Programs of ours among them, made of the same modules: folders beside go.mod."""
    version_variable: str = ""
    """What the linker sets so that `--version` tells the version."""
    tags: str = "netgo"


# The longest first, so that the last to end are short: it is what two lanes need least time for.
BUILDS = (
    Build(
        name="prometheus",
        module="github.com/prometheus/prometheus",
        programs=("prometheus", "promtool", "replay", "fill"),
        own=("replay", "fill"),
        version_variable="github.com/prometheus/common/version.Version",
        tags="netgo,remove_all_sd",  # of the service discoveries only files are used; the others are most of the code
    ),
    Build(
        name="jaeger",
        module="github.com/jaegertracing/jaeger",
        programs=("jaeger",),
        version_variable="github.com/jaegertracing/jaeger/internal/version.latestVersion",
    ),
    Build(name="collector", module="go.opentelemetry.io/collector/otelcol", programs=("otelcol",)),
    Build(
        name="alertmanager",
        module="github.com/prometheus/alertmanager",
        programs=("alertmanager", "amtool"),
        version_variable="github.com/prometheus/common/version.Version",
    ),
    Build(
        name="victorialogs",
        module="github.com/VictoriaMetrics/VictoriaLogs",
        programs=("victoria-logs",),
        version_variable="github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version",
    ),
)


def build(settings: Settings, *, console: Console, builds: Sequence[Build] = BUILDS) -> None:
    """Builds the servers that are missing or whose sources have changed, and shows how far it is.

    Raises:
        StackError: too little disk space, a registry that cannot be reached, or a build that failed.
    """
    if all(_is_current(settings, each) for each in builds):
        return
    with _alone(settings, console):
        if due := [each for each in builds if not _is_current(settings, each)]:
            _build(settings, due, console=console, of=len(builds))


def _build(settings: Settings, due: Sequence[Build], *, console: Console, of: int) -> None:
    go = toolchain.go(settings.state, minimum=max(_go_version(settings, each) for each in due), report=console.print)
    _require_space(settings, go, due)
    console.print(f"Building {len(due)} of {of} servers")
    if len(due) > 1:
        console.print("The first time this takes about 10 minutes on two cores, and 10 GB of disk in Go's caches")
    began = time.monotonic()
    _Run(settings=settings, go=go, due=due, console=console).all()
    console.print(f"Built in {_clock(time.monotonic() - began)}")


@contextlib.contextmanager
def _alone(settings: Settings, console: Console) -> Iterator[None]:
    """Waits until no other command builds into the same folder."""
    settings.binaries.parent.mkdir(parents=True, exist_ok=True)
    with settings.binaries.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("Another command is building the servers: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(kw_only=True)
class _Run:
    """One call of `build`."""

    settings: Settings
    go: str
    due: Sequence[Build]
    console: Console
    stopping: bool = False
    children: set[subprocess.Popen[bytes]] = field(default_factory=set)
    began: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> None:
        """Runs the builds in lanes; whatever goes wrong ends them all."""
        with ThreadPoolExecutor(min(_LANES, os.cpu_count() or 1)) as pool:
            waiting: dict[Future[None], Build] = {pool.submit(self.one, each): each for each in self.due}
            try:
                self.watch(waiting)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.stop()
                raise

    def watch(self, waiting: dict[Future[None], Build]) -> None:
        """Shows the builds until the last one has ended; raises what the first failed one raises."""
        heartbeat = time.monotonic() + 30
        with self.display() as live:
            while waiting:
                done, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    each = waiting.pop(future)
                    future.result()
                    self.console.print(f"{self.place(each)} {each.name}: built in {self.elapsed(each)}")
                if live:
                    live.update(self.lines(waiting.values()))
                elif time.monotonic() > heartbeat:
                    heartbeat += 30
                    busy = (f"{each.name} {self.elapsed(each)}" for each in waiting.values() if each.name in self.began)
                    self.console.print(f"  still building: {', '.join(busy)}")

    def one(self, each: Build) -> None:
        """Builds one server; its programs appear in the folder of binaries only when all is done."""
        self.began[each.name] = time.monotonic()
        if not self.console.is_terminal:
            self.console.print(f"{self.place(each)} {each.name}: building")
        log = _log(self.settings, each)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        draft = self.settings.binaries / f".{each.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            steps = self.collector_steps(each, draft) if each.name == "collector" else self.tool_steps(each)
            for folder, command in steps:
                self.execute(each, command, folder=folder, log=log, target=draft)
            for program in each.programs:
                (draft / program).replace(self.settings.binaries / program)
            write_whole(_stamp(self.settings, each), _fingerprint(self.settings, each))
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def tool_steps(self, each: Build) -> Iterator[tuple[Path, list[str]]]:
        """The `tool` lines of go.mod name the programs that are not ours."""
        version = _version(self.settings, each)
        flags = ["-v", "-trimpath", "-tags", each.tags, "-ldflags", f"{_LINKER} -X {each.version_variable}={version}"]
        own = (f"./{name}" for name in each.own)
        yield _distribution(self.settings, each), [self.go, "install", *flags, "tool", *own]

    def collector_steps(self, each: Build, target: Path) -> Iterator[tuple[Path, list[str]]]:
        """The Collector's main program is generated from builder.yaml, then built with our go.mod."""
        distribution = _distribution(self.settings, each)
        sources = self.settings.state / "build" / "collector"
        shutil.rmtree(sources, ignore_errors=True)
        sources.mkdir(parents=True)
        manifest = yaml.safe_load((distribution / "builder.yaml").read_text(encoding="utf-8"))
        manifest["dist"]["output_path"] = str(sources)
        write_whole(sources / "builder.yaml", yaml.safe_dump(manifest))
        generate = ["--skip-get-modules", "--skip-compilation", f"--config={sources / 'builder.yaml'}"]
        yield distribution, [self.go, "tool", "builder", *generate]
        for name in ("go.mod", "go.sum"):
            shutil.copy(distribution / name, sources / name)
        flags = ["-v", "-trimpath", "-buildvcs=false", "-tags", each.tags, "-ldflags", _LINKER]
        yield sources, [self.go, "build", *flags, "-o", str(target / "otelcol"), "."]

    def execute(self, each: Build, command: Sequence[str], *, folder: Path, log: Path, target: Path) -> None:
        """Runs a step in a process group of its own, so that its compilers end with it."""
        with log.open("ab") as output:
            with self.lock:
                if self.stopping:
                    raise StackError("Interrupted.")
                child = subprocess.Popen(  # noqa: S603
                    command,
                    cwd=folder,
                    env={**toolchain.environment(), "GOBIN": str(target)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self.children.add(child)
            code = child.wait()
            self.children.discard(child)
        if code == 0 or self.stopping:
            return
        if toolchain.says_unreachable("\n".join(last_lines(log, 30))):
            raise StackError(
                f"The Go module registry cannot be reached, so {each.name} cannot be built: check the network and the "
                f"proxy settings (HTTPS_PROXY, GOPROXY).\n{log_excerpt(log, lines=3)}"
            )
        raise StackError(f"{each.name} cannot be built.\n{log_excerpt(log)}")

    def stop(self) -> None:
        """Ends every compiler that still runs."""
        with self.lock:
            self.stopping = True
            for child in tuple(self.children):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)

    @contextlib.contextmanager
    def display(self) -> Iterator[Live | None]:
        """A display that is redrawn in place, on a terminal; nothing elsewhere, where lines are printed instead."""
        if not self.console.is_terminal:
            yield None
            return
        with Live(console=self.console, refresh_per_second=4, transient=True) as live:
            yield live

    def lines(self, waiting: Iterable[Build]) -> Group:
        """What is being built now, for how long, and what the compiler is at."""
        busy = [each for each in waiting if each.name in self.began]
        return Group(*(Text(f"{self.place(each)} {each.name}  {self.elapsed(each)}  {self.at(each)}") for each in busy))

    def at(self, each: Build) -> str:
        """The last line of the build's log: the package being compiled."""
        return "".join(last_lines(_log(self.settings, each), 1))[:70]

    def place(self, each: Build) -> str:
        """For example `[2/5]`."""
        return f"[{self.due.index(each) + 1}/{len(self.due)}]"

    def elapsed(self, each: Build) -> str:
        """Since the build of this server began."""
        return _clock(time.monotonic() - self.began[each.name])


def _distribution(settings: Settings, each: Build) -> Path:
    return settings.root / each.name / "distribution"


def _log(settings: Settings, each: Build) -> Path:
    return settings.state / "logs" / f"build-{each.name}.log"


def _stamp(settings: Settings, each: Build) -> Path:
    return settings.binaries / f".{each.name}.stamp"


def _is_current(settings: Settings, each: Build) -> bool:
    stamp = _stamp(settings, each)
    built = all((settings.binaries / program).exists() for program in each.programs) and stamp.exists()
    return built and stamp.read_text(encoding="utf-8") == _fingerprint(settings, each)


def _fingerprint(settings: Settings, each: Build) -> str:
    digest = hashlib.sha256(repr((each, _LINKER)).encode())
    for path in sorted(path for path in _distribution(settings, each).rglob("*") if path.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _version(settings: Settings, each: Build) -> str:
    """The version of the server that go.mod requires; Prometheus 3.15.0 calls its module v0.315.0."""
    major, minor, patch = _match(settings, each, rf"{re.escape(each.module)} v(\d+)\.(\d+)\.(\d+)")
    if each.name == "prometheus":
        major, minor = divmod(minor, 100)
    return f"{major}.{minor}.{patch}"


def _go_version(settings: Settings, each: Build) -> tuple[int, ...]:
    return _match(settings, each, r"(?m)^go (\d+)\.(\d+)(?:\.(\d+))?$")


def _match(settings: Settings, each: Build, pattern: str) -> tuple[int, ...]:
    path = _distribution(settings, each) / "go.mod"
    found = re.search(pattern, path.read_text(encoding="utf-8"))
    if not found:
        raise StackError(f"{path} has no line like {pattern!r}.")
    return tuple(int(part or 0) for part in found.groups())


def _require_space(settings: Settings, go: str, due: Sequence[Build]) -> None:
    result = subprocess.run(  # noqa: S603
        [go, "env", "GOCACHE", "GOMODCACHE"], env=toolchain.environment(), capture_output=True, text=True, check=False
    )
    caches = [Path(line) for line in result.stdout.split("\n") if line]
    # What a build needs is in the caches already if its module has been loaded before.
    modules = caches[-1] / "cache" / "download" if caches else Path()
    new = [each for each in due if not (modules / each.module / "@v").is_dir()]
    half = len(new) * _CACHE_BYTES_EACH // 2
    needed = [(settings.binaries, len(due) * _BINARY_BYTES_EACH), *((cache, half) for cache in caches)]
    totals: dict[int, int] = {}
    for folder, size in needed:
        place = next(parent for parent in (folder, *folder.parents) if parent.exists())
        device = place.stat().st_dev
        totals[device] = totals.get(device, 0) + size
        free = shutil.disk_usage(place).free
        if free < totals[device]:
            raise StackError(
                f"Too little disk space for the build: it takes about {totals[device] / 1e9:.1f} GB at {place}, "
                f"and {free / 1e9:.1f} GB are free. Free some, or move the caches with GOCACHE and GOMODCACHE."
            )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
