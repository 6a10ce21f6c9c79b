"""Containers or not: which mode is chosen, what is said when it cannot be, and how volumes are prepared."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stack.containers import compose, volumes
from stack.containers.__main__ import chosen_mode
from stack.containers.compose import ComposeError
from stack.native import down, up
from stack.secret_files import WAREHOUSE_PASSWORDS
from stack.settings import Settings
from stack.warehouse import INGEST, OWNER, READER, whereabouts
from tests.stores import settings_at

ROOT = Path(__file__).resolve().parents[2]


_PSQL = "psql --set=ON_ERROR_STOP=1 --username genai_reader --dbname genai"


def _docker(
    folder: Path,
    *,
    engine: str = "28.2.2",
    version: str = "2.40.3",
    refuses: str = "nothing",
    runs: str = "1f0c4d",
) -> str:
    """A PATH on which `docker` gives these answers, refuses one command, and writes down what else it is asked for."""
    folder.mkdir()
    script = folder / "docker"
    script.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f'  "version "*) echo "{engine}"; test -n "{engine}" ;;\n'
        f'  "compose version --short") echo "{version}"; test -n "{version}" ;;\n'
        f'  *" {refuses} "*) exit 3 ;;\n'
        f'  *) echo "$@" >> "{folder}/asked" ;;\n'
        "esac\n"
        'case "$*" in\n'
        f'  *" ps --quiet "*) echo "{runs}" ;;\n'
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
        (
            ["up"],
            ["up --build --detach --wait --wait-timeout 300", "kill --signal SIGHUP prometheus alertmanager"],
        ),
        (["status"], ["--profile * ps --all"]),
        (["logs", "loki"], ["--profile * logs --tail 20 loki"]),
        (
            ["sql"],
            [
                "ps --quiet --status running postgres",
                f"exec --no-TTY postgres {_PSQL}",
            ],
        ),
        (
            ["sql", "--query", "SELECT 1"],
            [
                "ps --quiet --status running postgres",
                f"exec --no-TTY postgres {_PSQL} --command SELECT 1",
            ],
        ),
        (
            ["backfill", "2026-12-01T10:00", "2026-12-01T12:00"],
            [
                "ps --quiet --status running usage",
                "exec --no-TTY usage python -m stack.usage.backfill 2026-12-01T10:00 2026-12-01T12:00",
            ],
        ),
        (["down"], ["--profile * down"]),
        (["down", "--volumes"], ["--profile * down --volumes"]),
    ],
)
def test_each_command_is_that_of_compose(tmp_path: Path, arguments: list[str], asked: list[str]) -> None:
    result = _run(_docker(tmp_path / "bin", version="v5.0.1"), *arguments, mode="compose", state=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    expected = [f"compose --project-directory {ROOT} {each}" for each in asked]
    assert (tmp_path / "bin" / "asked").read_text().splitlines() == expected


def test_a_database_of_the_users_own_is_asked_by_the_service_that_has_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USAGE_DATABASE_URL", "postgresql://boss:secret@db.example.org/usage")
    result = _run(_docker(tmp_path / "bin"), "sql", "--query", "SELECT 1", mode="compose", state=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    asked = (tmp_path / "bin" / "asked").read_text()
    assert asked.endswith("exec --no-TTY usage python -m stack.native sql --query SELECT 1\n")
    assert "secret" not in asked


@pytest.mark.parametrize(
    ("arguments", "service"),
    [(["sql"], "postgres"), (["backfill", "2026-12-01T10:00", "2026-12-01T12:00"], "usage")],
)
def test_what_asks_a_service_that_does_not_run_says_how_to_start_it(
    tmp_path: Path, arguments: list[str], service: str
) -> None:
    result = _run(_docker(tmp_path / "bin", runs=""), *arguments, mode="compose", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr == f"Error: The service {service} does not run: start the stack with `make up`.\n"
    assert "exec" not in (tmp_path / "bin" / "asked").read_text()


def test_the_exit_code_of_a_query_is_that_of_psql_without_a_word_of_ours(tmp_path: Path) -> None:
    result = _run(_docker(tmp_path / "bin", refuses="psql"), "sql", "--query", "SELEC", mode="compose", state=tmp_path)
    assert (result.returncode, result.stderr) == (3, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sql", "SELECT 1"], "unrecognized arguments: SELECT 1"),
        (["up", "loki"], "unrecognized arguments: loki"),
        (["backfill", "2026-12-01T10:00"], "backfill: error: the following arguments are required"),
        (["start"], "invalid choice: 'start'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_command_that_is_none_is_refused_before_docker_is_asked(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = _run(_docker(tmp_path / "bin"), *arguments, mode="compose", state=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert not (tmp_path / "bin" / "asked").exists()


def test_an_address_that_is_none_of_a_database_is_one_sentence_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USAGE_DATABASE_URL", "mysql://boss:secret@db.example.org/usage")
    result = _run(_docker(tmp_path / "bin"), "up", mode="compose", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        "Error: USAGE_DATABASE_URL must be postgresql://OWNER:PASSWORD@HOST:PORT/DATABASE, with the owner of the "
        "database; signs other than letters and digits in the password as %40 and so on.\n"
    )
    assert not (tmp_path / "bin" / "asked").exists()


def test_a_failure_of_compose_is_a_failure(tmp_path: Path) -> None:
    result = _run(_docker(tmp_path / "bin", refuses="up"), "up", mode="compose", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: Docker Compose has failed: what it says is above; `make logs MODE=compose`")


def test_servers_that_cannot_be_told_of_new_rules_are_named_with_what_to_do(tmp_path: Path) -> None:
    result = _run(_docker(tmp_path / "bin", refuses="kill"), "up", mode="compose", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr.endswith("`docker compose restart prometheus alertmanager` makes them.\n")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PROMETHEUS_PORT", "web", "PROMETHEUS_PORT is 'web': it must be a port number from 1 to 65535."),
        ("TEMPO_PORT", "0", "TEMPO_PORT is '0': it must be a port number from 1 to 65535."),
        ("TEMPO_PORT", "3100", "LOKI_PORT and TEMPO_PORT are both 3100: give one another port."),
    ],
)
def test_a_port_that_cannot_be_used_is_one_sentence_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = _run(_docker(tmp_path / "bin"), "up", mode="compose", state=tmp_path)
    assert (result.returncode, result.stderr) == (1, f"Error: {said}\n")
    assert not (tmp_path / "bin" / "asked").exists()


def test_a_wrong_mode_is_named(tmp_path: Path) -> None:
    result = _run(os.environ["PATH"], "up", mode="podman", state=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "Error: MODE is 'podman': it must be native or compose, or left out.\n"


@pytest.mark.parametrize("target", ["up", "status", "logs", "sql", "backfill", "down"])
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


def test_a_password_is_chosen_or_made_at_the_first_start_and_stays(tmp_path: Path) -> None:
    made, chosen = tmp_path / "made", tmp_path / "chosen"
    volumes.keep_password(made, "")
    password = made.read_text()
    assert len(password) >= 24
    volumes.keep_password(chosen, "correct horse")
    for path, content in ((made, password), (chosen, "correct horse")):
        volumes.keep_password(path, "later")  # Grafana would not take it
        assert path.read_text() == content
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


def test_a_running_server_may_delete_files_while_its_volume_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    given: list[str] = []

    def delete_others(path: Path, *_: int, follow_symlinks: bool) -> None:
        given.append(path.name)
        for other in tmp_path.iterdir():
            if other != path:
                shutil.rmtree(other)

    monkeypatch.setattr(os, "chown", delete_others)
    volumes.give(tmp_path, user=10001, group=10001)
    assert given == [tmp_path.name]


def test_alertmanager_gets_the_secrets_that_are_there_and_loses_those_that_are_gone(tmp_path: Path) -> None:
    originals, copies = tmp_path / "secrets", tmp_path / "copies"
    originals.mkdir()
    copies.mkdir()
    for name in ("slack-webhook-url", "jira-token", "grafana-password", *WAREHOUSE_PASSWORDS.values(), "README.md"):
        (originals / name).write_text(f"content of {name}")
    (originals / "folder").mkdir()
    volumes.copy_secrets(originals, copies)
    assert {path.name: path.read_text() for path in copies.iterdir()} == {
        "slack-webhook-url": "content of slack-webhook-url",
        "jira-token": "content of jira-token",
    }
    assert {path.stat().st_mode & 0o777 for path in copies.iterdir()} == {0o400}
    before = (copies / "jira-token").stat().st_ino
    (originals / "slack-webhook-url").unlink()
    volumes.copy_secrets(originals, copies)
    (only,) = copies.iterdir()
    assert (only.name, only.stat().st_ino) == ("jira-token", before)  # Alertmanager may be reading it


def _made(folder: Path, **chosen: str) -> Path:
    """The volumes, with passwords that are chosen for some roles."""
    (folder / "secrets").mkdir(exist_ok=True)
    for role, password in chosen.items():
        (folder / "secrets" / WAREHOUSE_PASSWORDS[role]).write_text(f"{password}\n")
    for name in volumes.OWNERS:
        (folder / "volumes" / name).mkdir(parents=True, exist_ok=True)
    volumes.share_warehouse_passwords(folder / "secrets", folder / "volumes")
    return folder / "volumes"


def _passwords(place: Path) -> dict[str, dict[str, str]]:
    """Those of the warehouse's roles, by volume."""
    return {
        volume.name: {
            role: (volume / name).read_text() for role, name in WAREHOUSE_PASSWORDS.items() if (volume / name).exists()
        }
        for volume in place.iterdir()
        if any((volume / name).exists() for name in WAREHOUSE_PASSWORDS.values())
    }


def test_passwords_of_the_warehouse_are_made_once_and_each_server_has_those_that_it_needs_alone(tmp_path: Path) -> None:
    place = _made(tmp_path)
    made = _passwords(place)
    ours = made["usage-secrets"]
    assert set(ours) == {OWNER, INGEST, READER}
    assert len(set(ours.values())) == 3
    assert all(len(password) >= 24 for password in ours.values())
    assert made == {
        "usage-secrets": ours,
        "postgres-secrets": {OWNER: ours[OWNER]},
        "inbox-secrets": {READER: ours[READER]},
        "grafana-password": {READER: ours[READER]},
    }
    files = [path for path in place.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o400}
    before = {path: path.stat().st_ino for path in files}
    assert _passwords(_made(tmp_path)) == made  # the next start
    assert {path: path.stat().st_ino for path in before} == before  # and a running server's file is left alone


def test_a_password_that_was_chosen_wins_at_the_first_start_and_stays(tmp_path: Path) -> None:
    chosen = _passwords(_made(tmp_path, genai="correct horse", genai_reader="battery staple"))
    assert chosen["postgres-secrets"] == {OWNER: "correct horse"}
    assert chosen["grafana-password"] == chosen["inbox-secrets"] == {READER: "battery staple"}
    assert len(chosen["usage-secrets"][INGEST]) >= 24
    # Later, PostgreSQL would not take another one.
    assert _passwords(_made(tmp_path, genai="another", genai_reader="another")) == chosen


def test_a_volume_that_has_lost_its_copy_gets_it_again(tmp_path: Path) -> None:
    place = _made(tmp_path)
    made = _passwords(place)
    shutil.rmtree(place / "postgres-secrets")
    assert _passwords(_made(tmp_path)) == made


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", ("postgres:5432", "genai", "disable")),
        ("postgresql://boss:secret@db.example.org/usage", ("db.example.org:5432", "usage", "disable")),
        ("postgres://boss@[fd00::1]:5433/us%61ge?sslmode=require", ("[fd00::1]:5433", "usage", "require")),
        ("postgresql://boss@db/usage?a=b&sslmode=verify-full", ("db:5432", "usage", "verify-full")),
        ("postgresql://boss@db/usage?sslmode=prefer", ("db:5432", "usage", "disable")),
    ],
)
def test_grafana_is_told_where_the_warehouse_is_without_its_owner(
    tmp_path: Path, url: str, told: tuple[str, str, str]
) -> None:
    settings = replace(Settings.load({}), postgres_port=5432, usage_database_url=url)
    for each in (settings, settings):  # at every start
        volumes.tell_where(whereabouts(each, {"WAREHOUSE_HOST": "postgres"}), tmp_path)
    parts = [(tmp_path / f"warehouse-{part}").read_text() for part in ("address", "database", "sslmode")]
    assert tuple(parts) == told
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", ""),
        ("postgresql://boss:s%40fe@db.example.org/usage", "postgresql://db.example.org/usage"),
        ("postgres://boss@[fd00::1]:5433/us%61ge?sslmode=require", "postgres://[fd00::1]:5433/us%61ge?sslmode=require"),
        ("postgresql://db/usage?user=boss&sslmode=require&password=safe", "postgresql://db/usage?sslmode=require"),
        ("postgresql://boss@db/usage?password=safe", "postgresql://db/usage"),
    ],
)
def test_the_inbox_is_told_where_the_warehouse_is_without_its_owner(tmp_path: Path, url: str, told: str) -> None:
    volumes.tell_address(url, tmp_path)
    (file,) = tmp_path.iterdir()
    assert (file.read_text(), file.stat().st_mode & 0o777) == (told, 0o400)


def test_an_address_that_is_none_of_a_database_ends_the_preparation_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USAGE_DATABASE_URL", "db.example.org/usage")
    assert volumes.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("USAGE_DATABASE_URL must be postgresql://")
    assert error.count("\n") == 1


def test_volumes_that_cannot_be_prepared_say_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted", "/volumes/loki")

    monkeypatch.setattr(volumes, "keep_password", refuse)
    assert volumes.main() == 1
    error = capsys.readouterr().err
    assert "'/volumes/loki'" in error
    assert "an engine that does not take CHOWN and DAC_OVERRIDE away" in error
    assert error.count("\n") == 1
