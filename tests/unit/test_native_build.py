"""Building: only what is due, whole or not at all, and a clear sentence when it cannot be done."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from rich.console import Console

from stack.native import StackError
from stack.native.build import _STRIDE, BUILDS, Build, Forecast, _version, build
from stack.settings import Settings
from tests.small_build import SMALL, repository


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return repository(tmp_path, monkeypatch)


def _build(settings: Settings, *builds: Build) -> str:
    console = Console(file=StringIO(), width=200)
    build(settings, console=console, builds=builds or (SMALL,))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _said(settings: Settings) -> str:
    return subprocess.run([settings.binaries / "hello"], check=True, capture_output=True, text=True).stderr


def test_a_build_is_announced_with_its_number_and_time_and_tells_its_version(settings: Settings) -> None:
    output = _build(settings)
    assert "[1/1] small: building\n" in output
    assert "[1/1] small: built in 0:0" in output
    assert _said(settings) == "hello 1.2.3\n"
    assert sorted(path.name for path in settings.binaries.iterdir()) == [".small.stamp", "hello"]


def test_what_is_built_already_is_not_built_again_until_its_sources_change(settings: Settings) -> None:
    _build(settings)
    assert _build(settings) == ""
    go_mod = settings.root / "small" / "distribution" / "go.mod"
    go_mod.write_text(go_mod.read_text().replace("v1.2.3", "v1.2.4"))
    assert "[1/1] small: built" in _build(settings)
    assert _said(settings) == "hello 1.2.4\n"


def test_a_missing_program_is_built_again(settings: Settings) -> None:
    _build(settings)
    (settings.binaries / "hello").unlink()
    assert "[1/1] small: built" in _build(settings)


def test_a_failed_build_shows_the_last_lines_and_the_log_and_keeps_the_former_program(settings: Settings) -> None:
    _build(settings)
    source = settings.root / "small" / "distribution" / "hello" / "main.go"
    source.write_text(source.read_text() + "\nfunc broken() { undefinedFunction() }\n")
    with pytest.raises(StackError) as error:
        _build(settings)
    assert str(error.value).startswith("small cannot be built.\n")
    assert "hello/main.go:7:17: undefined: undefinedFunction" in str(error.value)
    assert str(error.value).endswith(f"Whole log: {settings.state}/logs/build-small.log")
    assert _said(settings) == "hello 1.2.3\n"
    assert not list(settings.binaries.glob("*.draft"))


def test_an_unreachable_registry_is_said_in_one_sentence(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:9")
    alertmanager = next(each for each in BUILDS if each.name == "alertmanager")
    repository = replace(Settings.load(), state=settings.state, binaries=settings.binaries)
    with pytest.raises(StackError, match=r"^The Go module registry cannot be reached, so alertmanager cannot be built"):
        _build(repository, alertmanager)


def test_too_little_disk_space_is_said_with_what_is_needed_and_what_is_free(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000_000))
    with pytest.raises(StackError, match=r"^Too little disk space .* about \d\.\d GB at /.* and 0\.1 GB are free\."):
        _build(settings)
    assert not settings.binaries.exists()


def test_an_interrupted_build_leaves_neither_compilers_nor_half_a_program(settings: Settings, tmp_path: Path) -> None:
    # A `go` that takes for ever and has a child, as a compiler does; the real one is too quick to be interrupted.
    fake = tmp_path / "fake" / "go"
    fake.parent.mkdir()
    real = shutil.which("go")
    fake.write_text(f'#!/bin/sh\ncase $1 in env) exec {real} "$@";; esac\nsleep 987 & wait\n')
    fake.chmod(0o755)
    code = (
        "from stack.native import __main__ as cli, build; from stack.settings import Settings\n"
        "import pathlib, sys\n"
        f"small = build.Build(name='small', module='example.com/small', programs=('hello',), work=1)\n"
        f"settings = Settings.load(root=pathlib.Path({str(tmp_path)!r}))\n"
        "try: build.build(settings, console=cli._console, builds=(small,))\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    environment = {**os.environ, **settings.variables(), "PATH": f"{fake.parent}:{os.environ['PATH']}"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as command:
        deadline = time.monotonic() + 20
        while not any(each.name() == "sleep" for each in psutil.Process(command.pid).children(recursive=True)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        compilers = psutil.Process(command.pid).children(recursive=True)
        command.send_signal(2)
        command.communicate(timeout=20)
    assert command.returncode == 130
    _, alive = psutil.wait_procs(compilers, timeout=5)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    assert list(settings.binaries.iterdir()) == []


def test_a_second_build_into_the_same_folder_waits_for_the_first(settings: Settings) -> None:
    settings.state.mkdir()
    outputs: list[str] = []
    second = threading.Thread(target=lambda: outputs.append(_build(settings)))
    with settings.binaries.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second.start()
        second.join(0.5)
        assert not settings.binaries.exists()
    second.join(60)
    assert outputs[0].startswith("Another command is building the servers: waiting for it\nBuilding 1 of 1")


def test_builds_run_one_after_the_other_with_the_time_that_is_left(settings: Settings) -> None:
    other = settings.root / "other"
    shutil.copytree(settings.root / "small", other)
    started = threading.active_count()
    output = _build(settings, SMALL, replace(SMALL, name="other", work=3000))
    said = re.sub(r"\d+(?= minutes)", "N", re.sub(r"in \d:\d\d", "in 0:00", output))
    assert said == (
        "Building 2 of 2 servers\n"
        "The first time this takes about N minutes on this machine, and 4 GB of disk in Go's caches\n"
        "[1/2] small: building\n"
        "[1/2] small: built in 0:00; about N minutes to go\n"
        "[2/2] other: building\n"
        "[2/2] other: built in 0:00\n"
        "Built in 0:00\n"
    )
    assert threading.active_count() == started


def test_the_expected_time_follows_the_machine_then_the_builds_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    builds = [replace(SMALL, name=name, work=work) for name, work in (("first", 600), ("second", 600))]
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert Forecast(builds, new=builds, stride=_STRIDE).left() == "10 minutes"
    assert Forecast(builds, new=builds, stride=2 * _STRIDE).left() == "20 minutes"
    assert Forecast(builds, new=builds[:1], stride=_STRIDE).left() == "6 minutes"
    forecast = Forecast(builds, new=builds, stride=_STRIDE)
    forecast.add(builds[0], 900)
    assert forecast.left() == "10 minutes"


def test_packages_of_an_overlay_take_the_place_of_those_of_the_module(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = _proxy(tmp_path / "proxy", "example.com/!big/server", "v1.4.0", {
        "main.go": 'package main\n\nimport "example.com/Big/server/store"\n\nvar version = "none"\n\nfunc main() {\n'
        "\tprintln(version, store.Kind)\n\tprintln(gone)\n}\n",
        "store/store.go": 'package store\n\nconst Kind = "all of them"\n',
        "store/other.go": "package store\n\nconst More = Kind\n",
    })  # fmt: skip
    for name, value in {"GOPROXY": proxy, "GONOSUMDB": "*", "GOMODCACHE": str(tmp_path / "modules")}.items():
        monkeypatch.setenv(name, value)
    distribution = settings.root / "big" / "distribution"
    (distribution / "overlay" / "store").mkdir(parents=True)
    (distribution / "overlay" / "store" / "own.go").write_text('package store\n\nconst Kind = "one"\n')
    (distribution / "go.mod").write_text("module x\n\ngo 1.24\n\nrequire example.com/Big/server v1.4.0\n")
    (distribution / "go.sum").write_text("")
    big = Build(
        name="big",
        module="example.com/Big/server",
        programs=("server",),
        overlay=".",
        left_out=(("main.go", "println(gone)"),),
        version_variable="main.version",
        work=1,
    )
    _build(settings, big)
    said = subprocess.run([settings.binaries / "server"], check=True, capture_output=True, text=True).stderr
    assert said == "1.4.0 one\n"
    with pytest.raises(
        StackError, match=r"main\.go of example\.com/Big/server v1\.4\.0 has not one line with 'absent'"
    ):
        _build(settings, replace(big, left_out=(("main.go", "absent"),)))
    subprocess.run([shutil.which("go") or "go", "clean", "-modcache"], check=True)  # its folders cannot be deleted else


def _proxy(folder: Path, module: str, version: str, files: dict[str, str]) -> str:
    """The address of a module proxy that has one module."""
    place = folder / module / "@v"
    place.mkdir(parents=True)
    name = re.sub("!(.)", lambda letter: letter[1].upper(), module)
    (place / f"{version}.info").write_text(json.dumps({"Version": version}))
    (place / f"{version}.mod").write_text(f"module {name}\n\ngo 1.24\n")
    with zipfile.ZipFile(place / f"{version}.zip", "w") as archive:
        for file, text in {"go.mod": f"module {name}\n\ngo 1.24\n", **files}.items():
            archive.writestr(f"{name}@{version}/{file}", text)
    return folder.as_uri()


OWN_VERSIONS = (
    "github.com/hashicorp/golang-lru",  # Alertmanager needs an API that later ones have no more
    "github.com/open-telemetry/opentelemetry-collector-contrib",  # versions of the Collector, of which Jaeger and
    "go.opentelemetry.io/collector",  # Prometheus have other ones
    "go.opentelemetry.io/contrib",  # what goes with these
    "go.opentelemetry.io/otel/",
    "github.com/prometheus/alertmanager",  # Prometheus has its client
)


def test_what_servers_share_has_one_version_so_that_it_is_compiled_once() -> None:
    versions: dict[str, set[str]] = {}
    count: Counter[str] = Counter()
    for name in ("prometheus", "alertmanager", "collector", "jaeger"):
        text = (Settings.load().root / name / "distribution" / "go.mod").read_text()
        for module, version in re.findall(r"^(?:require |\t)(\S+\.\S+) (v\S+)", text, re.MULTILINE):
            versions.setdefault(module, set()).add(version)
            count[module] += 1
    shared = [module for module, times in count.items() if times > 1]
    assert sum(len(versions[module]) == 1 for module in shared) > 100
    assert [module for module in shared if len(versions[module]) > 1 and not module.startswith(OWN_VERSIONS)] == []


def test_every_server_is_built_at_the_version_that_its_go_mod_requires() -> None:
    versions = {each.name: _version(Settings.load(), each) for each in BUILDS}
    assert versions["prometheus"] == "3.15.0"
    for name in ("prometheus", "alertmanager"):
        shown = subprocess.run(
            [Settings.load().binaries / name, "--version"], check=True, capture_output=True, text=True
        )
        assert f"version {versions[name]} " in shown.stdout
    shown = subprocess.run(
        [Settings.load().binaries / "otelcol", "--version"], check=True, capture_output=True, text=True
    )
    assert versions["collector"] in shown.stdout
    shown = subprocess.run([Settings.load().binaries / "jaeger", "version"], check=True, capture_output=True, text=True)
    assert versions["jaeger"] in shown.stdout
    shown = subprocess.run(
        [Settings.load().binaries / "victoria-logs", "-version"], check=True, capture_output=True, text=True
    )
    assert versions["victorialogs"] in shown.stdout
