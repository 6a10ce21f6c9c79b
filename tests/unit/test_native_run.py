"""The native stack on its real servers: up, again up, down, and every way in which starting can fail."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from stack.native import StackError, down, keeper, process, seconds_until_ready, status, up
from stack.native.servers import servers
from stack.native.upgrade import loki_data
from stack.settings import Settings
from tests.end_to_end.live import eventually
from tests.stores import settings_at

EVERY_SERVER = {"prometheus", "victorialogs", "jaeger", "alertmanager", "postgres", "usage", "inbox", "collector"}


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """The repository's configuration and built servers, with data, logs and ports of its own."""
    own = settings_at(tmp_path / "state")
    yield own
    down(own, volumes=True)
    assert process.find_all(state=own.state) == []


@pytest.fixture
def edited(settings: Settings, tmp_path: Path) -> Settings:
    """The same, with a copy of the configuration files that a test may change."""
    root = tmp_path / "repository"
    for name in EVERY_SERVER - {"inbox", "usage", "victorialogs"}:
        shutil.copytree(settings.root / name, root / name, ignore=shutil.ignore_patterns("distribution"))
    return replace(settings, root=root)


def _pids(settings: Settings) -> dict[str, int]:
    return {each.name: each.pid for each in process.find_all(state=settings.state)}


def _command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack.native", *arguments],
        env={**os.environ, **settings.variables()},
        cwd=settings.root,
        capture_output=True,
        text=True,
        check=False,
    )


def test_up_makes_every_server_ready_within_15_seconds_and_450_megabytes_on_loopback_only(settings: Settings) -> None:
    up(settings)
    states = {each.name: each for each in status(settings) if each.name in EVERY_SERVER}
    assert {name: each.state for name, each in states.items()} == dict.fromkeys(EVERY_SERVER, "ready")
    seconds = seconds_until_ready(settings.state)
    assert seconds is not None
    assert seconds <= 15
    assert sum(each.memory for each in states.values()) < 450e6
    pids = set(_pids(settings).values())
    listening = [each.laddr for each in psutil.net_connections() if each.pid in pids and each.status == "LISTEN"]
    assert {address[0] for address in listening if address} == {"127.0.0.1"}


def test_a_second_up_changes_nothing(settings: Settings) -> None:
    up(settings)
    before = _pids(settings)
    up(settings)
    assert _pids(settings) == before


def test_prometheus_scrapes_every_server_by_its_name(settings: Settings) -> None:
    up(settings)
    found: dict[str, str] = {}
    deadline = time.monotonic() + 30
    while found != dict.fromkeys(
        EVERY_SERVER - {"postgres"}, "1"
    ):  # which has no metrics: the usage service tells of it
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
        with urllib.request.urlopen(f"{settings.prometheus_url}/api/v1/query?query=up") as answer:
            result = json.load(answer)["data"]["result"]
        found = {each["metric"]["job"]: each["value"][1] for each in result}


def test_only_the_server_whose_configuration_changed_is_restarted(edited: Settings) -> None:
    up(edited, only={"jaeger", "victorialogs"})
    before = _pids(edited)
    configuration = edited.root / "jaeger" / "config.yaml"
    configuration.write_text(configuration.read_text() + "# changed\n")
    up(edited, only={"jaeger", "victorialogs"})
    after = _pids(edited)
    assert after["victorialogs"] == before["victorialogs"]
    assert after["jaeger"] != before["jaeger"]


def test_new_rules_and_routes_are_read_without_a_restart_that_would_forget_how_long_an_alert_has_waited(
    edited: Settings,
) -> None:
    rules = edited.root / "prometheus" / "rules" / "own.yaml"
    waiting = {"alert": "Waiting", "expr": "vector(1)", "for": "1h"}
    rules.write_text(yaml.safe_dump({"groups": [{"name": "own", "interval": "1s", "rules": [waiting]}]}))
    up(edited, only={"alertmanager", "prometheus"})
    before = _pids(edited)

    def since() -> str | None:
        answer = httpx.get(f"{edited.prometheus_url}/api/v1/alerts").json()["data"]["alerts"]
        return next((each["activeAt"] for each in answer if each["labels"]["alertname"] == "Waiting"), None)

    assert eventually(lambda: since() is not None)
    first = since()
    more = [waiting, {"record": "new:rule", "expr": "vector(2)"}]
    rules.write_text(yaml.safe_dump({"groups": [{"name": "own", "interval": "1s", "rules": more}]}))
    routes = edited.root / "alertmanager" / "alertmanager.yml"
    routes.write_text(routes.read_text().replace("resolve_timeout: 5m", "resolve_timeout: 6m"))
    said: list[str] = []
    up(edited, only={"alertmanager", "prometheus"}, report=said.append)
    assert [each for each in said if "reloading" in each] == [
        f"{name}: its configuration has changed, reloading" for name in ("prometheus", "alertmanager")
    ]
    assert _pids(edited) == before
    assert since() == first
    taken = httpx.get(f"{edited.alertmanager_url}/api/v2/status").json()["config"]["original"]
    assert "resolve_timeout: 6m" in taken
    assert eventually(
        lambda: httpx.get(f"{edited.prometheus_url}/api/v1/query?query=new:rule").json()["data"]["result"]
    )


@pytest.mark.parametrize("name", ["inbox", "usage"])
def test_a_service_of_ours_is_restarted_after_an_update_of_anything_that_it_imports(
    settings: Settings, name: str
) -> None:
    code = (
        f"import sys, stack.{name}.__main__\n"
        "print(*(found for each in sys.modules.values() if (found := getattr(each, '__file__', None))))"
    )
    imported = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.root, capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {Path(file) for file in imported if Path(file).is_relative_to(settings.root / "stack")}
    assert settings.root / "stack" / "settings.py" in ours
    (server,) = [each for each in servers(settings) if each.name == name]
    assert {file for file in ours if not any(file.is_relative_to(source) for source in server.sources)} == set()


def test_down_leaves_no_process_and_the_data_survive_it(settings: Settings) -> None:
    up(settings, only={"alertmanager"})
    amtool = [str(settings.binaries / "amtool"), f"--alertmanager.url={settings.alertmanager_url}", "silence"]
    silence = [*amtool, "add", "alertname=Kept", "--author=test", "--comment=kept", "--duration=1h"]
    subprocess.run(silence, check=True, capture_output=True)
    pids = set(_pids(settings).values())
    down(settings)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    up(settings, only={"alertmanager"})
    assert "Kept" in subprocess.run([*amtool, "query"], check=True, capture_output=True, text=True).stdout


def test_down_with_volumes_deletes_the_data(settings: Settings) -> None:
    up(settings, only={"prometheus"})
    assert (settings.state / "data" / "prometheus").is_dir()
    down(settings, volumes=True)
    assert not (settings.state / "data").exists()


def test_a_server_that_crashes_comes_back_and_one_that_is_ended_does_not(settings: Settings) -> None:
    up(settings, only={"alertmanager", "victorialogs"})
    keeper.start(settings)
    keeper.start(settings)  # one is enough
    first = _pids(settings)

    def restarts() -> int:
        (state,) = [each for each in status(settings) if each.name == "alertmanager"]
        return state.restarts

    for crashes in (1, 2):
        os.kill(_pids(settings)["alertmanager"], signal.SIGKILL)
        assert eventually(lambda crashes=crashes: restarts() == crashes)  # type: ignore[misc]
    assert _pids(settings)["victorialogs"] == first["victorialogs"]
    assert "alertmanager has ended by itself 2 times and was started again" in _command(settings, "status").stdout
    assert "alertmanager had ended by itself" in (settings.state / "logs" / "keeper.log").read_text()
    down(settings)
    time.sleep(3)
    assert process.find_all(state=settings.state) == []


def test_a_server_that_cannot_start_is_tried_with_growing_pauses(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    up(settings, only={"victorialogs"})
    tried: list[float] = []
    now = [1000.0]
    monkeypatch.setattr("stack.native.keeper.time.monotonic", lambda: now[0])
    kept = keeper.Keeper(settings)
    monkeypatch.setattr(kept, "_start", lambda _: tried.append(now[0]))  # and it is still away at the next look
    os.kill(_pids(settings)["victorialogs"], signal.SIGKILL)
    assert eventually(lambda: process.find_ended(state=settings.state))
    for _ in range(300):
        kept.look()
        now[0] += 1
    assert [later - earlier for earlier, later in pairwise([1000, *tried])][:8] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_data_that_cannot_be_deleted_are_an_error_that_names_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    up(settings, only={"prometheus"})

    def refuse(path: str, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", refuse)  # as an immutable file would: root may delete all else
        with pytest.raises(StackError, match=r"Not all data in .*/data could be deleted: .*Permission denied"):
            down(settings, volumes=True)
    assert (settings.state / "data").exists()


def test_down_of_a_stack_that_is_not_up_is_harmless(settings: Settings) -> None:
    down(settings)


def test_a_port_in_use_stops_up_before_anything_is_started(settings: Settings) -> None:
    port = settings.jaeger_metrics_port
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(StackError, match=rf"^Port {port} of jaeger \(JAEGER_METRICS_PORT\) is in use by "),
    ):
        up(settings)
    assert _pids(settings) == {}


def test_ports_that_another_stack_holds_are_said_with_where_that_one_runs(settings: Settings, tmp_path: Path) -> None:
    up(settings, only={"alertmanager"})
    other = replace(settings, state=tmp_path / "other")
    with pytest.raises(StackError, match=rf"\nAnother stack runs in {re.escape(str(Path.cwd()))}: `make down` there"):
        up(other, only={"alertmanager"})


LINE = r"(.*\n)+.*line \d+: "  # the server's own check says it
NEAR = r", near line \d+\.\n"  # the server's own check does not


@pytest.mark.parametrize(
    ("file", "right", "wrong", "expected"),
    [
        ("prometheus/prometheus.yml", "global:", "global: [", r", line \d+: "),
        ("prometheus/prometheus.yml", "scrape_timeout:", "scrape_timeot:", LINE),
        ("alertmanager/alertmanager.yml", "repeat_interval:", "repeat:", LINE),
        ("alertmanager/alertmanager.yml", "receiver: inbox", "receiver: pager", NEAR),
        ("jaeger/config.yaml", "ephemeral:", "ephemerous:", NEAR),
        ("collector/config.yaml", "block_on_overflow:", "block:", NEAR),
    ],
)
def test_a_broken_configuration_is_named_with_file_and_line_and_nothing_is_started(
    edited: Settings, file: str, right: str, wrong: str, expected: str
) -> None:
    path = edited.root / file
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    with pytest.raises(StackError, match=re.escape(str(path)) + expected):
        up(edited)
    assert _pids(edited) == {}


def test_the_line_that_is_named_is_the_one_that_was_broken(edited: Settings) -> None:
    path = edited.root / "collector" / "config.yaml"
    path.write_text(path.read_text().replace("spike_limit_mib", "spike_limit_gib"))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "spike_limit_gib" in text)
    with pytest.raises(StackError, match=rf"config\.yaml, near line {line}\."):
        up(edited)


def test_a_broken_rule_is_named_with_file_and_line(edited: Settings) -> None:
    rules = edited.root / "prometheus" / "rules"
    rules.mkdir(exist_ok=True)
    (rules / "own.yaml").write_text("groups:\n  - name: own\n    rules:\n      - record: a:b\n        expr: sum(\n")
    with pytest.raises(StackError, match=r"prometheus/rules/own\.yaml: 5:\d+: .*parse error"):
        up(edited)


def test_an_alertmanager_without_the_inbox_is_refused(edited: Settings) -> None:
    path = edited.root / "alertmanager" / "alertmanager.yml"
    path.write_text(path.read_text().replace("http://inbox:8093", "http://elsewhere"))
    with pytest.raises(StackError, match=r"alertmanager\.yml has no receiver at http://inbox:8093"):
        up(edited)


def test_a_server_that_dies_while_starting_shows_why_and_takes_the_others_with_it(settings: Settings) -> None:
    data = settings.state / "data" / "prometheus"
    data.mkdir(parents=True)
    (data / "wal").write_text("this should be a folder")
    with pytest.raises(StackError) as error:
        up(settings)
    message = str(error.value)
    assert message.startswith("prometheus ended while starting (exit code 1).\n")
    assert "not a directory" in message
    assert message.endswith(f"Whole log: {settings.state}/logs/prometheus.log")
    assert _pids(settings) == {}


def test_up_says_where_the_logs_of_an_earlier_loki_lie_how_long_and_how_to_read_them(settings: Settings) -> None:
    assert loki_data(settings) is None
    folder = settings.state / "data" / "loki"
    (folder / "chunks").mkdir(parents=True)
    said = loki_data(settings)
    assert said
    assert f"are in {folder}: they stay until you delete that folder" in said
    assert "`LOGS=loki make up` reads and goes on with them" in said
    assert loki_data(replace(settings, logs="loki")) is None
    up(settings)
    shown = _command(settings, "up")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.endswith(said + "\n")


@pytest.mark.skipif(not shutil.which("loki"), reason="Loki is not built here: it runs where it is on the PATH")
def test_with_logs_loki_the_loki_of_the_path_runs_in_the_place_of_victorialogs_and_back(settings: Settings) -> None:
    up(settings)
    with_loki = replace(settings, logs="loki")
    up(with_loki)
    assert _pids(settings).keys() == EVERY_SERVER - {"victorialogs"} | {"loki"}
    collector = next(server for server in servers(with_loki) if server.name == "collector")
    assert collector.environment["LOGS_ENDPOINT"] == f"{settings.loki_url}/otlp/v1/logs"
    up(settings)
    assert _pids(settings).keys() == EVERY_SERVER


def test_servers_that_are_not_built_are_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"^Not built yet: victoria-logs\. Run `make up`"):
        up(replace(settings, binaries=tmp_path), only={"victorialogs"})


def test_a_second_command_at_the_same_time_is_told_so(settings: Settings) -> None:
    code = (
        "import sys, time, pathlib\nfrom stack.native import run\n"
        f"with run.locked(pathlib.Path({str(settings.state)!r})): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StackError, match=r"^Another command is starting or stopping the stack"):
            up(settings)
        other.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_leaves_no_process(settings: Settings, number: signal.Signals) -> None:
    command_line = [sys.executable, "-m", "stack.native", "up"]
    environment = {**os.environ, **settings.variables()}
    with subprocess.Popen(command_line, env=environment, stderr=subprocess.PIPE, text=True) as command:
        deadline = time.monotonic() + 20
        while not _pids(settings):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        command.send_signal(number)
        _, message = command.communicate(timeout=30)
    assert (command.returncode, message) == (130, "Interrupted.\n")
    assert _pids(settings) == {}


def test_the_commands_print_state_logs_and_errors_and_end_with_the_right_code(settings: Settings) -> None:
    up(settings, only={"alertmanager"})
    shown = _command(settings, "status")
    assert shown.returncode == 0
    assert settings.alertmanager_url in shown.stdout
    assert "Together" in shown.stdout
    assert "The last `make up` was ready after" in shown.stdout
    lines = _command(settings, "logs", "alertmanager")
    assert "alertmanager" in lines.stdout
    unknown = _command(settings, "logs", "oracle")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == "Error: There is no log of 'oracle'. There are: alertmanager.\n"
    stopped = _command(settings, "down")
    assert stopped.stdout == "alertmanager has ended\n"
