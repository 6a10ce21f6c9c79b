"""Where everything is: the ports, addresses and folders of the stack, in one place."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Self, cast, get_args

Logs = Literal["victorialogs", "loki"]
"""The servers that keep log records."""

_REPOSITORY = Path(__file__).resolve().parents[1]


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ports (all on 127.0.0.1) and folders. Each port is set by the variable of the same name in capitals."""

    root: Path = _REPOSITORY
    """The repository: configuration files are read from here."""
    state: Path = _REPOSITORY / ".stack"
    """Everything written at run time: data, logs, process records (GENAI_STACK_DIR)."""
    binaries: Path = _REPOSITORY / ".stack" / "bin"
    """The built servers (GENAI_STACK_BIN; by default bin/ below the state folder)."""

    collector_grpc_port: int = 4317
    collector_http_port: int = 4318
    collector_health_port: int = 13133
    collector_metrics_port: int = 8888
    prometheus_port: int = 9090
    alertmanager_port: int = 9093
    victorialogs_port: int = 9428
    loki_port: int = 3100
    loki_grpc_port: int = 9095
    jaeger_port: int = 16686
    jaeger_query_grpc_port: int = 16685
    jaeger_otlp_port: int = 14317
    jaeger_health_port: int = 13134
    jaeger_metrics_port: int = 8889
    tempo_port: int = 3200
    """In containers only, in Jaeger's place."""
    inbox_port: int = 8093
    postgres_port: int = 15432
    """Not PostgreSQL's usual 5432, which a database of the user's own may have."""
    usage_port: int = 8094
    grafana_port: int = 3000
    provider_port: int = 8010
    demo_port: int = 8011

    logs: Logs = "victorialogs"
    """What keeps log records where there are no containers (LOGS); there it is always Loki."""
    provider_host: str = "127.0.0.1"
    """Where the demo's provider listens and is looked for; in containers another address (PROVIDER_HOST)."""
    demo_host: str = "127.0.0.1"
    """The same for the sample application (DEMO_HOST)."""

    secret_files: Path | None = None
    """The folder of the secrets, where not that of the repository (GENAI_STACK_SECRETS)."""
    usage_database_url: str = ""
    """A database of the user's own for the warehouse, as its owner (USAGE_DATABASE_URL); empty: the stack's own."""

    opt_in: str = ""
    """Which names the metrics of model calls have (OTEL_SEMCONV_STABILITY_OPT_IN, as applications know it)."""
    download_servers: bool = False
    """Whether servers are loaded as their projects release them, instead of built (SERVERS=download)."""

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, *, root: Path = _REPOSITORY) -> Self:
        """Reads the environment, over the `.env` file of the repository, over the defaults.

        Raises:
            SettingsError: a port is no number, out of range, or given to two servers; a line of `.env` is no KEY=VALUE;
                LOGS names no server; SERVERS is neither `build` nor `download`.
        """
        values = {**_read_env_file(root / ".env"), **(os.environ if environment is None else environment)}
        state = Path(values.get("GENAI_STACK_DIR") or root / ".stack").expanduser().absolute()
        binaries = Path(values.get("GENAI_STACK_BIN") or state / "bin").expanduser().absolute()
        ports = {name: _port(name.upper(), values, default) for name, default in _default_ports().items()}
        _require_different(ports)
        return cls(
            root=root,
            state=state,
            binaries=binaries,
            logs=_logs(values.get("LOGS", "").strip() or cls.logs),
            provider_host=values.get("PROVIDER_HOST") or cls.provider_host,
            demo_host=values.get("DEMO_HOST") or cls.demo_host,
            secret_files=Path(folder).absolute() if (folder := values.get("GENAI_STACK_SECRETS")) else None,
            usage_database_url=values.get("USAGE_DATABASE_URL") or cls.usage_database_url,
            opt_in=values.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").strip(),
            download_servers=_download_servers(values.get("SERVERS", "").strip()),
            **ports,
        )

    @property
    def secrets(self) -> Path:
        """Passwords and keys, one a file, kept out of git."""
        return self.secret_files or self.root / "secrets"

    @property
    def otlp_grpc_url(self) -> str:
        """Where applications send OTLP over gRPC."""
        return f"http://127.0.0.1:{self.collector_grpc_port}"

    @property
    def otlp_http_url(self) -> str:
        """Where applications send OTLP over HTTP."""
        return f"http://127.0.0.1:{self.collector_http_port}"

    @property
    def prometheus_url(self) -> str:
        """Prometheus' HTTP API."""
        return f"http://127.0.0.1:{self.prometheus_port}"

    @property
    def alertmanager_url(self) -> str:
        """Alertmanager's HTTP API."""
        return f"http://127.0.0.1:{self.alertmanager_port}"

    @property
    def victorialogs_url(self) -> str:
        """VictoriaLogs' HTTP API, and its page at /select/vmui."""
        return f"http://127.0.0.1:{self.victorialogs_port}"

    @property
    def loki_url(self) -> str:
        """Loki's HTTP API."""
        return f"http://127.0.0.1:{self.loki_port}"

    @property
    def logs_endpoint(self) -> str:
        """Where the log store takes OTLP."""
        if self.logs == "loki":
            return f"{self.loki_url}/otlp/v1/logs"
        return f"{self.victorialogs_url}/insert/opentelemetry/v1/logs"

    @property
    def jaeger_url(self) -> str:
        """Jaeger's query API over HTTP."""
        return f"http://127.0.0.1:{self.jaeger_port}"

    @property
    def inbox_url(self) -> str:
        """The inbox that keeps and shows alert messages."""
        return f"http://127.0.0.1:{self.inbox_port}"

    @property
    def usage_url(self) -> str:
        """The service that takes calls into the warehouse."""
        return f"http://127.0.0.1:{self.usage_port}"

    @property
    def grafana_url(self) -> str:
        """Grafana, where it is installed."""
        return f"http://127.0.0.1:{self.grafana_port}"

    @property
    def provider_url(self) -> str:
        """The simulated model provider of the demo."""
        return f"http://{self.provider_host}:{self.provider_port}"

    @property
    def demo_url(self) -> str:
        """The sample application of the demo."""
        return f"http://{self.demo_host}:{self.demo_port}"

    def variables(self) -> dict[str, str]:
        """The same settings as environment variables, for a child process."""
        ports = {name.upper(): str(getattr(self, name)) for name in _default_ports()}
        places = {
            "GENAI_STACK_DIR": str(self.state),
            "GENAI_STACK_BIN": str(self.binaries),
            "GENAI_STACK_SECRETS": str(self.secret_files or ""),
        }
        others = {
            "LOGS": self.logs,
            "USAGE_DATABASE_URL": self.usage_database_url,
            "OTEL_SEMCONV_STABILITY_OPT_IN": self.opt_in,
        }
        return {**places, **others, **ports}


def _default_ports() -> dict[str, int]:
    return {field.name: int(str(field.default)) for field in fields(Settings) if field.name.endswith("_port")}


def _download_servers(text: str) -> bool:
    if text not in ("", "build", "download"):
        raise SettingsError(f"SERVERS is {text!r}: it must be build or download.")
    return text == "download"


def _logs(name: str) -> Logs:
    if name not in get_args(Logs):
        raise SettingsError(f"LOGS is {name!r}: it must be {' or '.join(get_args(Logs))}.")
    return cast("Logs", name)


def _port(variable: str, values: Mapping[str, str], default: int) -> int:
    text = values.get(variable, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise SettingsError(f"{variable} is {text!r}: it must be a port number from 1 to 65535.")
    return int(text)


def _require_different(ports: Mapping[str, int]) -> None:
    taken: dict[int, str] = {}
    for name, port in ports.items():
        if port in taken:
            raise SettingsError(f"{taken[port].upper()} and {name.upper()} are both {port}: give one another port.")
        taken[port] = name


def _read_env_file(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error
    values: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        key, separator, value = text.partition("=")
        if not separator or not key.strip().isidentifier():
            raise SettingsError(f"{path}, line {number}: expected KEY=VALUE, found {text!r}.")
        values[key.strip()] = _value(value.strip())
    return values


def _value(text: str) -> str:
    """As Docker Compose reads it: what is in quotes, or else all before a comment."""
    quoted = re.match(r"""(["'])(.*?)\1""", text)
    return quoted[2] if quoted else re.split(r"\s#", text, maxsplit=1)[0].strip()
