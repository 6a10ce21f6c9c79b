"""Reads the licences of what is pinned from the modules and packages themselves, with the tools that install them."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Final

from stack.licences.pins import GO, NPM, PYTHON, Pin, go_folders, normalized, npm_licences
from stack.native import toolchain

UNKNOWN: Final = "unknown"

_SCAN: Final = Path(__file__).with_name("scan")
_ENOUGH: Final = 75.0
"""Per cent of a licence file that has to be known text; pkg.go.dev asks for as much."""

_LICENCE_FILE: Final = r"(?i:(un)?(licen[cs]e|copying)[^/]*)"
_OF_WHEEL: Final = re.compile(rf"[^/]+\.dist-info/(METADATA|(licenses/)?{_LICENCE_FILE})")
_OF_SOURCES: Final = re.compile(rf"[^/]+/(PKG-INFO|{_LICENCE_FILE})")

_CLASSIFIERS: Final[Mapping[str, str]] = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
"""Of PyPI, which had them before packages could state an expression of SPDX; where both are absent, a text is left."""


class ReadingError(Exception):
    """A registry cannot be asked; the message says which, and what its tool says."""


def read(root: Path, wanted: Collection[Pin], *, go: str) -> dict[Pin, str]:
    """The licence of each as an SPDX expression; `UNKNOWN` where the package does not tell.

    Raises:
        ReadingError: a package cannot be loaded.
    """
    locked = npm_licences(root)
    found = {pin: locked[pin] or UNKNOWN for pin in wanted if pin.kind == NPM}
    found |= _python([pin for pin in wanted if pin.kind == PYTHON], go=go)
    folders = _modules(root, [pin for pin in wanted if pin.kind == GO], go=go)
    return found | dict(zip(folders, scan(folders.values(), go=go), strict=True))


def scan(folders: Iterable[Path], *, go: str) -> list[str]:
    """The licences of modules of Go that are in these folders."""
    lines = "".join(f"{folder}\n" for folder in folders)
    output = _said([go, "run", "."], _SCAN, lines) if lines else ""
    return [_expression(**json.loads(line)) for line in output.splitlines()]


def licence_of(metadata: Message) -> str:
    """What the metadata of a Python package say."""
    if expression := metadata["License-Expression"]:
        return str(expression)
    classifiers = [str(each).rpartition(" :: ")[2] for each in metadata.get_all("Classifier", ())]
    if known := sorted({_CLASSIFIERS[each] for each in classifiers if each in _CLASSIFIERS}):
        return " AND ".join(known)
    text = str(metadata["License"] or "").strip()
    if named := re.match(r"SPDX-License-Identifier: (\S+)\n", f"{text}\n"):
        return named[1]
    return text if re.fullmatch(r"[\w.+-]+( (AND|OR|WITH) [\w.+-]+)*", text) else UNKNOWN


def _expression(licences: Collection[str], percent: float) -> str:
    return " AND ".join(licences) if licences and percent >= _ENOUGH else UNKNOWN


def _modules(root: Path, wanted: Iterable[Pin], *, go: str) -> dict[Pin, Path]:
    """Where the modules are, once they are loaded, held to the checksums of the go.sum that has them."""
    folders = go_folders(root)
    found: dict[Pin, Path] = {}
    by_folder: dict[Path, list[Pin]] = {}
    for pin in wanted:
        by_folder.setdefault(folders[pin], []).append(pin)
    for folder, pins in by_folder.items():
        names = [f"{pin.name}@{pin.version}" for pin in pins]
        decoder, output = json.JSONDecoder(), _said([go, "mod", "download", "-json", *names], folder)
        while output := output.lstrip():
            module, end = decoder.raw_decode(output)
            found[Pin(GO, module["Path"], module["Version"])] = Path(module["Dir"])
            output = output[end:]
    return found


def _python(wanted: Iterable[Pin], *, go: str) -> dict[Pin, str]:
    """What the metadata say, and where those are silent, the licence files."""
    found: dict[Pin, str] = {}
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    for group in _different(wanted):
        with TemporaryDirectory() as folder, TemporaryDirectory() as opened:
            _said([*pip, *(f"{pin.name}=={pin.version}" for pin in group)], Path(folder))
            packages = [_opened(path, Path(opened, path.name)) for path in Path(folder).iterdir()]
            said = {normalized(metadata["Name"]): (licence_of(metadata), files) for metadata, files in packages}
            silent = {name: files for name, (licence, files) in said.items() if licence == UNKNOWN}
            told = dict(zip(silent, scan(silent.values(), go=go), strict=True))
        found |= {pin: told.get(pin.name) or said[pin.name][0] for pin in group}
    return found


def _opened(package: Path, place: Path) -> tuple[Message, Path]:
    """What a wheel, or a package of sources, says of itself; and where its licence files are now."""
    place.mkdir()
    metadata = Message()
    for name, content in _files(package):
        path = PurePosixPath(name)
        if path.name in ("METADATA", "PKG-INFO"):
            metadata = message_from_bytes(content)
        else:
            (place / path.name).write_bytes(content)
    return metadata, place


def _files(package: Path) -> Iterator[tuple[str, bytes]]:
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            yield from ((name, wheel.read(name)) for name in wheel.namelist() if _OF_WHEEL.fullmatch(name))
    else:
        with tarfile.open(package) as sources:
            for member in sources.getmembers():
                if _OF_SOURCES.fullmatch(member.name) and (file := sources.extractfile(member)):
                    yield member.name, file.read()


def _different(wanted: Iterable[Pin]) -> Iterator[list[Pin]]:
    """Groups in each of which a package is once, as pip takes only one version of it at a time."""
    left = sorted(wanted)
    while left:
        group = list({pin.name: pin for pin in left}.values())
        yield group
        left = sorted(set(left) - set(group))


def _said(command: list[str], folder: Path, text: str = "") -> str:
    done = subprocess.run(  # noqa: S603 -- Go and pip
        command, cwd=folder, env=toolchain.environment(), input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ReadingError(
            f"Licences cannot be read: {' '.join(command[:4])} says:\n{done.stdout}{done.stderr}".strip()
        )
    return done.stdout
