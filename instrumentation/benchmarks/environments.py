"""The virtual environment of each variant: made once from pinned packages, and used again."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_REQUIREMENTS: Final = Path(__file__).parent / "requirements"
_SHARED: Final = ("constraints.txt", "instrumentation/pyproject.toml")
"""What requirements may refer to, by a path from the root: part of what an environment is made from."""


class InstallError(Exception):
    """The packages of an environment cannot be installed; the message says why."""


def python_of(name: str, folder: Path) -> Path:
    """The interpreter of the environment that ``requirements/<name>.txt`` describes, made below ``folder`` if missing.

    Raises:
        InstallError: its packages cannot be installed.
    """
    requirements = _REQUIREMENTS / f"{name}.txt"
    place = folder / f"benchmark-{name}-{_digest(requirements)}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"benchmark-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another benchmark may be making it
        if not (place / "complete").exists():
            for old in folder.glob(f"benchmark-{name}-{'[0-9a-f]' * 12}"):
                shutil.rmtree(old)
            _make(place, requirements)
            (place / "complete").touch()
    return place / "bin" / "python"


def _make(place: Path, requirements: Path) -> None:
    python = str(place / "bin" / "python")
    run([sys.executable, "-m", "venv", "--without-pip", str(place)], place)
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--no-input"]
    run([*pip, "--requirement", str(requirements)], place)


def run(command: list[str], place: Path) -> str:
    """What a command that has to do with the environment at ``place`` writes; its whole output is kept where it fails.

    Raises:
        InstallError: it fails.
    """
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode == 0:
        return ended.stdout
    log = place.with_name(place.name + ".log")
    log.write_text(ended.stdout + ended.stderr, encoding="utf-8")
    errors = [line for line in ended.stderr.splitlines() if line.startswith("ERROR:")] or ended.stderr.splitlines()
    said = errors[0].removeprefix("ERROR: ").rstrip(".") if errors else f"exit code {ended.returncode}"
    raise InstallError(f"its packages cannot be installed: {said}. Whole log: {log}")


def _digest(requirements: Path) -> str:
    digest = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    text = requirements.read_text(encoding="utf-8")
    digest.update(text.encode())
    for path in _SHARED:
        if Path(path).name in text or "-e " in text:
            digest.update((ROOT / path).read_bytes())
    return digest.hexdigest()[:12]
