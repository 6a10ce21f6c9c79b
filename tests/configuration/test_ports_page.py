"""docs/ports.md, held to the settings of the native run, to compose.yaml and to the servers' configuration."""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

from stack.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]


class Row(NamedTuple):
    port: str
    variable: str
    server: str
    who: str
    native: str
    containers: str


ROWS = [
    Row(*(cell.strip().strip("`") for cell in line.strip("|").split("|")))
    for line in re.findall(r"^\|[ \d].*\|$", (ROOT / "docs/ports.md").read_text(), re.MULTILINE)
    if line[2].isdigit()
]
PUBLISHED = {"published", "--profile demo"}


def test_every_port_of_the_settings_is_listed_with_its_variable_and_number() -> None:
    settings = Settings.load({}, root=Path("/nonexistent")).variables()
    ports = {name: value for name, value in settings.items() if name.endswith("_PORT")}
    assert {row.variable: row.port for row in ROWS if row.variable != "none"} == ports
    assert {row.server for row in ROWS if row.native == "–"} == {"Tempo"}


def test_exactly_the_ports_that_compose_publishes_are_listed_as_published() -> None:
    mappings = [
        (name, re.fullmatch(r"127\.0\.0\.1:\$\{(\w+):-(\d+)\}:(\d+)", port))
        for name, service in COMPOSE.items()
        for port in service.get("ports", [])
    ]
    published = {}
    for name, mapping in mappings:
        assert mapping, name
        inside = "5432" if name == "postgres" else mapping[2]  # as the page says; all others are the same outside
        assert mapping[3] == inside, name
        published[mapping[1]] = (mapping[2], "--profile demo" if COMPOSE[name].get("profiles") else "published")
    assert {row.variable: (row.port, row.containers) for row in ROWS if row.containers in PUBLISHED} == published


def test_what_is_inside_the_containers_alone_is_where_the_servers_listen() -> None:
    collector = (ROOT / "collector/config.yaml").read_text()
    loki = (ROOT / "loki/config.yaml").read_text()
    tempo = yaml.safe_load((ROOT / "tempo/config.yaml").read_text())
    listens = set()
    for variable in ("COLLECTOR_HEALTH_PORT", "COLLECTOR_METRICS_PORT"):
        listens |= {("Collector", port) for port in re.findall(rf"\{{env:{variable}:-(\d+)\}}", collector)}
    listens |= {("Loki", port) for port in re.findall(r"grpc_listen_port: \$\{LOKI_GRPC_PORT:-(\d+)\}", loki)}
    listens |= {("usage service", port) for port in re.findall(r"USAGE_URL:-http://usage:(\d+)", collector)}
    otlp = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    listens |= {("Tempo", otlp.rpartition(":")[2]), ("Tempo", str(tempo["server"]["grpc_listen_port"]))}
    assert {(row.server, row.port) for row in ROWS if row.containers == "inside"} == listens
    assert {row.server for row in ROWS if row.containers == "–"} == {"Jaeger", "VictoriaLogs"}
