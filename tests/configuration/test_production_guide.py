"""docs/production.md: its files are accepted, its commands do what they say, its figures are the configuration's."""

import os
import re
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.containers.volumes import OWNERS
from stack.inbox.store import KEPT_NOTIFICATIONS
from tests.compose import compose_files

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/production.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The guide's blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def compose(folder: Path) -> dict[str, Any]:
    """The files of a folder as Docker Compose understands them together."""
    package = find_spec("compose")
    assert package
    assert package.origin
    done = subprocess.run(
        [Path(package.origin).with_name("docker-compose"), "--project-directory", folder, "config"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    loaded: dict[str, Any] = yaml.safe_load(done.stdout.replace(str(folder), "/project"))
    return loaded


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """compose.yaml alone."""
    return compose(compose_files(tmp_path_factory.mktemp("shipped")))


def test_the_override_changes_the_public_address_and_nothing_else(shipped: dict[str, Any], tmp_path: Path) -> None:
    override, _ = blocks("yaml")
    compose_files(tmp_path)
    (tmp_path / "compose.override.yaml").write_text(override)
    merged = compose(tmp_path)
    for name, changes in yaml.safe_load(override)["services"].items():
        environment, before = merged["services"][name]["environment"], shipped["services"][name]["environment"]
        for variable, value in changes["environment"].items():
            assert environment[variable] == value
            assert before.get(variable) != value
        assert {**before, **changes["environment"]} == environment
    changed = {name for name in shipped["services"] if merged["services"][name] != shipped["services"][name]}
    assert changed == {"grafana"}


def test_an_application_in_a_container_joins_the_network_that_the_collector_is_in(
    shipped: dict[str, Any], tmp_path: Path
) -> None:
    _, application = blocks("yaml")
    (tmp_path / "compose.yaml").write_text(application)
    joined = compose(tmp_path)["networks"]["observability"]
    assert joined["external"] is True
    assert joined["name"] == shipped["networks"]["default"]["name"]
    assert "default" in shipped["services"]["collector"]["networks"]


def test_the_table_has_every_volume_and_the_retention_of_the_configuration(shipped: dict[str, Any]) -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \|(.*)\|$", GUIDE, re.MULTILINE))
    assert set(rows) == set(shipped["volumes"])
    prometheus = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())["storage"]["tsdb"]["retention"]
    assert prometheus == {"time": "400d", "size": "20GB"}
    assert "400 days or 20 GB" in rows["prometheus"]
    loki = yaml.safe_load((ROOT / "loki/config.yaml").read_text())["limits_config"]["retention_period"]
    assert f" {int(loki.removesuffix('h')) // 24} days" in rows["loki"]
    tempo = yaml.safe_load((ROOT / "tempo/config.yaml").read_text())["backend_worker"]["compaction"]["block_retention"]
    assert f" {int(tempo.removesuffix('h')) // 24} days" in rows["tempo"]
    collector = yaml.safe_load((ROOT / "collector/config.yaml").read_text())
    queues = {exporter["sending_queue"]["queue_size"] for exporter in collector["exporters"].values()}
    assert queues == {500_000_000}
    words = {3: "three", 4: "four"}
    assert f"500 MB for each of {words[len(collector['exporters'])]} queues" in rows["collector"]
    assert f"{KEPT_NOTIFICATIONS:,}" in rows["inbox"]


def test_the_memory_limits_and_the_rotation_of_logs_are_those_of_compose(shipped: dict[str, Any]) -> None:
    limits = {name: int(shipped["services"][name]["mem_limit"]) // 2**20 for name in shipped["services"]}
    assert limits["prometheus"] == limits["loki"] == limits["tempo"] == limits["postgres"] == 1024
    for name, said in {
        **{name: name for name in ("collector", "grafana", "alertmanager", "inbox")},
        "usage": "usage service",
    }.items():
        assert re.search(rf"{said} {limits[name]} MiB", GUIDE, re.IGNORECASE), name
    lasting = sum(limits.values()) - limits["volumes"] - limits["collector-health"]
    assert f"about {lasting / 1024:.1f} GiB" in GUIDE
    assert shipped["services"]["loki"]["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert shipped["services"]["loki"]["restart"] == "unless-stopped"


def _in_the_volumes_container(kind: str, volumes: Path, backup: Path) -> None:
    """Runs what the guide runs there, on folders of this machine, as this user in the place of root."""
    ((mounted, command),) = re.findall(rf'-v "\$PWD/backup:(/backup{kind})" volumes (sh -c .*)$', GUIDE, re.MULTILINE)
    assert mounted
    command = command.replace("/volumes", str(volumes)).replace("/backup", str(backup))
    if os.getuid() == 0:  # with what compose.yaml leaves of root's power
        kept = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["volumes"]["cap_add"]
        command = f"setpriv --bounding-set=-all,{','.join(f'+{name.lower()}' for name in kept)} {command}"
    subprocess.run(shlex.split(command.replace("chown root", f"chown {os.getuid()}")), check=True)


def test_what_was_backed_up_is_restored_and_nothing_else_is_left(tmp_path: Path) -> None:
    volumes, backup = tmp_path / "v", tmp_path / "b"
    (volumes / "loki" / "chunks").mkdir(parents=True)
    (volumes / "grafana-password").mkdir()
    (volumes / "loki" / "chunks" / "one").write_text("line")
    password = volumes / "grafana-password" / "password"
    password.write_text("first")
    password.chmod(0o400)
    (volumes / "loki").chmod(0o700)
    (volumes / "postgres" / "18").mkdir(parents=True)
    (volumes / "postgres").chmod(0o1777)  # as its image has it: of what is inside nobody but its owner can delete
    (volumes / "postgres" / "18" / "PG_VERSION").write_text("18")
    if os.getuid() == 0:
        for path in ("postgres", "postgres/18", "postgres/18/PG_VERSION"):
            os.chown(volumes / path, *OWNERS["postgres"])
    backup.mkdir()
    _in_the_volumes_container("", volumes, backup)
    (archive,) = backup.iterdir()
    assert archive.stat().st_mode & 0o777 == 0o600

    password.unlink()
    (volumes / "loki" / "chunks" / "one").write_text("another")
    (volumes / "loki" / "later").write_text("later")
    (volumes / "loki").chmod(0o755)
    _in_the_volumes_container(":ro", volumes, backup)
    files = {path.relative_to(volumes).as_posix(): path.read_text() for path in volumes.rglob("*") if path.is_file()}
    assert files == {"loki/chunks/one": "line", "grafana-password/password": "first", "postgres/18/PG_VERSION": "18"}
    assert password.stat().st_mode & 0o777 == 0o400
    assert (volumes / "loki").stat().st_mode & 0o777 == 0o700
