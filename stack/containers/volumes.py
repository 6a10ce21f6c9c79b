"""Prepares the volumes, inside a container of its own: `python -m stack.containers.volumes`.

A new volume belongs to root, and the servers do not run as root; a restored backup may belong to anyone. So before the
servers start, each folder below /volumes is given to the user of its server. A password for Grafana is made once, too:
there is none that everybody knows, and the first start needs no file.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Final

OWNERS: Final = {
    "collector": (10001, 10001),
    "prometheus": (65534, 65534),
    "loki": (10001, 10001),
    "tempo": (10001, 10001),
    "alertmanager": (65534, 65534),
    "inbox": (10001, 10001),
    "grafana": (472, 0),
    "grafana-password": (472, 0),
}
"""User and group of each volume: those that the server of that name runs as in compose.yaml."""


def main() -> int:
    """Prepares every volume; 1 where one cannot be given away."""
    volumes = Path("/volumes")
    try:
        write_password(volumes / "grafana-password" / "password", os.environ.get("GRAFANA_PASSWORD", ""))
        for name, (user, group) in OWNERS.items():
            give(volumes / name, user=user, group=group)
    except OSError as error:
        sys.stderr.write(f"The volumes cannot be prepared: {error}.\n")
        return 1
    return 0


def write_password(path: Path, chosen: str) -> None:
    """Writes the password that was chosen; without one, keeps the one that is there or makes one.

    Raises:
        OSError: the file cannot be written.
    """
    if not chosen and path.exists():
        return
    path.unlink(missing_ok=True)
    path.touch(mode=0o400)
    path.chmod(0o600)
    path.write_text(chosen or secrets.token_urlsafe(18), encoding="utf-8")
    path.chmod(0o400)


def give(folder: Path, *, user: int, group: int) -> None:
    """Gives a folder and everything in it to a user; what is right already is left alone.

    Raises:
        OSError: it cannot be given away.
    """
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        if (status.st_uid, status.st_gid) != (user, group):
            os.chown(path, user, group, follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main())
