"""Grafana's provisioning: what is named exists, and links survive Grafana's own replacing of variables."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from stack.dashboards.style import trace_link
from stack.native.servers import _grafana
from stack.settings import Settings
from stack.warehouse import OWNER, READER

_ROOT = Path(__file__).resolve().parents[2] / "grafana"
_ADDRESSES = {
    "PROMETHEUS_URL": "http://127.0.0.1:9090",
    "LOKI_URL": "http://127.0.0.1:3100",
    "TRACES_URL": "http://127.0.0.1:16686",
    "TRACES_TYPE": "jaeger",
    "ALERTMANAGER_URL": "http://127.0.0.1:9093",
    "WAREHOUSE_ADDRESS": "127.0.0.1:5432",
    "WAREHOUSE_DATABASE": "genai",
    "WAREHOUSE_SSLMODE": "disable",
    "WAREHOUSE_READER_PASSWORD": "secret",
    "DASHBOARDS_DIR": "/dashboards",
}


def _read(name: str) -> Any:
    """The file as Grafana reads it: a variable is replaced, a doubled dollar sign becomes one."""
    text = (_ROOT / "provisioning" / name).read_text(encoding="utf-8")
    content = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return yaml.safe_load(re.sub(r"\$\$|\${(\w+)}", lambda found: _ADDRESSES[found[1]] if found[1] else "$", content))


def _sources() -> dict[str, dict[str, Any]]:
    return {source["uid"]: source for source in _read("datasources/datasources.yaml")["datasources"]}


def test_the_data_sources_have_the_uids_that_everything_else_names() -> None:
    assert {uid: source["type"] for uid, source in _sources().items()} == {
        "prometheus": "prometheus",
        "loki": "loki",
        "tempo": "jaeger",
        "alertmanager": "alertmanager",
        "warehouse": "grafana-postgresql-datasource",
    }


def test_every_address_comes_from_the_environment() -> None:
    for source in _sources().values():
        assert source["url"] in _ADDRESSES.values()


def test_every_variable_that_is_needed_is_explained_at_the_top() -> None:
    text = (_ROOT / "provisioning" / "datasources" / "datasources.yaml").read_text(encoding="utf-8")
    head, _, body = text.partition("apiVersion")
    assert set(re.findall(r"(?<!\$)\${(\w+)}", body)) == set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", head))


def test_the_native_run_sets_every_variable_that_is_needed() -> None:
    set_there = _grafana(Settings.load(), Path("/usr/sbin/grafana")).environment
    assert set(_ADDRESSES) <= set(set_there)


def test_the_warehouse_is_asked_as_the_role_that_can_only_read() -> None:
    warehouse = _sources()["warehouse"]
    assert warehouse["user"] == READER
    assert warehouse["jsonData"]["database"] == OWNER


def test_natively_the_warehouse_is_the_stacks_own_or_the_users_and_its_password_stays_in_a_file(tmp_path: Path) -> None:
    def set_for(database: str) -> dict[str, str]:
        settings = replace(Settings.load(), state=tmp_path, postgres_port=15432, usage_database_url=database)
        environment = _grafana(settings, Path("/usr/sbin/grafana")).environment
        return {name: value for name, value in environment.items() if name.startswith("WAREHOUSE_")}

    own = set_for("")
    assert (own["WAREHOUSE_ADDRESS"], own["WAREHOUSE_DATABASE"]) == ("127.0.0.1:15432", "genai")
    assert own["WAREHOUSE_SSLMODE"] == "disable"
    assert re.fullmatch(r"\$__file{/.*/warehouse-reader-password}", own["WAREHOUSE_READER_PASSWORD"])
    users = set_for("postgresql://boss:secret@db.example.org/usage?sslmode=verify-full")
    assert (users["WAREHOUSE_ADDRESS"], users["WAREHOUSE_DATABASE"]) == ("db.example.org:5432", "usage")
    assert users["WAREHOUSE_SSLMODE"] == "verify-full"
    assert "secret@" not in str(users)


def test_metrics_logs_and_traces_lead_to_each_other() -> None:
    sources = _sources()
    [exemplar] = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplar == {"name": "trace_id", "datasourceUid": "tempo"}
    [to_trace] = sources["loki"]["jsonData"]["derivedFields"]
    assert (to_trace["matcherType"], to_trace["matcherRegex"]) == ("label", "trace_id")
    assert (to_trace["datasourceUid"], to_trace["url"]) == ("tempo", "${__value.raw}")
    to_logs = sources["tempo"]["jsonData"]["tracesToLogsV2"]
    assert to_logs["datasourceUid"] == "loki"
    assert to_logs["query"] == '{${__tags}} | trace_id="${__span.traceId}"'


def test_tables_link_to_the_trace_of_their_row() -> None:
    link = trace_link()
    assert "${__value.raw}" in link
    assert "%22uid%22%3A%22tempo%22" in link
    assert link in (_ROOT / "dashboards" / "overview.json").read_text(encoding="utf-8")


def test_the_dashboards_are_read_from_the_generated_files_and_cannot_be_changed_in_the_browser() -> None:
    [provider] = _read("dashboards/dashboards.yaml")["providers"]
    assert provider["options"]["path"] == _ADDRESSES["DASHBOARDS_DIR"]
    assert provider["allowUiUpdates"] is False
    for path in (_ROOT / "dashboards").glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["editable"] is False


def test_every_data_source_of_a_dashboard_is_provisioned() -> None:
    for path in (_ROOT / "dashboards").glob("*.json"):
        used = set(re.findall(r'"uid": "([a-z]+)"', path.read_text(encoding="utf-8")))
        assert used <= set(_sources()), path.name
