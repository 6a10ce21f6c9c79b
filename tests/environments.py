"""Virtual environments for programs with requirements of their own, kept from one run of the tests to the next."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from stack.settings import Settings

_ROOT = Path(__file__).resolve().parents[1]


def environment(name: str, packages: Sequence[str]) -> Path:
    """The ``bin`` folder of an environment with what ``pip install`` brings, given these arguments in the root.

    It is made anew when the arguments, the files they name, or this Python change. This project's own package is
    installed in place, so that its code may change.
    """
    folder = Settings.load().state / "environments" / name
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / ".complete"
    wanted = _fingerprint(packages)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            venv.create(folder, clear=True, with_pip=True)
            pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            in_place = [f"--editable={package}" if package.startswith("./") else package for package in packages]
            subprocess.run([*pip, *in_place], cwd=_ROOT, check=True)
            stamp.write_text(wanted)
    return folder / "bin"


def _fingerprint(packages: Sequence[str]) -> str:
    digest = hashlib.sha256(repr((sys.version, os.fspath(_ROOT), packages)).encode())
    files = [_ROOT / "instrumentation" / "pyproject.toml", *(_ROOT / package for package in packages)]
    for file in filter(Path.is_file, files):
        digest.update(file.read_bytes())
        for constraints in re.findall(r"^-c (.+)$", file.read_text(), re.MULTILINE):
            digest.update((file.parent / constraints).read_bytes())
    return digest.hexdigest()
