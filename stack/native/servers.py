"""What the servers of the stack are: one entry each."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.native import postgres
from stack.native.process import Program, StackError
from stack.secret_files import GRAFANA_PASSWORD, WAREHOUSE_PASSWORDS
from stack.settings import Settings
from stack.warehouse import READER, whereabouts, without_owner

# Everything on one machine, beside the user's own work: the heap may grow by half, not by its own size, before it is
# collected. Measured idle, this saves a quarter of the memory for a few per cent of one core.
_THRIFTY = {"GOGC": "50"}
# The stores hold most of the memory and work little in between: by a fifth. After the demo's traffic, 40 MB less.
_THRIFTIER = {"GOGC": "20"}


@dataclass(frozen=True, kw_only=True)
class Server(Program):
    """A server of the stack."""

    url: str
    """Where it can be reached."""
    configuration: str = ""
    """The file it is given, below its folder in the repository."""
    check: tuple[str, ...] = ()
    """The command that checks that file."""
    sources: tuple[Path, ...] = ()
    """Its program and what that reads, where it is not the file that is executed: changed, it is restarted by the next
    `up`."""
    reloads: bool = False
    """Whether it reads its configuration again by SIGHUP, and tells in its metrics when it has: what it knows of alerts
    that wait for their time outlives a change of the rules."""
    without: tuple[str, ...] = ("OTEL_", "PG")
    """What the user has set for an application must not make the servers send telemetry about themselves; nor may what
    libpq reads lead them to another database."""
    wave: int = 1
    """Servers of a later wave are started once those of the earlier ones are ready."""


def servers(settings: Settings) -> list[Server]:
    """All servers of the stack, in the order in which they are started.

    Raises:
        StackError: the user wants one that is not there.
    """
    binary, data, configuration = settings.binaries, settings.state / "data", settings.state / "config"
    ports = {name: int(value) for name, value in settings.variables().items() if name.endswith("_PORT")}
    entries = [
        Server(
            name="prometheus",
            command=(
                f"{binary}/prometheus",
                f"--config.file={configuration}/prometheus/prometheus.yml",
                f"--storage.tsdb.path={data}/prometheus",
                f"--web.listen-address=127.0.0.1:{settings.prometheus_port}",
                f"--web.external-url={settings.prometheus_url}",
                "--web.enable-otlp-receiver",
                # Alertmanager takes an alert for ended four times this after it last heard of it: a restart takes less
                # than 2 minutes, and a dead Prometheus is to be noticed soon.
                "--rules.alert.resend-delay=30s",
                # From a point of a graph to its trace; counters that start at 0, so that the first call counts;
                # `anchored` range selectors, which count exactly.
                "--enable-feature=exemplar-storage",
                "--enable-feature=created-timestamp-zero-ingestion",
                "--enable-feature=promql-extended-range-selectors",
            ),
            environment=_THRIFTIER,
            ports=_pick(ports, "PROMETHEUS_PORT"),
            url=settings.prometheus_url,
            health_url=f"{settings.prometheus_url}/-/ready",
            configuration="prometheus.yml",
            reloads=True,
            check=(
                f"{binary}/promtool",
                "--enable-feature=promql-extended-range-selectors",
                "check",
                "config",
                f"{configuration}/prometheus/prometheus.yml",
            ),
        ),
        _loki(settings, ports) if settings.logs == "loki" else _victorialogs(settings, ports),
        Server(
            name="jaeger",
            command=(f"{binary}/jaeger", f"--config={configuration}/jaeger/config.yaml"),
            environment={
                **_THRIFTIER,
                "JAEGER_DATA_DIR": f"{data}/jaeger",
                **{name: str(port) for name, port in ports.items() if name.startswith("JAEGER_")},
            },
            ports={name: port for name, port in ports.items() if name.startswith("JAEGER_")},
            url=settings.jaeger_url,
            health_url=f"http://127.0.0.1:{settings.jaeger_health_port}/status",
            configuration="config.yaml",
            check=(f"{binary}/jaeger", "validate", f"--config={configuration}/jaeger/config.yaml"),
        ),
        Server(
            name="alertmanager",
            command=(
                f"{binary}/alertmanager",
                f"--config.file={configuration}/alertmanager/alertmanager.yml",
                f"--storage.path={data}/alertmanager",
                f"--web.listen-address=127.0.0.1:{settings.alertmanager_port}",
                f"--web.external-url={settings.alertmanager_url}",
                "--cluster.listen-address=",  # no other instance: it would listen on every interface
                "--data.maintenance-interval=5s",  # how long a new silence may be lost by a crash; 15 minutes otherwise
            ),
            environment=_THRIFTY,
            ports=_pick(ports, "ALERTMANAGER_PORT"),
            url=settings.alertmanager_url,
            health_url=f"{settings.alertmanager_url}/-/ready",
            configuration="alertmanager.yml",
            reloads=True,
            check=(f"{binary}/amtool", "check-config", f"{configuration}/alertmanager/alertmanager.yml"),
        ),
        *([] if settings.usage_database_url else [_postgres(settings)]),
        Server(
            name="usage",
            command=(sys.executable, "-m", "stack.usage"),
            sources=(settings.root / "stack", settings.root / "postgres"),
            environment={
                **settings.variables(),
                "GENAI_STACK_SECRETS": str(settings.secrets),
                "WAREHOUSE_HOST": "127.0.0.1",
                "USAGE_HOST": "127.0.0.1",
                "POSTGRES_DATA_DIR": "" if settings.usage_database_url else str(postgres.place(settings.state).data),
            },
            ports=_pick(ports, "USAGE_PORT"),
            url=settings.usage_url,
            health_url=f"{settings.usage_url}/healthz",
            wave=2,  # once its database is there
        ),
        Server(
            name="inbox",
            command=(sys.executable, "-m", "stack.inbox"),
            sources=(settings.root / "stack",),
            environment={
                **settings.variables(),
                "USAGE_DATABASE_URL": without_owner(settings.usage_database_url),
                "GENAI_STACK_SECRETS": str(settings.secrets),
                "WAREHOUSE_HOST": "127.0.0.1",
                "PROMETHEUS_URL": settings.prometheus_url,
                "ALERTMANAGER_URL": settings.alertmanager_url,
            },
            ports=_pick(ports, "INBOX_PORT"),
            url=settings.inbox_url,
            health_url=f"{settings.inbox_url}/healthz",
        ),
        Server(
            name="collector",
            command=(f"{binary}/otelcol", f"--config={configuration}/collector/config.yaml"),
            environment={
                **_THRIFTY,
                "COLLECTOR_HOST": "127.0.0.1",
                "COLLECTOR_QUEUE_DIR": f"{data}/collector",
                "PROMETHEUS_URL": settings.prometheus_url,
                "LOGS_ENDPOINT": settings.logs_endpoint,
                "USAGE_URL": settings.usage_url,
                "TRACES_ENDPOINT": f"127.0.0.1:{settings.jaeger_otlp_port}",
                **{name: str(port) for name, port in ports.items() if name.startswith("COLLECTOR_")},
            },
            ports={name: port for name, port in ports.items() if name.startswith("COLLECTOR_")},
            url=settings.otlp_http_url,
            health_url=f"http://127.0.0.1:{settings.collector_health_port}/",
            configuration="config.yaml",
            check=(f"{binary}/otelcol", "validate", f"--config={configuration}/collector/config.yaml"),
            wave=2,  # once the stores can take what it has kept
        ),
    ]
    if grafana := shutil.which("grafana"):
        entries.append(_grafana(settings, Path(grafana)))
    return entries


def metrics_addresses(settings: Settings) -> dict[str, str]:
    """Where Prometheus finds each server's own metrics, by the job label of their series."""
    ports = {
        "collector": settings.collector_metrics_port,
        "prometheus": settings.prometheus_port,
        settings.logs: settings.loki_port if settings.logs == "loki" else settings.victorialogs_port,
        "jaeger": settings.jaeger_metrics_port,
        "alertmanager": settings.alertmanager_port,
        "inbox": settings.inbox_port,
        "usage": settings.usage_port,
        **({"grafana": settings.grafana_port} if shutil.which("grafana") else {}),
    }
    return {job: f"127.0.0.1:{port}" for job, port in ports.items()}


def _postgres(settings: Settings) -> Server:
    """The warehouse. Its settings are arguments, as the user that it runs as may be unable to enter our folders."""
    where = postgres.place(settings.state)
    arguments = [
        argument
        for setting in _settings_of(settings.root / "postgres" / "postgresql.conf")
        for argument in ("-c", setting)
    ]
    own = ("-c", "listen_addresses=127.0.0.1", "-c", f"port={settings.postgres_port}", "-c", "unix_socket_directories=")
    return Server(
        name="postgres",
        command=where.command("postgres", "-D", str(where.data), *own, *arguments),
        user=where.user,
        ports={"POSTGRES_PORT": settings.postgres_port},
        url=f"postgresql://127.0.0.1:{settings.postgres_port}",
        health_command=where.command("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(settings.postgres_port)),
        stop_signal=signal.SIGINT,  # without waiting for clients to go
    )


def _settings_of(file: Path) -> list[str]:
    lines = (re.sub(r"\s#.*", "", line).strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [re.sub(r"\s*=\s*'?(.*?)'?$", r"=\1", line) for line in lines if line and not line.startswith("#")]


def _victorialogs(settings: Settings, ports: Mapping[str, int]) -> Server:
    """Keeps log records. All its configuration is on its command line."""
    return Server(
        name="victorialogs",
        command=(
            f"{settings.binaries}/victoria-logs",
            f"-httpListenAddr=127.0.0.1:{settings.victorialogs_port}",
            f"-storageDataPath={settings.state}/data/victorialogs",
            "-retentionPeriod=14d",  # as Loki in containers
            # Whole days go, the oldest first, before a flood of lines fills the disk. A share of the disk
            # (-retention.maxDiskUsagePercent) would count what others keep there, and delete for them.
            "-retention.maxDiskSpaceUsageBytes=20GB",
            # Below this it answers 429, and the Collector keeps the lines. More than the usual 10 MB: metrics, traces
            # and the Collector's queue are on the same disk.
            "-storage.minFreeDiskSpaceBytes=500MB",
            # How much a crash of the server may lose; 5 s otherwise, and a second is the least.
            "-inmemoryDataFlushInterval=1s",
            # Of caches and of what queries hold; otherwise 60 % of the machine's memory, which is for others, too.
            "-memory.allowedBytes=256MB",
            "-defaultMsgValue=",  # a record without a text has none; otherwise it gets a sentence of VictoriaLogs
            "-delete.enable",  # lines of one person are deleted on request, by /delete/run_task
            "-http.disableCORS",  # else any page that the user's browser opens could read the lines
            "-loggerLevel=WARN",  # at INFO its start alone is a page
        ),
        environment=_THRIFTIER,
        ports=_pick(ports, "VICTORIALOGS_PORT"),
        url=settings.victorialogs_url,
        health_url=f"{settings.victorialogs_url}/health",
    )


def _loki(settings: Settings, ports: Mapping[str, int]) -> Server:
    """Keeps log records where the user has it and asks for it: it is not built here.

    Raises:
        StackError: the user does not have it.
    """
    binary = shutil.which("loki")
    if binary is None:
        raise StackError("LOGS=loki, but there is no program loki on the PATH: install it, or leave LOGS out.")
    configuration = f"{settings.state}/config/loki/config.yaml"
    command = (binary, f"-config.file={configuration}", "-config.expand-env=true")
    return Server(
        name="loki",
        command=command,
        environment={
            **_THRIFTY,
            "LOKI_HOST": "127.0.0.1",
            "LOKI_PORT": str(settings.loki_port),
            "LOKI_GRPC_PORT": str(settings.loki_grpc_port),
            "LOKI_DATA_DIR": f"{settings.state}/data/loki",
        },
        ports=_pick(ports, "LOKI_PORT", "LOKI_GRPC_PORT"),
        url=settings.loki_url,
        health_url=f"{settings.loki_url}/ready",
        configuration="config.yaml",
        check=(*command, "-verify-config"),
    )


def _grafana(settings: Settings, binary: Path) -> Server:
    """Grafana is not built here: it runs where its package is installed."""
    configuration = settings.state / "config" / "grafana"
    packaged = binary.resolve().parents[1]  # an unpacked archive: bin/grafana beside conf/ and public/
    home = packaged if (packaged / "conf" / "defaults.ini").exists() else Path("/usr/share/grafana")
    return Server(
        name="grafana",
        command=(str(binary), "server", f"--homepath={home}"),
        environment={
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": str(settings.grafana_port),
            "GF_PATHS_DATA": f"{settings.state}/data/grafana",
            "GF_PATHS_LOGS": f"{settings.state}/data/grafana/log",
            "GF_PATHS_PROVISIONING": f"{configuration}/provisioning",
            "GF_SECURITY_ADMIN_PASSWORD__FILE": str(settings.secrets / GRAFANA_PASSWORD),
            "GF_AUTH_ANONYMOUS_ENABLED": "false",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "DASHBOARDS_DIR": f"{configuration}/dashboards",
            "PROMETHEUS_URL": settings.prometheus_url,
            "LOKI_URL": settings.loki_url,
            "TRACES_URL": settings.jaeger_url,
            "TRACES_TYPE": "jaeger",
            "ALERTMANAGER_URL": settings.alertmanager_url,
            **_warehouse(settings),
        },
        ports={"GRAFANA_PORT": settings.grafana_port},
        url=settings.grafana_url,
        health_url=f"{settings.grafana_url}/api/health",
        wave=2,
    )


def _warehouse(settings: Settings) -> dict[str, str]:
    """Where Grafana finds the warehouse: the stack's own, or the user's. The password stays in its file."""
    place = whereabouts(settings)
    return {
        "WAREHOUSE_ADDRESS": place.address,
        "WAREHOUSE_DATABASE": place.database,
        "WAREHOUSE_SSLMODE": place.sslmode,
        "WAREHOUSE_READER_PASSWORD": f"$__file{{{settings.secrets / WAREHOUSE_PASSWORDS[READER]}}}",
    }


def _pick(ports: Mapping[str, int], *names: str) -> dict[str, int]:
    return {name: ports[name] for name in names}
