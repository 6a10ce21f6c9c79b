"""What is pinned: every module of a go.mod, every Python package with a version, every package of an npm lock file."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GO: Final = "Go modules"
PYTHON: Final = "Python packages"
NPM: Final = "npm packages"

_REQUIRED: Final = re.compile(r"^(?:require\s+|\t)([^\s/]+\.[^\s]+) (v\S+)", re.MULTILINE)
_PINNED: Final = re.compile(r"^([A-Za-z0-9][\w.-]*)==([0-9][\w.+!]*)", re.MULTILINE)
_PINNED_IN_CODE: Final = re.compile(r"[\"']([A-Za-z0-9][\w.-]*)==([0-9][\w.+!]*)[\"']")


@dataclass(frozen=True, order=True, slots=True)
class Pin:
    """One version of one module or package."""

    kind: str
    """`GO`, `PYTHON` or `NPM`."""
    name: str
    version: str


def pins(root: Path) -> set[Pin]:
    """All that the files of the repository pin."""
    return {pin for path in _files(root) for pin in _of(path)}


def npm_licences(root: Path) -> dict[Pin, str]:
    """What npm's lock files say; empty where they say nothing."""
    return {pin: licence for path in _files(root) if path.name == "package-lock.json" for pin, licence in _locked(path)}


def go_folders(root: Path) -> dict[Pin, Path]:
    """The modules of Go, each with the folder of a go.mod that has it, and so its checksum."""
    return {pin: path.parent for path in _files(root) if path.name == "go.mod" for pin in _of(path)}


def normalized(name: str) -> str:
    """The name of a Python package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _of(path: Path) -> Iterator[Pin]:
    text = path.read_text(encoding="utf-8")
    if path.name == "go.mod":
        if re.search(r"^replace\b", text, re.MULTILINE):
            raise ValueError(f"{path} replaces a module: its licence would be that of another one.")
        yield from (Pin(GO, *found) for found in _REQUIRED.findall(text))
    elif path.name == "package-lock.json":
        yield from (pin for pin, _ in _locked(path))
    else:
        pinned = _PINNED if path.suffix == ".txt" else _PINNED_IN_CODE
        yield from (Pin(PYTHON, normalized(name), version) for name, version in pinned.findall(text))


def _locked(path: Path) -> Iterator[tuple[Pin, str]]:
    for place, package in json.loads(path.read_text(encoding="utf-8"))["packages"].items():
        if place:  # the empty one is the project itself
            yield Pin(NPM, place.rpartition("node_modules/")[2], package["version"]), package.get("license", "")


def _files(root: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "node_modules")
        for name in sorted(names):
            path = Path(folder, name)
            if name in ("go.mod", "package-lock.json") or path.suffix in (".txt", ".py"):
                yield path
