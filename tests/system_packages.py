"""Installs the system packages that the tests need where it may, else names the command that does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).with_name("system-packages.txt")


def missing() -> list[str]:
    """The packages of the list whose command is not on PATH."""
    lines = [line.partition("#")[0].split() for line in LIST.read_text().splitlines()]
    return [words[0] for words in lines if words and shutil.which(words[1]) is None]


def main() -> int:
    """0 when everything is there."""
    packages = missing()
    if not packages:
        return 0
    sudo = _privilege()
    if shutil.which("apt-get") is None or sudo is None:
        sys.stderr.write(
            f"Error: the tests need {', '.join(packages)}. Install with: sudo apt-get install {' '.join(packages)}\n"
        )
        return 1
    print(f"Installing for the tests: {', '.join(packages)}", flush=True)
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages],
    ):
        done = subprocess.run([*sudo, *command], env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(f"Error: {' '.join(command)} failed: {done.stderr.strip()[-500:]}\n")
            return 1
    return 1 if missing() else 0


def _privilege() -> list[str] | None:
    """What to put before a command to run it as root; ``None`` where that is not allowed without a password."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


if __name__ == "__main__":
    sys.exit(main())
