"""Loads servers as their projects release them, in place of building them: `SERVERS=download`."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from stack.native.process import StackError

HOST = "https://github.com"
"""Where all of them are released."""
_PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}
_TIMEOUT = httpx.Timeout(30.0)  # of a silence, not of the whole


class DownloadError(StackError):
    """A release cannot be had; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """How a project names its archives; `{version}`, `{system}` and `{processor}` are filled in."""

    folder: str
    archive: str
    checksums: str
    """The file of SHA-256 sums in the same release."""
    programs: Mapping[str, str]
    """What the programs are called here, by their names in the archive."""


def _of_prometheus(name: str, *programs: str) -> Release:
    folder = f"{name}-{{version}}.{{system}}-{{processor}}"
    return Release(  # https://prometheus.io/download/
        folder=f"prometheus/{name}/releases/download/v{{version}}",
        archive=f"{folder}.tar.gz",
        checksums="sha256sums.txt",
        programs={f"{folder}/{program}": program for program in programs},
    )


RELEASES: Mapping[str, Release] = {
    "prometheus": _of_prometheus("prometheus", "prometheus", "promtool"),
    "alertmanager": _of_prometheus("alertmanager", "alertmanager", "amtool"),
    # https://opentelemetry.io/docs/collector/install/binary/linux/, and for the sums distributions/otelcol-contrib/
    # .goreleaser.yaml of https://github.com/open-telemetry/opentelemetry-collector-releases
    "collector": Release(
        folder="open-telemetry/opentelemetry-collector-releases/releases/download/v{version}",
        archive="otelcol-contrib_{version}_{system}_{processor}.tar.gz",
        checksums="opentelemetry-collector-releases_otelcol-contrib_checksums.txt",
        programs={"otelcol-contrib": "otelcol"},
    ),
    # https://www.jaegertracing.io/download/, and scripts/build/package-deploy.sh of its repository. The release of
    # Jaeger 1.76.0 has the archive of 2.13.0, which is what is built here, too.
    "jaeger": Release(
        folder="jaegertracing/jaeger/releases/download/v{version}",
        archive="jaeger-{second}-{system}-{processor}.tar.gz",
        checksums="jaeger-{second}.sha256sum.txt",
        programs={"jaeger-{second}-{system}-{processor}/jaeger": "jaeger"},
    ),
    # https://docs.victoriametrics.com/victorialogs/quickstart/, and for the sums the Makefile of its repository
    "victorialogs": Release(
        folder="VictoriaMetrics/VictoriaLogs/releases/download/v{version}",
        archive="victoria-logs-{system}-{processor}-v{version}.tar.gz",
        checksums="victoria-logs-{system}-{processor}-v{version}_checksums.txt",
        programs={"victoria-logs-prod": "victoria-logs"},
    ),
}


def cache() -> Path:
    """Where archives are kept for all clones of this user."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "genai-observability" / "servers"


def download(name: str, version: str, target: Path) -> None:
    """Puts the programs of a server into the folder, from the cache or else from the release.

    Raises:
        DownloadError: there is no such release for this system, it cannot be loaded whole, or it is not what its
            checksum says.
    """
    release, names = RELEASES[name], _names(version)
    archive = cache() / release.archive.format(**names)
    address = f"{HOST}/{release.folder.format(**names)}"
    wanted = _checksum(address, release.checksums.format(**names), archive)
    if not archive.exists() or _sha256(archive) != wanted:
        _load(f"{address}/{archive.name}", archive, wanted)
    with tarfile.open(archive) as packed:
        for member, program in release.programs.items():
            try:
                content = packed.extractfile(member.format(**names))
            except KeyError:
                raise DownloadError(f"{archive.name} has no {member.format(**names)}") from None
            assert content  # noqa: S101 - a file has one
            (target / program).write_bytes(content.read())
            (target / program).chmod(0o755)


def _names(version: str) -> dict[str, str]:
    major, minor, patch = version.split(".")
    system, processor = platform.system().lower(), platform.machine().lower()
    return {
        "version": version,
        "second": f"{int(major) + 1}.{int(minor) - 63}.{patch}",  # of Jaeger: 1.76.0 is 2.13.0
        "system": system,
        "processor": _PROCESSORS.get(processor, processor),
    }


def _checksum(address: str, name: str, archive: Path) -> str:
    """The archive's sum by the release's file, which is kept beside it."""
    kept = archive.with_name(f"{archive.name}.sums")
    if not kept.exists():
        try:
            answer = httpx.get(f"{address}/{name}", follow_redirects=True, timeout=_TIMEOUT).raise_for_status()
        except httpx.HTTPError as error:
            raise DownloadError(_why(error)) from error
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(answer.text, encoding="utf-8")
    found = re.search(rf"(?m)^([0-9a-f]{{64}}) [ *]{re.escape(archive.name)}$", kept.read_text(encoding="utf-8"))
    if not found:
        kept.unlink()
        raise DownloadError(f"{name} has no line for {archive.name}")
    return found[1]


def _load(address: str, archive: Path, wanted: str) -> None:
    draft = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        with (
            draft.open("wb") as file,
            httpx.stream("GET", address, follow_redirects=True, timeout=_TIMEOUT) as answer,
        ):
            for part in answer.raise_for_status().iter_raw():
                file.write(part)
        if _sha256(draft) != wanted:
            archive.with_name(f"{archive.name}.sums").unlink(missing_ok=True)  # perhaps it was the sum that is wrong
            raise DownloadError(f"{archive.name} is not what the checksum of its release says")
        draft.replace(archive)
    except httpx.HTTPError as error:
        raise DownloadError(_why(error)) from error
    finally:
        draft.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _why(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.request.url} answers {error.response.status_code}"
    return f"{error.request.url}: {str(error) or type(error).__name__}"
