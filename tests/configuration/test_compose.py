"""compose.yaml, held to everything that can be checked without a container engine.

Docker Compose itself reads it; every server's flags and mounted files go to the native server of the same version;
the image of this repository is laid out as its Dockerfile says, and its programs and health checks run from there.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.containers.volumes import OWNERS
from stack.settings import Settings
from tests.stores import settings_at

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Settings.load()
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
SERVERS = {"collector", "prometheus", "loki", "tempo", "alertmanager", "inbox", "grafana"}
OWN_IMAGE = "genai-observability-stack:0.1.0"


def _docker_compose() -> str:
    package = find_spec("compose")
    assert package is not None
    assert package.origin is not None
    return str(Path(package.origin).with_name("docker-compose"))


def _config(*arguments: str, project: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_docker_compose(), "--project-directory", str(project), "--profile", "*", "config", *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The file as Docker Compose understands it, without any variable set."""
    folder = tmp_path_factory.mktemp("project")  # without the .env that a developer may have
    shutil.copy(ROOT / "compose.yaml", folder)
    result = _config(project=folder)
    assert (result.returncode, result.stderr) == (0, "")
    loaded: dict[str, Any] = yaml.safe_load(result.stdout.replace(str(folder), str(ROOT)))
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    """The services by name."""
    found: dict[str, Any] = compose["services"]
    return found


def test_docker_compose_accepts_it_without_any_variable_and_refuses_a_misspelt_key(tmp_path: Path) -> None:
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
    assert set(offered) == set(used) | native | {"GENAI_STACK_DIR", "GENAI_STACK_BIN"}


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
        ("grafana/loki", r"github.com/grafana/loki/v3 v(\S+)", "loki"),
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


def test_tempo_and_grafana_have_the_pinned_versions_and_our_image_that_of_the_project(services: dict[str, Any]) -> None:
    assert services["tempo"]["image"] == "grafana/tempo:3.0.3"
    assert services["grafana"]["image"] == "grafana/grafana:13.2.0"
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"genai-observability-stack:{version[1]}" == OWN_IMAGE
    own = {name for name, service in services.items() if service["image"] == OWN_IMAGE}
    assert own == {"volumes", "collector-health", "inbox", "demo-provider", "demo-app", "demo-load"}
    assert {name for name, service in services.items() if "build" in service} == own


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
        "tempo": {3200},
        "alertmanager": {native.alertmanager_port},
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


def test_every_mounted_file_exists_and_is_read_only(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for mount in service.get("volumes", []):
            if mount["type"] == "bind":
                assert Path(mount["source"]).exists(), f"{name}: {mount['source']}"
                assert mount["read_only"] is True, f"{name}: {mount['source']}"


def test_every_volume_is_given_to_the_user_that_its_server_runs_as(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    prepared = {mount["source"]: mount["target"] for mount in services["volumes"]["volumes"]}
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
    files = ["collector/config.yaml", "loki/config.yaml", "alertmanager/alertmanager.yml", "compose.yaml"]
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
        "inbox": {8093},
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
            assert name == "grafana" or port["target"] in listens[name]


def test_prometheus_scrapes_every_server_and_the_rules_know_each() -> None:
    groups = yaml.safe_load((ROOT / "prometheus/targets/servers.yml").read_text())
    jobs = [group["labels"]["job"] for group in groups]
    assert set(jobs) == SERVERS - {"grafana"}
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
    targets = {mount["target"] for mount in services["grafana"]["volumes"]}
    assert environment["DASHBOARDS_DIR"] in targets
    assert str(Path(environment["GF_SECURITY_ADMIN_PASSWORD__FILE"]).parent) in targets
    assert not any("password" in key.lower() and not key.endswith("__FILE") for key in environment)


def _check(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _mounted(services: dict[str, Any], name: str, folder: Path) -> Path:
    """A folder that holds what the service sees: its mounted files, at their paths."""
    for mount in services[name]["volumes"]:
        if mount["type"] == "bind":
            target = folder / mount["target"].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            source = Path(mount["source"])
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return folder


def test_the_mounted_files_are_accepted_by_the_native_server_of_that_version(
    services: dict[str, Any], tmp_path: Path
) -> None:
    binaries = SETTINGS.binaries
    etc = {name: _mounted(services, name, tmp_path / name) / "etc" for name in SERVERS - {"inbox"}}
    loki = services["loki"]
    checks = [
        _check(binaries / "promtool", "check", "config", etc["prometheus"] / "prometheus/prometheus.yml"),
        _check(binaries / "amtool", "check-config", etc["alertmanager"] / "alertmanager/alertmanager.yml"),
        _check(binaries / "otelcol", "validate", f"--config={etc['collector']}/otelcol/config.yaml"),
        _check(
            binaries / "loki",
            *[part.replace("/etc/", f"{etc['loki']}/") for part in loki["command"]],
            "-verify-config",
            **loki["environment"],
        ),
    ]
    for result in checks:
        assert result.returncode == 0, result.stdout + result.stderr
    assert "2 rule files found" not in checks[0].stdout
    assert f"{len(list((ROOT / 'prometheus/rules').glob('*.yaml')))} rule files found" in checks[0].stdout


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_the_server_starts_with_its_flags_and_its_health_check_then_passes(
    services: dict[str, Any], name: str, tmp_path: Path
) -> None:
    settings = settings_at(tmp_path / "state")
    port, usual = (settings.prometheus_port, 9090) if name == "prometheus" else (settings.alertmanager_port, 9093)
    root = _mounted(services, name, tmp_path / "root")
    (root / name).mkdir()
    flags = [re.sub(r"=/(etc/|prometheus|alertmanager)", rf"={root}/\1", flag) for flag in services[name]["command"]]
    tool, *check = [part.replace(f":{usual}", f":{port}") for part in services[name]["healthcheck"]["test"][1:]]
    probe = [str(SETTINGS.binaries / tool), *check]
    assert _check(*probe).returncode != 0  # nothing is there yet
    command = [SETTINGS.binaries / name, *flags, f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            assert _becomes_healthy(probe, server)
        finally:
            server.terminate()


def _becomes_healthy(probe: list[str], server: "subprocess.Popen[bytes]", **environment: str) -> bool:
    deadline = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < deadline:
        if _check(*probe, **environment).returncode == 0:
            return True
        time.sleep(0.2)
    return False


def test_lokis_own_health_check_exists_and_tells_when_nothing_answers(services: dict[str, Any]) -> None:
    program, *flags = services["loki"]["healthcheck"]["test"][1:]
    assert program == "/usr/bin/loki"
    result = _check(SETTINGS.binaries / "loki", *flags, "-health.url=http://127.0.0.1:1/ready")
    assert result.returncode == 1
    assert "Health check failed" in result.stderr


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
    assert tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == "0.0.0.0:4317"


def _instructions() -> list[list[str]]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


def test_the_linter_has_nothing_against_the_dockerfile() -> None:
    result = _check(Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile")
    assert (result.returncode, result.stdout) == (0, "")


def test_the_image_gets_nothing_but_what_dockerignore_names() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for word, *rest in _instructions()
        if word == "COPY" and "--from=build" not in rest
        for source in rest[:-1]
    }
    assert copied == allowed
    assert all((ROOT / path).exists() for path in copied)
    assert ["USER", "10001:10001"] in _instructions()


@pytest.mark.parametrize(("name", "port"), [("inbox", 8093), ("demo-provider", 8010), ("demo-app", 8011)])
def test_our_programs_run_from_what_the_image_holds_and_their_health_checks_pass(
    services: dict[str, Any], name: str, port: int, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    for word, *rest in _instructions():
        if word == "COPY" and "--from=build" not in rest:
            for source in rest[:-1]:
                path = ROOT / source
                target = app / (rest[-1] if path.is_dir() else f"{rest[-1]}/{path.name}")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    settings = settings_at(tmp_path / "data")
    ports = {key: value for key, value in settings.variables().items() if key.endswith("_PORT")}
    hosts = {"INBOX_HOST": "127.0.0.1", "PROVIDER_HOST": "127.0.0.1", "DEMO_HOST": "127.0.0.1"}
    given = {**services[name].get("environment", {}), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    environment = {**given, **hosts, **ports, "GENAI_STACK_DIR": str(tmp_path / "data")}
    environment["PYTHONPATH"] = f"{app}:{app / 'instrumentation' / 'src'}"
    own = {8093: settings.inbox_port, 8010: settings.provider_port, 8011: settings.demo_port}[port]
    _, *command = services[name]["command"]
    _, *check = [part.replace(f":{port}/", f":{own}/") for part in services[name]["healthcheck"]["test"][1:]]
    probe = [sys.executable, *check]
    assert _check(*probe, **environment).returncode == 1
    with subprocess.Popen(
        [sys.executable, *command], cwd=app, env={"PATH": os.environ["PATH"], **environment}
    ) as program:
        try:
            assert _becomes_healthy(probe, program, **environment)
            if name == "inbox":
                with urllib.request.urlopen(f"http://127.0.0.1:{own}/runbooks") as page:
                    assert b"GenAIErrorBurst" in page.read()
        finally:
            program.terminate()
