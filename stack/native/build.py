"""Builds the servers from the Go modules that their `distribution/` folders pin."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stack.files import write_whole
from stack.native import download, toolchain
from stack.native.process import StackError, last_lines, log_excerpt
from stack.settings import Settings

_LINKER = "-s -w"  # no symbol tables: a third smaller, and nobody debugs these binaries

_STRIDE = 0.2
"""Seconds that `_stride()` takes on the machine on which the work of the builds was measured."""
_WARM = 0.1
"""Share of the work that is left where all modules have been compiled before: mostly the linking."""
_MOST_PROCESSORS = 8

_CACHE_BYTES_EACH = 800_000_000
_BINARY_BYTES_EACH = 120_000_000


@dataclass(frozen=True, kw_only=True)
class Build:
    """How one server is built.

    The builds run one after the other: what two of them share, Go compiles once then, and side by side it would twice.
    It does so where both have the same versions of it, which is why the go.mod files agree on them where they can.
    """

    name: str
    module: str
    """The module whose version in go.mod is the version of the server."""
    programs: tuple[str, ...]
    own: tuple[str, ...] = ()
    """Programs of ours among them, made of the same modules: folders beside go.mod."""
    folder: str = ""
    """Where `distribution/` is; by default in the folder of the name."""
    overlay: str = ""
    """The package to build where packages of `distribution/overlay/` take the place of those of the module."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Lines that are left out with an overlay: a file of the module, and what stands in one line of it alone."""
    version_variable: str = ""
    """What the linker sets so that `--version` tells the version."""
    tags: str = "netgo"
    work: float
    """Seconds of a processor that it takes when nothing has been built before, on the machine of `_STRIDE`."""
    optional: bool = False
    """Whether the servers run without it."""


BUILDS = (
    Build(
        name="prometheus",
        module="github.com/prometheus/prometheus",
        programs=("prometheus", "promtool"),
        version_variable="github.com/prometheus/common/version.Version",
        tags="netgo,remove_all_sd",  # of the service discoveries only files are used; the others are most of the code
        work=250,
    ),
    Build(
        name="alertmanager",
        module="github.com/prometheus/alertmanager",
        programs=("alertmanager", "amtool"),
        version_variable="github.com/prometheus/common/version.Version",
        work=25,
    ),
    Build(
        name="collector",
        module="go.opentelemetry.io/collector/otelcol",
        programs=("otelcol",),
        own=("otelcol",),
        version_variable="main.version",
        work=105,
    ),
    Build(
        name="jaeger",
        module="github.com/jaegertracing/jaeger",
        programs=("jaeger",),
        overlay="./cmd/jaeger",
        # It adds the route to what Jaeger records of queries; the version that all servers share has it no more.
        left_out=tuple(
            (f"cmd/query/app/{file}", text)
            for file in ("http_handler.go", "apiv3/http_gateway.go")
            for text in ('/net/http/otelhttp"\n', "otelhttp.WithRouteTag(")
        ),
        version_variable="github.com/jaegertracing/jaeger/internal/version.latestVersion",
        work=30,
    ),
    Build(
        name="victorialogs",
        module="github.com/VictoriaMetrics/VictoriaLogs",
        programs=("victoria-logs",),
        version_variable="github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version",
        work=14,
    ),
    Build(
        name="tools",
        module="github.com/prometheus/prometheus",
        programs=("replay", "fill"),
        own=("replay", "fill"),
        folder="prometheus",
        tags="netgo,remove_all_sd",
        work=5,
        optional=True,  # `make bench` and `make month` use them
    ),
)


def build(settings: Settings, *, console: Console, builds: Sequence[Build] = BUILDS, optional: bool = False) -> None:
    """Builds the servers that are missing or whose sources have changed, and shows how far it is.

    Args:
        settings: where everything is.
        console: is told of the progress.
        builds: what to build.
        optional: also what only benchmarks and replays use.

    Raises:
        StackError: too little disk space, a registry that cannot be reached, or a build that failed.
    """
    wanted = [each for each in builds if optional or not each.optional]
    if all(_is_current(settings, each) for each in wanted):
        return
    with _alone(settings, console):
        due = [each for each in wanted if not _is_current(settings, each)]
        if settings.download_servers:
            due = [each for each in due if not _downloaded(settings, each, console)]
        if due:
            _build(settings, due, console=console, of=len(wanted))


def _downloaded(settings: Settings, each: Build, console: Console) -> bool:
    """Whether the server is there now as its project releases it; where not, it says that it is built."""
    if each.name not in download.RELEASES:
        return False
    began = time.monotonic()
    console.print(f"{each.name}: loading version {_version(settings, each)}")
    try:
        with _draft(settings, each) as draft:
            download.download(each.name, _version(settings, each), draft)
            _put_in_place(settings, each, draft, _release(settings, each))
    except download.DownloadError as error:
        console.print(f"{each.name}: it cannot be loaded, and is built instead: {error}")
        return False
    console.print(f"{each.name}: loaded in {_clock(time.monotonic() - began)}")
    return True


@contextlib.contextmanager
def _draft(settings: Settings, each: Build) -> Iterator[Path]:
    """A folder for the programs until all are there."""
    draft = settings.binaries / f".{each.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put_in_place(settings: Settings, each: Build, draft: Path, stamp: str) -> None:
    for program in each.programs:
        (draft / program).replace(settings.binaries / program)
    write_whole(_stamp(settings, each), stamp)


def _build(settings: Settings, due: Sequence[Build], *, console: Console, of: int) -> None:
    go = toolchain.go(settings.state, minimum=max(_go_version(settings, each) for each in due), report=console.print)
    new = _require_space(settings, go, due)
    console.print(f"Building {len(due)} of {of} servers")
    began = time.monotonic()
    _Run(settings=settings, go=go, due=due, console=console, new=new).all()
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
    new: Collection[Build] = ()
    """Those that nothing has been built for yet on this machine."""
    stopping: bool = False
    children: set[subprocess.Popen[bytes]] = field(default_factory=set)
    began: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> None:
        """Runs one build after the other, while a second lane loads the modules of the later ones."""
        forecast = Forecast(self.due, new=self.new)
        if self.new:
            self.console.print(
                f"The first time this takes about {forecast.left()} on this machine, and 4 GB of disk in Go's caches"
            )
        with ThreadPoolExecutor(2) as pool:
            pool.submit(self.load)
            try:
                for each in self.due:
                    self.began[each.name] = time.monotonic()
                    self.watch(pool.submit(self.one, each), each)
                    forecast.add(each, time.monotonic() - self.began[each.name])
                    left = f"; about {forecast.left()} to go" if self.new and each != self.due[-1] else ""
                    self.console.print(f"{self.place(each)} {each.name}: built in {self.elapsed(each)}{left}")
            except BaseException:
                self.stop()
                raise

    def watch(self, building: Future[None], each: Build) -> None:
        """Shows the build until it has ended; raises what it raises."""
        heartbeat = time.monotonic() + 30
        with self.display() as live:
            while not building.done():
                wait([building], timeout=0.5)
                if live:
                    live.update(Text(f"{self.place(each)} {each.name}  {self.elapsed(each)}  {self.at(each)}"))
                elif time.monotonic() > heartbeat:
                    heartbeat += 30
                    self.console.print(f"  still building: {each.name} {self.elapsed(each)}")
        building.result()

    def load(self) -> None:
        """Loads modules before their turn, so that the compiler does not wait for them; a failure is the build's."""
        for each in self.due[1:]:
            with contextlib.suppress(StackError):
                packages = ["tool"] if not each.overlay and not each.own else [f"./{name}" for name in each.own]
                if packages:
                    command = [self.go, "list", "-deps", "-tags", each.tags, *packages]
                    self.execute(each, command, folder=_distribution(self.settings, each), log=Path(os.devnull))

    def one(self, each: Build) -> None:
        """Builds one server; its programs appear in the folder of binaries only when all is done."""
        if not self.console.is_terminal:
            self.console.print(f"{self.place(each)} {each.name}: building")
        log = _log(self.settings, each)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        with _draft(self.settings, each) as draft:
            folder, packages = _distribution(self.settings, each), ["tool"]
            if each.overlay:
                folder, packages = self.overlaid(each), [each.overlay]
            elif each.own:
                packages = [f"./{name}" for name in each.own]
            variable = f" -X {each.version_variable}={_version(self.settings, each)}" if each.version_variable else ""
            flags = ["-v", "-trimpath", "-buildvcs=false", "-tags", each.tags, "-ldflags", _LINKER + variable]
            self.execute(each, [self.go, "install", *flags, *packages], folder=folder, log=log, target=draft)
            _put_in_place(self.settings, each, draft, _fingerprint(self.settings, each))

    def overlaid(self, each: Build) -> Path:
        """A copy of the server's module in which packages of `overlay/` have replaced those in the same place."""
        distribution = _distribution(self.settings, each)
        answer = self.settings.state / "build" / f"{each.name}.json"
        answer.parent.mkdir(parents=True, exist_ok=True)
        answer.write_bytes(b"")
        (version,) = _match(self.settings, each, rf"{re.escape(each.module)} (v\S+)")
        command = [self.go, "mod", "download", "-json", f"{each.module}@{version}"]
        self.execute(each, command, folder=distribution, log=answer)
        copy = self.settings.state / "build" / each.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(
            json.loads(answer.read_text(encoding="utf-8"))["Dir"],
            copy,
            copy_function=shutil.copyfile,  # the originals are read-only
            ignore=shutil.ignore_patterns("*_test.go", "testdata"),
        )
        for folder in copy.rglob("*/"):
            folder.chmod(0o755)
        overlay = distribution / "overlay"
        for folder in sorted({path.parent for path in overlay.rglob("*.go")}):
            place = copy / folder.relative_to(overlay)
            for old in place.glob("*.go"):
                old.unlink()
            for new in folder.glob("*.go"):
                shutil.copyfile(new, place / new.name)
        for name, text in each.left_out:
            lines = (copy / name).read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if text not in line]
            if len(kept) != len(lines) - 1:
                raise StackError(f"{name} of {each.module} {version} has not one line with {text!r}: see {__file__}.")
            (copy / name).write_text("".join(kept), encoding="utf-8")
        requirements = (distribution / "go.mod").read_text(encoding="utf-8")
        requirements = re.sub(r"(?m)^module .*", f"module {each.module}", requirements)
        requirements = re.sub(rf"(?m)^(require |\t){re.escape(each.module)} .*\n|^tool .*\n", "", requirements)
        (copy / "go.mod").write_text(requirements, encoding="utf-8")
        shutil.copyfile(distribution / "go.sum", copy / "go.sum")
        return copy

    def execute(
        self, each: Build, command: Sequence[str], *, folder: Path, log: Path, target: Path | None = None
    ) -> None:
        """Runs a step in a process group of its own, so that its compilers end with it."""
        with log.open("ab") as output:
            with self.lock:
                if self.stopping:
                    raise StackError("Interrupted.")
                child = subprocess.Popen(  # noqa: S603
                    command,
                    cwd=folder,
                    env={**toolchain.environment(), "GOBIN": str(target or "")},
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
    return settings.root / (each.folder or each.name) / "distribution"


def _log(settings: Settings, each: Build) -> Path:
    return settings.state / "logs" / f"build-{each.name}.log"


def _stamp(settings: Settings, each: Build) -> Path:
    return settings.binaries / f".{each.name}.stamp"


def _is_current(settings: Settings, each: Build) -> bool:
    stamp = _stamp(settings, each)
    if not (stamp.exists() and all((settings.binaries / program).exists() for program in each.programs)):
        return False
    current = {_fingerprint(settings, each)} | ({_release(settings, each)} if settings.download_servers else set())
    return stamp.read_text(encoding="utf-8") in current


def _release(settings: Settings, each: Build) -> str:
    """The stamp of a server as its project releases it."""
    return f"release {_version(settings, each)}"


def _fingerprint(settings: Settings, each: Build) -> str:
    digest = hashlib.sha256(repr((each, _LINKER)).encode())
    for path in sorted(path for path in _distribution(settings, each).rglob("*") if path.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _version(settings: Settings, each: Build) -> str:
    """The version of the server that go.mod requires; Prometheus 3.15.0 calls its module v0.315.0."""
    major, minor, patch = _numbers(settings, each, rf"{re.escape(each.module)} v(\d+)\.(\d+)\.(\d+)")
    if each.module == "github.com/prometheus/prometheus":
        major, minor = divmod(minor, 100)
    return f"{major}.{minor}.{patch}"


def _go_version(settings: Settings, each: Build) -> tuple[int, ...]:
    return _numbers(settings, each, r"(?m)^go (\d+)\.(\d+)(?:\.(\d+))?$")


def _numbers(settings: Settings, each: Build, pattern: str) -> tuple[int, ...]:
    return tuple(int(part or 0) for part in _match(settings, each, pattern))


def _match(settings: Settings, each: Build, pattern: str) -> tuple[str, ...]:
    path = _distribution(settings, each) / "go.mod"
    found = re.search(pattern, path.read_text(encoding="utf-8"))
    if not found:
        raise StackError(f"{path} has no line like {pattern!r}.")
    return found.groups()


def _require_space(settings: Settings, go: str, due: Sequence[Build]) -> list[Build]:
    """Checks the space on the disk; returns the builds whose modules have not been loaded before."""
    result = subprocess.run(  # noqa: S603
        [go, "env", "GOCACHE", "GOMODCACHE"], env=toolchain.environment(), capture_output=True, text=True, check=False
    )
    caches = [Path(line) for line in result.stdout.split("\n") if line]
    # What a build needs is in the caches already if its module has been loaded before.
    modules = caches[-1] / "cache" / "download" if caches else Path()
    names = {
        each: re.sub("[A-Z]", lambda letter: f"!{letter[0].lower()}", each.module) for each in due
    }  # as Go escapes
    new = [each for each in due if not (modules / names[each] / "@v").is_dir()]
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
    return new


def _stride() -> float:
    """Seconds that a fixed piece of work takes here and now: how fast the machine is, and how busy."""
    began = time.perf_counter()
    hashlib.pbkdf2_hmac("sha256", b"stride", b"salt", 200_000)
    return time.perf_counter() - began


class Forecast:
    """How long the builds will take: by the speed of the machine at first, then by the builds that have ended."""

    def __init__(self, due: Sequence[Build], *, new: Collection[Build], stride: float | None = None) -> None:
        """``stride`` is the time of a fixed piece of work, measured if not given."""
        self._work = {each.name: each.work if each in new else each.work * _WARM for each in due}
        self._left = dict(self._work)
        # Go keeps some eight processors busy; a build has stretches where it keeps one.
        self._factor = (stride or _stride()) / _STRIDE / min(os.cpu_count() or 1, _MOST_PROCESSORS)

    def add(self, each: Build, seconds: float) -> None:
        """One has ended after so long: the others are expected to keep its pace."""
        del self._left[each.name]
        done = self._work[each.name]
        share = done / sum(self._work.values())
        self._factor = (1 - share) * self._factor + share * seconds / done if done else self._factor

    def left(self) -> str:
        """For example `7 minutes`."""
        minutes = max(round(sum(self._left.values()) * self._factor / 60), 1)
        return f"{minutes} minute{'s' if minutes > 1 else ''}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
