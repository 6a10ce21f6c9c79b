"""The virtual environment of each client: kept from run to run, and brought to the newest releases each time."""

import fcntl
import json
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from instrumentation.benchmarks.environments import ROOT, run
from instrumentation.clients.clients import Client


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment that is up to date."""

    python: Path
    versions: dict[str, str]
    """Of the client's packages."""
    newer: dict[str, str]
    """Their newest releases, where pip did not take these because of what other packages allow."""


def install(client: Client, folder: Path) -> Installed:
    """Bring a client's environment below ``folder`` to the newest releases of everything in it.

    Raises:
        InstallError: its packages cannot be installed; the message says why.
    """
    name = f"newest-{client.name}-{sys.version_info[0]}.{sys.version_info[1]}"
    place = folder / name
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--upgrade"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not python.exists():
            run([sys.executable, "-m", "venv", "--without-pip", str(place)], place)
        own = f"--editable={ROOT / 'instrumentation'}[openai]"
        run([*pip, "--no-input", "--upgrade-strategy", "eager", *client.packages, own], place)
        left = run([*pip, "--quiet", "--dry-run", "--no-deps", "--report", "-", *client.packages], place)
    return Installed(
        python=python,
        versions=_versions(place, client),
        newer={each["metadata"]["name"]: each["metadata"]["version"] for each in json.loads(left)["install"]},
    )


def _versions(place: Path, client: Client) -> dict[str, str]:
    (packages,) = place.glob("lib/python*/site-packages")
    found = {each.name: each.version for each in distributions(path=[str(packages)])}
    return {name: found[name] for name in (package.partition("[")[0] for package in client.packages)}
