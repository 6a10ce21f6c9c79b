"""Containers or not: which mode is chosen, what is said when it cannot be, and how volumes are prepared."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stack.containers import compose, volumes
from stack.containers.__main__ import chosen_mode
from stack.containers.compose import ComposeError
from stack.native import down, up
from stack.settings import Settings
from tests.stores import settings_at

ROOT = Path(__file__).resolve().parents[2]


def _docker(folder: Path, *, engine: str = "28.2.2", version: str = "2.40.3") -> str:
    """A PATH on which the `docker` command gives these answers; it writes down what else it is asked for."""
    folder.mkdir()
    script = folder / "docker"
    script.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f'  "version "*) echo "{engine}"; test -n "{engine}" ;;\n'
        f'  "compose version --short") echo "{version}"; test -n "{version}" ;;\n'
        f'  *) echo "$@" >> "{folder}/asked" ;;\n'
        "esac\n"
    )
    script.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def _run(path: str, *arguments: str, mode: str = "", state: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path, "MODE": mode, "GENAI_STACK_DIR": str(state)}
    command = [sys.executable, "-m", "stack.containers", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_compose_without_an_engine_is_one_sentence(tmp_path: Path) -> None:
    result = _run(_docker(tmp_path / "bin", engine=""), "up", mode="compose", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        "Error: No Docker engine answers to the `docker` command. "
        "Start or install it, or run the stack without containers: MODE=native.\n"
    )


def test_compose_without_docker_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ComposeError, match=r"^There is no `docker` command here\. .* MODE=native\.$"):
        compose.up(ROOT)


@pytest.mark.parametrize("version", ["2.19.1", "v2.2.3", "1.29.2"])
def test_a_compose_that_is_too_old_is_named_with_the_version_that_is_needed(tmp_path: Path, version: str) -> None:
    result = _run(_docker(tmp_path / "bin", version=version), "up", mode="compose", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: Docker Compose is {version}, and 2.20 or newer is needed: update it, or use MODE=native.\n"
    )


def test_an_engine_without_compose_is_one_sentence(tmp_path: Path) -> None:
    result = _run(_docker(tmp_path / "bin", version=""), "status", mode="compose", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: `docker compose` does not answer: install Docker Compose 2.20 or newer")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("up",), "up --build --detach --wait --wait-timeout 300"),
        (("status",), "--profile * ps --all"),
        (("logs", "loki"), "--profile * logs --tail 20 loki"),
        (("down",), "--profile * down"),
        (("down", "--volumes"), "--profile * down --volumes"),
    ],
)
def test_each_command_is_that_of_compose(tmp_path: Path, arguments: tuple[str, ...], asked: str) -> None:
    result = _run(_docker(tmp_path / "bin", version="v5.0.1"), *arguments, mode="compose", state=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "bin" / "asked").read_text() == f"compose --project-directory {ROOT} {asked}\n"


def test_a_failure_of_compose_is_a_failure(tmp_path: Path) -> None:
    path = _docker(tmp_path / "bin")
    (tmp_path / "bin" / "asked").mkdir()  # so that the command fails
    result = _run(path, "up", mode="compose", state=tmp_path)
    assert result.returncode == 1
    assert "Error: Docker Compose has failed" in result.stderr


def test_a_wrong_mode_is_named(tmp_path: Path) -> None:
    result = _run(os.environ["PATH"], "up", mode="podman", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "Error: MODE is 'podman': it must be native or compose, or left out.\n"


@pytest.mark.parametrize("target", ["up", "status", "logs", "down"])
def test_make_passes_the_mode_on(tmp_path: Path, target: str) -> None:
    path = f"{_docker(tmp_path / 'bin', engine='')}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GENAI_STACK_DIR": str(tmp_path / "state")}
    command = ["make", "--silent", target, "MODE=compose"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "Error: No Docker engine answers" in result.stderr


def test_without_a_mode_an_engine_means_containers_and_none_means_native(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODE", raising=False)
    settings = replace(Settings.load(), state=tmp_path)
    monkeypatch.setenv("PATH", _docker(tmp_path / "with"))
    assert chosen_mode(settings) == "compose"
    monkeypatch.setenv("PATH", _docker(tmp_path / "without", engine=""))
    assert chosen_mode(settings) == "native"


def test_what_runs_natively_stays_native_also_where_an_engine_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODE", raising=False)
    settings = settings_at(tmp_path / "state")
    try:
        up(settings, only={"inbox"})
        monkeypatch.setenv("PATH", _docker(tmp_path / "bin") + ":" + os.environ["PATH"])
        assert chosen_mode(settings) == "native"
    finally:
        down(settings)


def test_native_commands_are_passed_on_whole(tmp_path: Path) -> None:
    result = _run(os.environ["PATH"], "logs", "nothing", mode="native", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "Error: There is no log of 'nothing'. There are: none yet.\n"
    assert _run(os.environ["PATH"], "down", "--volumes", mode="native", state=tmp_path).returncode == 0


def test_a_password_is_made_once_and_a_chosen_one_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "password"
    volumes.write_password(path, "")
    made = path.read_text()
    assert len(made) >= 24
    assert path.stat().st_mode & 0o777 == 0o400
    volumes.write_password(path, "")
    assert path.read_text() == made
    volumes.write_password(path, "correct horse")
    assert path.read_text() == "correct horse"
    assert path.stat().st_mode & 0o777 == 0o400


def test_a_volume_of_the_wrong_owner_is_given_away_with_all_it_holds_and_links_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, volume = tmp_path / "outside", tmp_path / "volume"
    outside.touch()
    (volume / "below").mkdir(parents=True)
    (volume / "below" / "file").touch()
    (volume / "link").symlink_to(outside)
    given: list[tuple[Path, int, int, bool]] = []

    def record(path: Path, user: int, group: int, *, follow_symlinks: bool) -> None:
        given.append((path, user, group, follow_symlinks))

    monkeypatch.setattr(os, "chown", record)  # only root may give files away
    volumes.give(volume, user=10001, group=472)
    assert {path for path, *_ in given} == {volume, volume / "below", volume / "below" / "file", volume / "link"}
    assert {tuple(rest) for _, *rest in given} == {(10001, 472, False)}
    given.clear()
    volumes.give(volume, user=os.getuid(), group=volume.stat().st_gid)
    assert given == []  # a large volume that is right already costs no writes
