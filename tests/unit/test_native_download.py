"""`SERVERS=download`: releases in the layout that the projects publish, from a local server in GitHub's place."""

import hashlib
import http.server
import io
import platform
import re
import subprocess
import tarfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from stack.native import download
from stack.native.build import BUILDS, Build, _version, build
from stack.settings import Settings, SettingsError
from tests.serving import serving
from tests.small_build import SMALL, repository

PROCESSOR = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
_COLLECTOR = "open-telemetry/opentelemetry-collector-releases"
LAYOUT = {
    "prometheus": (
        "/prometheus/prometheus/releases/download/v3.15.0/prometheus-3.15.0.linux-{}.tar.gz",
        "sha256sums.txt",
        ["prometheus-3.15.0.linux-{}/prometheus", "prometheus-3.15.0.linux-{}/promtool"],
    ),
    "alertmanager": (
        "/prometheus/alertmanager/releases/download/v0.31.1/alertmanager-0.31.1.linux-{}.tar.gz",
        "sha256sums.txt",
        ["alertmanager-0.31.1.linux-{}/alertmanager", "alertmanager-0.31.1.linux-{}/amtool"],
    ),
    "collector": (
        f"/{_COLLECTOR}/releases/download/v0.155.0/otelcol-contrib_0.155.0_linux_{{}}.tar.gz",
        "opentelemetry-collector-releases_otelcol-contrib_checksums.txt",
        ["otelcol-contrib"],
    ),
    "jaeger": (
        "/jaegertracing/jaeger/releases/download/v1.76.0/jaeger-2.13.0-linux-{}.tar.gz",
        "jaeger-2.13.0.sha256sum.txt",
        ["jaeger-2.13.0-linux-{}/jaeger"],
    ),
    "victorialogs": (
        "/VictoriaMetrics/VictoriaLogs/releases/download/v1.52.1/victoria-logs-linux-{}-v1.52.1.tar.gz",
        "victoria-logs-linux-{}-v1.52.1_checksums.txt",
        ["victoria-logs-prod"],
    ),
}


class Releases:
    """What the local server has: a body by path; it breaks off where a body is shorter than what it announces."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.short: set[str] = set()
        self.asked: list[str] = []

    def add(self, archive: str, sums: str, members: list[str], *, wrong: bool = False) -> str:
        """One release, whose programs are shell scripts that say their names."""
        archive, sums = archive.format(PROCESSOR), sums.format(PROCESSOR)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as file:
            for member in members:
                name = member.format(PROCESSOR)
                content = f"#!/bin/sh\necho {name}\n".encode()
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                file.addfile(entry, io.BytesIO(content))
        body = packed.getvalue()
        digest = hashlib.sha256(b"other" if wrong else body).hexdigest()
        self.files[archive] = body
        folder, _, name = archive.rpartition("/")
        # The three ways to write it: as text, as binary, and beside others.
        self.files[f"{folder}/{sums}"] = (
            f"{'0' * 64}  other.tar.gz\n{digest} {'*' if 'jaeger' in sums else ' '}{name}\n".encode()
        )
        return archive


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            body = found.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write((body or b"")[: 100 if self.path in found.short else None])

        def log_message(self, *arguments: object) -> None:
            del arguments

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        found = Releases(f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(download, "HOST", found.url)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield found


@pytest.mark.parametrize("name", [each.name for each in BUILDS if not each.optional])
def test_every_server_is_loaded_from_the_archive_that_its_project_names_so(
    name: str, releases: Releases, tmp_path: Path
) -> None:
    archive, sums, members = LAYOUT[name]
    releases.add(archive, sums, members)
    (each,) = (each for each in BUILDS if each.name == name)
    target = tmp_path / "target"
    target.mkdir()
    download.download(name, _version(Settings.load(), each), target)
    said = {
        program: subprocess.run([target / program], capture_output=True, text=True).stdout for program in each.programs
    }
    assert said == dict(zip(each.programs, (f"{member.format(PROCESSOR)}\n" for member in members), strict=True))


def test_a_second_clone_takes_the_archive_from_the_cache_of_the_user(releases: Releases, tmp_path: Path) -> None:
    releases.add(*LAYOUT["jaeger"])
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        download.download("jaeger", "1.76.0", tmp_path / name)
    assert len(releases.asked) == 2
    (kept,) = (tmp_path / "cache" / "genai-observability" / "servers").glob("*.tar.gz")
    kept.write_bytes(b"broken")
    download.download("jaeger", "1.76.0", tmp_path / "two")
    assert len(releases.asked) == 3


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return repository(tmp_path, monkeypatch)


@pytest.fixture
def release(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> Releases:
    """The small program of the tests of the build has a release, too."""
    kind = download.Release(
        folder="small/releases/v{version}", archive="small-{version}.tar.gz", checksums="sums", programs={"it": "hello"}
    )
    monkeypatch.setitem(download.RELEASES, "small", kind)
    return releases


ADDRESS = ("/small/releases/v1.2.3/small-1.2.3.tar.gz", "sums", ["it"])


def _build(settings: Settings, each: Build = SMALL, *, loading: bool = True) -> str:
    console = Console(file=StringIO(), width=300)
    variables = settings.variables() | {"SERVERS": "download" if loading else "build"}
    build(Settings.load(variables, root=settings.root), console=console, builds=(each,))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _said(settings: Settings) -> str:
    done = subprocess.run([settings.binaries / "hello"], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_loaded_server_is_kept_until_it_is_to_be_built(release: Releases, settings: Settings) -> None:
    release.add(*ADDRESS)
    assert "small: loading version 1.2.3\nsmall: loaded in 0:0" in _build(settings)
    assert _said(settings) == "it\n"
    assert _build(settings) == ""
    assert "[1/1] small: built" in _build(settings, loading=False)
    assert _said(settings) == "hello 1.2.3\n"
    assert _build(settings) == ""


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("absent", r"http://.*/sums answers 404"),
        ("archive absent", r"http://.*/small-1\.2\.3\.tar\.gz answers 404"),
        ("not listed", r"sums has no line for small-1\.2\.3\.tar\.gz"),
        ("wrong checksum", r"small-1\.2\.3\.tar\.gz is not what the checksum of its release says"),
        ("broken off", r"http://.*\.tar\.gz: peer closed connection"),
        ("no such program", r"small-1\.2\.3\.tar\.gz has no it"),
        ("unreachable", r"http://127\.0\.0\.1:9/.*/sums: .*refused"),
    ],
)
def test_what_cannot_be_loaded_is_built_and_that_is_said(
    fault: str,
    why: str,
    release: Releases,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, sums, members = ADDRESS
    archive = release.add(
        address, sums, ["that"] if fault == "no such program" else members, wrong=fault == "wrong checksum"
    )
    if fault == "absent":
        release.files.clear()
    elif fault == "archive absent":
        del release.files[archive]
    elif fault == "not listed":
        release.files["/small/releases/v1.2.3/sums"] = f"{'0' * 64}  other.tar.gz\n".encode()
    elif fault == "broken off":
        release.short.add(archive)
    elif fault == "unreachable":
        monkeypatch.setattr(download, "HOST", "http://127.0.0.1:9")
    output = _build(settings)
    assert any(
        re.match(rf"small: it cannot be loaded, and is built instead: {why}", line) for line in output.splitlines()
    ), output
    assert "[1/1] small: built in" in output
    assert _said(settings) == "hello 1.2.3\n"
    cached = {path.name for path in download.cache().glob("*")} if download.cache().exists() else set()
    assert not {name for name in cached if name.startswith(".")}


def test_another_value_of_the_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^SERVERS is 'buy': it must be build or download\.$"):
        Settings.load({"SERVERS": "buy"})
