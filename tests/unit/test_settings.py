"""Settings: where a value comes from, and what is said about a wrong one."""

from pathlib import Path

import pytest

from stack.settings import Settings, SettingsError


def test_without_any_setting_the_documented_ports_are_used(tmp_path: Path) -> None:
    settings = Settings.load({}, root=tmp_path)
    assert settings.prometheus_url == "http://127.0.0.1:9090"
    assert settings.otlp_http_url == "http://127.0.0.1:4318"
    assert settings.state == tmp_path / ".stack"
    assert settings.binaries == tmp_path / ".stack" / "bin"


def test_the_environment_goes_before_the_env_file_and_that_before_the_default(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# ports\nLOKI_PORT=1111\nINBOX_PORT='2222'\n\nOPENAI_API_KEY=sk-a=b\n")
    settings = Settings.load({"LOKI_PORT": "3333", "JAEGER_PORT": ""}, root=tmp_path)
    assert (settings.loki_port, settings.inbox_port, settings.jaeger_port) == (3333, 2222, 16686)


def test_the_env_file_is_read_as_docker_compose_reads_it(tmp_path: Path) -> None:
    lines = ["LOKI_PORT=1111 # taken: 3100", "export INBOX_PORT=2222", 'GENAI_STACK_DIR="/a #1" # larger']
    (tmp_path / ".env").write_text("\n".join([*lines, "GENAI_STACK_BIN=/b#1", "GRAFANA_PORT="]))
    settings = Settings.load({}, root=tmp_path)
    assert (settings.loki_port, settings.inbox_port, settings.grafana_port) == (1111, 2222, 3000)
    assert (settings.state, settings.binaries) == (Path("/a #1"), Path("/b#1"))


def test_the_folders_can_be_moved(tmp_path: Path) -> None:
    moved = Settings.load({"GENAI_STACK_DIR": str(tmp_path / "elsewhere")}, root=tmp_path)
    assert moved.binaries == tmp_path / "elsewhere" / "bin"
    shared = Settings.load({"GENAI_STACK_DIR": "/a", "GENAI_STACK_BIN": "/b"}, root=tmp_path)
    assert (shared.state, shared.binaries) == (Path("/a"), Path("/b"))


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "90.5", "９０９０"])
def test_a_wrong_port_is_named_with_its_variable(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^PROMETHEUS_PORT is '{value}': it must be a port number"):
        Settings.load({"PROMETHEUS_PORT": value}, root=tmp_path)


def test_two_servers_on_one_port_are_both_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^PROMETHEUS_PORT and LOKI_PORT are both 3100"):
        Settings.load({"PROMETHEUS_PORT": "3100"}, root=tmp_path)


def test_a_wrong_line_of_the_env_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOKI_PORT=1111\nJAEGER_PORT 2222\n")
    with pytest.raises(SettingsError, match=r"\.env, line 2: expected KEY=VALUE, found 'JAEGER_PORT 2222'"):
        Settings.load({}, root=tmp_path)


def test_the_variables_for_a_child_process_give_it_the_same_settings(tmp_path: Path) -> None:
    settings = Settings.load({"LOKI_PORT": "3333", "GENAI_STACK_DIR": "/a"}, root=tmp_path)
    assert Settings.load(settings.variables(), root=tmp_path) == settings


def test_a_log_store_that_there_is_not_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    assert Settings.load({}, root=tmp_path).logs == "victorialogs"
    (tmp_path / ".env").write_text("LOGS=loki\n")
    assert Settings.load({}, root=tmp_path).variables()["LOGS"] == "loki"
    with pytest.raises(SettingsError, match=r"^LOGS is 'elastic': it must be victorialogs or loki\."):
        Settings.load({"LOGS": "elastic"}, root=tmp_path)
