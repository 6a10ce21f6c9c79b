"""Prepares the volumes, inside a container of its own: `python -m stack.containers.volumes`.

A new volume belongs to root, and the servers do not run as root; a restored backup may belong to anyone. So before the
servers start, each folder below /volumes is given to the user of its server. The passwords of Grafana and of the
warehouse are put into files, and made where none was chosen: there is none that everybody knows. Each server gets
copies of the secrets that it needs, because it cannot read the originals, which belong to whoever wrote them.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from stack.secret_files import GRAFANA_PASSWORD, WAREHOUSE_PASSWORDS
from stack.settings import Settings, SettingsError
from stack.warehouse import OWNER, READER, Place, whereabouts, without_owner

OWNERS: Final = {
    "collector": (10001, 10001),
    "prometheus": (65534, 65534),
    "loki": (10001, 10001),
    "tempo": (10001, 10001),
    "alertmanager": (65534, 65534),
    "alertmanager-secrets": (65534, 65534),
    "inbox": (10001, 10001),
    "inbox-secrets": (10001, 10001),
    "postgres": (999, 999),
    "postgres-secrets": (999, 999),
    "usage-secrets": (10001, 10001),
    "grafana": (472, 0),
    "grafana-password": (472, 0),
}
"""User and group of each volume: those that the server of that name runs as in compose.yaml."""


def main() -> int:
    """Prepares every volume; 1 where one cannot be prepared."""
    volumes, originals = Path("/volumes"), Path("/secrets")
    try:
        settings = Settings.load()
        warehouse = whereabouts(settings)
        chosen = os.environ.get("GRAFANA_PASSWORD") or _text(originals / GRAFANA_PASSWORD)
        keep_password(volumes / "grafana-password" / "password", chosen)
        copy_secrets(originals, volumes / "alertmanager-secrets")
        share_warehouse_passwords(originals, volumes)
        tell_where(warehouse, volumes / "grafana-password")
        tell_address(settings.usage_database_url, volumes / "inbox-secrets")
        for name, (user, group) in OWNERS.items():
            give(volumes / name, user=user, group=group)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(
            f"The volumes cannot be prepared: {error}. Root inside a container must be allowed to give their files "
            "away: use volumes on a local disk, and an engine that does not take CHOWN and DAC_OVERRIDE away.\n"
        )
        return 1
    return 0


def keep_password(path: Path, chosen: str) -> None:
    """Writes the password that was chosen, or makes one. One that is there stays: its server knows it by now.

    Raises:
        OSError: the file cannot be written.
    """
    if not path.exists():
        _write_secret(path, (chosen or secrets.token_urlsafe(18)).encode())


def share_warehouse_passwords(originals: Path, volumes: Path) -> None:
    """Gives each server the passwords of the warehouse's roles that it needs; those that were not chosen are made.

    Raises:
        OSError: a password cannot be read or written.
    """
    kept = volumes / "usage-secrets"
    for name in WAREHOUSE_PASSWORDS.values():
        keep_password(kept / name, _text(originals / name))
    for volume, role in _WHO_NEEDS.items():
        name = WAREHOUSE_PASSWORDS[role]
        _write_secret(volumes / volume / name, (kept / name).read_bytes())


_WHO_NEEDS: Final = {"postgres-secrets": OWNER, "inbox-secrets": READER, "grafana-password": READER}
"""The role of the warehouse whose password a volume has, besides the usage service's, which has all."""


def tell_where(warehouse: Place, folder: Path) -> None:
    """Writes where the warehouse is, one part a file, as Grafana reads them: only here is an address taken apart.

    Raises:
        OSError: a file cannot be written.
    """
    for name, text in asdict(warehouse).items():
        _write_secret(folder / f"warehouse-{name}", text.encode())


def tell_address(url: str, folder: Path) -> None:
    """Writes the address of the user's own database without its owner, for the inbox, which only reads.

    Raises:
        OSError: the file cannot be written.
    """
    _write_secret(folder / "usage-database-url", without_owner(url).encode())


def copy_secrets(originals: Path, copies: Path) -> None:
    """Makes the copies those of the originals; what is gone there goes here, too.

    Raises:
        OSError: a secret cannot be read or written.
    """
    found = {path.name: path for path in originals.iterdir() if path.is_file()}
    for name in (GRAFANA_PASSWORD, *WAREHOUSE_PASSWORDS.values(), "README.md"):  # no business of Alertmanager's
        found.pop(name, None)
    for path in copies.iterdir():
        if path.name not in found:
            path.unlink()
    for name, path in found.items():
        _write_secret(copies / name, path.read_bytes())


def give(folder: Path, *, user: int, group: int) -> None:
    """Gives a folder and everything in it to a user; what is right already is left alone.

    Its server may be running, and deleting old data meanwhile.

    Raises:
        OSError: it cannot be given away.
    """
    for path in _everything(folder):
        try:
            status = path.lstat()
            if (status.st_uid, status.st_gid) != (user, group):
                os.chown(path, user, group, follow_symlinks=False)
        except FileNotFoundError:
            continue


def _everything(folder: Path) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    yield folder
    for place, folders, files in os.walk(folder, onerror=failed):
        for name in [*folders, *files]:
            yield Path(place, name)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _write_secret(path: Path, content: bytes) -> None:
    """Writes a file that its owner alone can read, whole or not at all; one that is right already is left alone."""
    if path.exists() and path.read_bytes() == content:
        return
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.chmod(0o400)
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
