"""Alerts on this stack itself, on what applications fail to send it, and the dead man's switch.

The names of the servers' metrics are theirs. The Collector's own counters end without `_total`, those of Jaeger, which
is built on an older Collector, with it.
"""

from collections.abc import Iterable

from genai_observability.signals import PRICES_AGE

from stack.rules.model import Alert, Group, Recording, percent
from stack.rules.promql import SERVICE, count_within, firing, series, total
from stack.thresholds import SEVERITIES, Disk, Duration, Severity, Thresholds

SERVERS = ("collector", "prometheus", "alertmanager", "inbox", "usage")
"""Scraped in every installation; the label ``job`` of a scrape target is the server's name."""
LOG_STORES = ("victorialogs", "loki")
"""One of them keeps the logs, depending on how the stack is run."""
TRACE_STORES = ("jaeger", "tempo")
"""Likewise the traces."""
VIEWER = "grafana"
"""Shows everything and keeps nothing; it is there in containers, and natively where it is installed."""

WATCHDOG = "GenAIWatchdog"
"""Always firing: whoever no longer hears it outside knows that no alert would come through."""

STACK = "observability-stack"
_SERVER = {"server": "{{ $labels.job }}"}
_JOB = ("job",)
KINDS = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}
"""What the Collector calls the items of each signal in the names of its metrics."""

LOST = "job_signal:genai_stack_lost:increase15m"
SENT = "job_signal:genai_stack_sent:increase15m"

_VICTORIALOGS = '{path="/insert/opentelemetry/v1/logs"}'
"""What the Collector sends it."""

_LOSING_NOW = (
    "prometheus_tsdb_wal_writes_failed_total",
    "loki_ingester_wal_disk_full_failures_total",
)
"""What is accepted now is gone if the server ends."""
_UNHEALTHY = (
    "prometheus_tsdb_wal_corruptions_total",
    "prometheus_tsdb_wal_truncations_failed_total",
    "prometheus_tsdb_checkpoint_creations_failed_total",
    "prometheus_tsdb_head_truncations_failed_total",
    "prometheus_tsdb_mmap_chunk_corruptions_total",
    "prometheus_tsdb_compactions_failed_total",
    "prometheus_tsdb_reloads_failures_total",
    "loki_ingester_checkpoint_creations_failed_total",
    "loki_ingester_chunks_flush_failures_total",
    "tempodb_blocklist_poll_errors_total",
    "tempodb_compaction_errors_total",
    "alertmanager_nflog_maintenance_errors_total",
    "alertmanager_silences_maintenance_errors_total",
)
"""Old data may be damaged, or files are not cleaned up and will fill the disk."""


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """A server that is down and the dead man's switch, at once; everything that announces itself, with patience."""
    return (
        Group(
            name="genai_stack_health",
            interval=Duration("5s"),
            rules=(_server_down(thresholds), _viewer_down(thresholds), _notifications_failing(), _watchdog()),
        ),
        Group(
            name="genai_stack_data",
            interval=Duration("15s"),
            rules=(
                *(_queue_filling(thresholds, severity) for severity in SEVERITIES),
                _refused(),
                *_lost_and_sent(),
                *(_lost(thresholds, severity) for severity in SEVERITIES),
                _store_errors(thresholds),
                *(_storage_trouble(severity) for severity in SEVERITIES),
                *(_disk_filling(thresholds, severity) for severity in SEVERITIES),
            ),
        ),
        Group(
            name="genai_warehouse",
            interval=Duration("5s"),
            rules=(
                _warehouse_down(thresholds),
                *(_usage_lag(thresholds, severity) for severity in SEVERITIES),
                _usage_refused(thresholds),
                _query_slow(thresholds),
                _partitions_missing(thresholds),
                _offenders_stale(thresholds),
            ),
        ),
        Group(
            name="genai_stack_upkeep",
            interval=Duration("15s"),
            rules=(
                _rules_failing(),
                _rules_slow(),
                _configuration_rejected(),
                _prices_old(thresholds),
                _application_silent(thresholds),
            ),
        ),
    )


# --- At once ---------------------------------------------------------------------------------------------------------


def _server_down(thresholds: Thresholds) -> Alert:
    # A target that vanished from the scrape configuration has no `up` at all.
    absent = "\n".join(f'or absent(up{{job="{server}"}})' for server in SERVERS)
    stores = {"log store": "|".join(LOG_STORES), "trace store": "|".join(TRACE_STORES)}
    none = "\n".join(
        f'or label_replace(absent(up{{job=~"{either}"}}), "job", "{name}", "", "")' for name, either in stores.items()
    )
    return Alert(
        name="GenAIStackServerDown",
        severity="critical",
        expr=f'up{{job=~"{"|".join((*SERVERS, *LOG_STORES, *TRACE_STORES))}"}} == 0\n{absent}\n{none}',
        for_=thresholds.server_down.for_,
        why="for: a restart takes less. The scrape (10 s) and the message (2 s) come on top, all within a minute.",
        service=STACK,
        labels=_SERVER,
        summary="The {{ $labels.job }} of the observability stack is down",
        description="Prometheus cannot reach it. Applications are not affected; what they report is kept by the "
        "Collector while it runs and its disk lasts.",
        impact="Users notice nothing; until it is back, data, alerts or messages are missing or late.",
    )


def _viewer_down(thresholds: Thresholds) -> Alert:
    return Alert(
        name="GenAIStackServerDown",
        severity="warning",
        expr=f'up{{job="{VIEWER}"}} == 0',
        for_=thresholds.server_down.for_,
        why="for: a restart takes less. A warning: nothing is lost and all alerts come while nobody sees dashboards.",
        service=STACK,
        labels=_SERVER,
        summary="The {{ $labels.job }} of the observability stack is down",
        description="The dashboards cannot be opened. Everything is still stored, and alerts still come.",
        impact="Users notice nothing; whoever looks for a fault does so without dashboards.",
    )


def _notifications_failing() -> Alert:
    failed = total(count_within("alertmanager_notifications_failed_total", "5m"), ("job", "integration"))
    dropped = total(count_within("prometheus_notifications_dropped_total", "5m"), _JOB)
    # The inbox is a webhook, too. What failed while it was down is counted for 5 minutes more.
    inbox_down = firing("GenAIStackServerDown", 'server="inbox"')
    inbox = f"last_over_time({inbox_down}[6m])"
    return Alert(
        name="GenAINotificationsFailing",
        severity="critical",
        # While the inbox or Alertmanager is away, that has an alert of its own.
        expr=f'{failed} >= 2\nunless on (integration) label_replace({inbox}, "integration", "webhook", "", "")\n'
        f'or {dropped} >= 2 and on () min_over_time(up{{job="alertmanager"}}[5m]) == 1',
        keep_firing_for=Duration("5m"),
        why="No `for`: a failure is counted when 10 s (critical) or a minute of attempts did not help, and it takes "
        "two. keep_firing_for: a channel that works now and then is one alert.",
        service=STACK,
        labels=_SERVER,
        summary="Messages about alerts do not get through{{ with $labels.integration }} to {{ . }}{{ end }}: "
        '{{ $value | printf "%.0f" }} failed within 5 minutes',
        description="People are not told of alerts on this channel. Alertmanager goes on trying; the inbox and the "
        "other channels still have everything. Without a channel named here, Prometheus cannot hand alerts to "
        "Alertmanager.",
        impact="People on call are not told of alerts on this channel: the inbox has to be watched.",
    )


def _watchdog() -> Alert:
    return Alert(
        name=WATCHDOG,
        severity="info",
        expr="vector(1)",
        why="It always fires: the silence is the alarm.",
        service=STACK,
        summary="The way from Prometheus through Alertmanager to the outside works ({{ $value }})",
        description="Sent again and again to the heartbeat address of stack/channels.yaml, and to nobody else. The "
        "service there raises the alarm when it stops: Prometheus or Alertmanager is dead then, and no other alert "
        "would come.",
        impact="Nobody, as long as this is heard; without it no other alert would come either.",
    )


# --- Data ------------------------------------------------------------------------------------------------------------


def queues(selector: str = "") -> str:
    """How full each queue of the Collector is, by what is in it; that of the warehouse has the calls of the logs."""
    share = f"otelcol_exporter_queue_size{selector} / otelcol_exporter_queue_capacity{selector}"
    named = f'label_replace({share}, "data_type", "calls", "exporter", "otlp_http/usage")'
    return f"max by (job, data_type) ({named})"


def _queue_filling(thresholds: Thresholds, severity: Severity) -> Alert:
    limit = thresholds.collector_queue.at(severity)
    return Alert(
        name="GenAICollectorQueueFilling",
        severity=severity,
        expr=f"{queues()} > {limit.above:.15g}",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: a store that restarts is caught up with in less. keep_firing_for: a queue that empties in steps is "
        "one alert.",
        service=STACK,
        labels={**_SERVER, "signal": "{{ $labels.data_type }}"},
        summary="The Collector's queue of {{ $labels.data_type }} is {{ $value | humanizePercentage }} full",
        description="It takes in more than the store behind it accepts. Nothing is lost until the queue is full; then "
        "applications are made to wait, and drop what they cannot hold.",
        impact="Users notice nothing; data and the alerts on it come late, and are lost once the queue is full.",
    )


def _refused() -> Alert:
    return Alert(
        name="GenAITelemetryRefused",
        severity="warning",
        expr=by_signal(count_within(f"otelcol_receiver_refused_{kind}", "1m") for kind in KINDS.values()) + " > 0",
        for_=Duration("5m"),
        keep_firing_for=Duration("5m"),
        why="for: applications send again what was refused, so a moment costs nothing. keep_firing_for: memory that "
        "goes up and down around the limit is one alert.",
        service=STACK,
        labels={**_SERVER, "signal": "{{ $labels.signal }}"},
        summary='The Collector refuses {{ $labels.signal }}: {{ $value | printf "%.0f" }} items within a minute',
        description="Its memory is at the limit. Applications keep what is refused and send it again, "
        "but not for ever: what does not fit into their queues is lost.",
        impact="Users notice nothing; data comes late, and is lost once the applications' own queues are full.",
    )


def _lost_and_sent() -> tuple[Recording, ...]:
    # VictoriaLogs takes a record that is too old, or has too many fields, and then drops it: only itself counts that.
    dropped, taken = (
        _named_logs(total(count_within(f"vl_rows_{what}_total", "15m"), _JOB)) for what in ("dropped", "ingested")
    )
    failed = by_signal(_grown(f"otelcol_exporter_send_failed_{kind}", "15m") for kind in KINDS.values())
    sent = by_signal(count_within(f"otelcol_exporter_sent_{kind}", "15m") for kind in KINDS.values())
    return Recording(name=LOST, expr=f"{failed}\nor {dropped}"), Recording(name=SENT, expr=f"{sent}\nor {taken}")


def _named_logs(expr: str) -> str:
    return f'label_replace({expr}, "signal", "logs", "", "")'


def _lost(thresholds: Thresholds, severity: Severity) -> Alert:
    limit, least = thresholds.telemetry_lost.at(severity), thresholds.telemetry_lost.min_items
    return Alert(
        name="GenAITelemetryLost",
        severity=severity,
        expr=f"{LOST} / ({LOST} + ({SENT} or 0 * {LOST})) > {limit.above:.15g}\nand {LOST} >= {least}",
        for_=limit.for_,
        why="for: the window of 15 minutes is most of the patience.",
        service=STACK,
        labels={**_SERVER, "signal": "{{ $labels.signal }}"},
        summary="{{ $value | humanizePercentage }} of the {{ $labels.signal }} of the last 15 minutes are lost",
        description=f"More than {percent(limit.above)} were refused for good by the store, mostly because they are too "
        "old or too large: nothing sends them again. Figures, logs or traces of this time are incomplete.",
        impact="Users notice nothing; figures, logs or traces of this time stay incomplete.",
    )


def store_errors() -> str:
    """The share of what it is sent that each store answers with an error, over 5 minutes."""
    failed, sent = (
        total(count_within(f"otelcol_exporter_{what}_spans_total", "5m"), _JOB) for what in ("send_failed", "sent")
    )
    refused, taken = (
        total(count_within(f"vl_http_{what}_total{_VICTORIALOGS}", "5m"), _JOB) for what in ("errors", "requests")
    )
    shares = (
        _share('prometheus_http_requests_total{handler="/api/v1/otlp/v1/metrics"', 'code=~"429|5.."'),
        # Without room on the disk it refuses everything, and counts no request.
        f"{total('vl_storage_is_read_only', _JOB)} == 1",
        f"{refused} / {taken}",
        _share('loki_request_duration_seconds_count{method="POST"', 'status_code=~"429|5.."'),
        # Jaeger answers that it is unavailable, so that the Collector tries again, and counts the spans.
        f"{failed} / ({failed} + {sent})",
        _share('tempo_request_duration_seconds_count{route=~".*Push.*|.*Export.*"', 'status_code=~"error|5.."'),
    )
    return "(\n  " + "\n  or ".join(shares) + "\n)"


def _store_errors(thresholds: Thresholds) -> Alert:
    limit = thresholds.store_errors
    return Alert(
        name="GenAIStoreErrors",
        severity="warning",
        expr=f"{store_errors()} > {limit.above:.15g}",
        for_=limit.for_,
        keep_firing_for=Duration("5m"),
        why="for: the Collector sends again, so a moment costs nothing. keep_firing_for: errors that come and go are "
        "one alert.",
        service=STACK,
        labels=_SERVER,
        summary="The {{ $labels.job }} fails to store {{ $value | humanizePercentage }} of what it is sent",
        description="It answers with errors of its own or that it is sent too much. The Collector keeps the data and "
        "sends it again while its queue has room.",
        impact="Users notice nothing; data and the alerts on it come late.",
    )


def _storage_trouble(severity: Severity) -> Alert:
    faults = _LOSING_NOW if severity == "critical" else _UNHEALTHY
    increases = "\n  or ".join(
        f'label_replace({total(count_within(fault, "15m"), _JOB)}, "fault", "{fault}", "", "")' for fault in faults
    )
    return Alert(
        name="GenAIStorageTrouble",
        severity=severity,
        expr=f"(\n  {increases}\n) > 0",
        keep_firing_for=Duration("5m"),
        why="No `for`: none of these counters ever grows in a healthy server. keep_firing_for: a fault met now and "
        "then is one alert.",
        service=STACK,
        labels={**_SERVER, "fault": "{{ $labels.fault }}"},
        summary="The {{ $labels.job }} has trouble with its files: {{ $labels.fault }} grew by "
        '{{ $value | printf "%.0f" }}',
        description="What it is sent now is not safe on disk: it is gone if the server ends."
        if severity == "critical"
        else "Something on its disk is damaged or cannot be cleaned up. Old data may be missing from answers, "
        "or files pile up until the disk is full.",
        impact="Users notice nothing; metrics or logs of now are lost if the server ends."
        if severity == "critical"
        else "Users notice nothing; old data may be missing from answers, and the disk may fill up.",
    )


def _disk_filling(thresholds: Thresholds, severity: Severity) -> Alert:
    disk = thresholds.disk
    horizon, window = (disk.critical_within, "1h") if severity == "critical" else (disk.warning_within, "6h")
    # The warehouse's, where that is another disk than the rest is on.
    expr = "\nor ".join(_disk_fills(disk, f"{server}_disk", severity, window, horizon) for server in ("inbox", "usage"))
    now = severity == "critical"
    whose = '{{ if eq $labels.job "usage" }}warehouse{{ else }}stack{{ end }}'
    return Alert(
        name="GenAIDiskFilling",
        severity=severity,
        expr=expr,
        for_=Duration("5m"),
        keep_firing_for=Duration("10m"),
        why="for: merging files needs room for a moment. keep_firing_for: deleting old data moves the forecast to and "
        "fro; that is one alert.",
        service=STACK,
        labels=_SERVER,
        summary=f"{{{{ $value | humanizePercentage }}}} of the {whose}'s disk is free, and it fills up",
        description=f"At the pace of the last {window.replace('1h', 'hour').replace('6h', '6 hours')} it is full "
        f"within {horizon}{f', or less than {percent(disk.critical_below)} is free' if now else ''}. "
        "A full disk stops Prometheus, the logs, the traces, the warehouse and the Collector's queue at once.",
        impact="Users notice nothing; once the disk is full there are no metrics, logs, traces or alerts any more.",
    )


def _disk_fills(disk: Disk, of: str, severity: Severity, window: str, horizon: Duration) -> str:
    free = f"{of}_free_bytes"
    share = f"{free} / {of}_size_bytes"
    soon = (
        f"{share} < {disk.forecast_below:.15g}\n"
        f"and predict_linear({free}[{window}], {horizon.seconds}) < 0\n"
        f"and {free} offset 1h"
    )
    return f"{share} < {disk.critical_below:.15g}\nor {soon}" if severity == "critical" else soon


# --- The warehouse ---------------------------------------------------------------------------------------------------


def _warehouse_down(thresholds: Thresholds) -> Alert:
    return Alert(
        name="GenAIWarehouseDown",
        severity="critical",
        expr="usage_warehouse_up == 0",
        for_=thresholds.server_down.for_,
        why="for: a restart takes less. The scrape (10 s) and the message (2 s) come on top, all within a minute.",
        service=STACK,
        labels=_SERVER,
        summary="The usage warehouse takes no calls",
        description="Its ingest cannot use the database: it is down, full, read-only, or refuses the password. The "
        "Collector keeps the calls while its disk lasts. Metrics and the alerts on them are not affected.",
        impact="Users notice nothing; until it is back nobody sees who used what, or is told of dear calls and users.",
    )


def _usage_lag(thresholds: Thresholds, severity: Severity) -> Alert:
    limit = thresholds.warehouse.lag.at(severity)
    return Alert(
        name="GenAIUsageLag",
        severity=severity,
        # The lag is that of the last batch, however long ago that was: without calls there is none.
        expr=f"usage_lag_seconds > {limit.above:.15g}\nand time() - usage_last_stored_timestamp_seconds < 300",
        for_=limit.for_,
        keep_firing_for=Duration("2m"),
        why="for: what the Collector has kept during a restart is caught up with in less. keep_firing_for: calls that "
        "come in late in bursts are one alert.",
        service=STACK,
        labels=_SERVER,
        summary="Calls are in the warehouse {{ $value | humanizeDuration }} after their end",
        description="The ingest stores a backlog, or is slower than the calls come in. Nothing is lost while the "
        "Collector's queue lasts. Alerts on single calls and users look at the last minutes, and miss what is late.",
        impact="Users notice nothing; reports end before now, and alerts on single calls and users may be missing.",
    )


def _usage_refused(thresholds: Thresholds) -> Alert:
    limit = thresholds.warehouse.refused
    return Alert(
        name="GenAIUsageRecordsRefused",
        severity="warning",
        expr=f"{count_within('usage_refused_total', '15m')} > {limit.above:.15g}",
        for_=limit.for_,
        keep_firing_for=Duration("15m"),
        why="No `for`: each is a call that reports lack. keep_firing_for: an application that sends some now and then "
        "is one alert.",
        service=STACK,
        labels=_SERVER,
        summary='The warehouse refused {{ $value | printf "%.0f" }} records within 15 minutes',
        description="They have no id, no time or a value that its columns do not take: mostly of a version of the "
        "package that does not fit the stack's. They are kept whole, with the reason, in the table refused_records.",
        impact="Users notice nothing; reports on who used what lack these calls.",
    )


def _query_slow(thresholds: Thresholds) -> Alert:
    limit = thresholds.warehouse.query
    return Alert(
        name="GenAIWarehouseQuerySlow",
        severity="warning",
        expr=f"usage_longest_query_seconds > {limit.above:.15g}",
        for_=limit.for_,
        why="for: it is looked at once a minute; what has ended by then is gone.",
        service=STACK,
        labels=_SERVER,
        summary="A query of the warehouse has been running for {{ $value | humanizeDuration }}",
        description=f"More than {limit.above:,.15g} s. It takes memory, disk and a processor from the ingest and from "
        "dashboards, or waits for a lock that others wait for, too.",
        impact="Users notice nothing; dashboards and reports on the warehouse are slow meanwhile.",
    )


def _partitions_missing(thresholds: Thresholds) -> Alert:
    days = thresholds.warehouse.partitions_ahead_days
    return Alert(
        name="GenAIWarehousePartitions",
        severity="warning",
        expr=f"usage_partitions_ahead_seconds < {days * 86_400}",
        for_=Duration("10m"),
        why="for: a matter of weeks.",
        service=STACK,
        labels=_SERVER,
        summary="The warehouse has places for the calls of the next {{ $value | humanizeDuration }} only",
        description="The ingest makes the tables of the months to come, two months ahead, and has not done so. A batch "
        "of a month without a table makes it then; where that fails, the calls wait in the Collector's queue.",
        impact="Nobody yet; from then on who used what may be missing.",
    )


def _offenders_stale(thresholds: Thresholds) -> Alert:
    after = thresholds.warehouse.offenders_unmeasured
    return Alert(
        name="GenAIOffendersStale",
        severity="warning",
        expr=f"time() - usage_offenders_measured_timestamp_seconds > {after.seconds}\n"
        "unless on (job) usage_warehouse_up == 0",
        for_=Duration("1m"),
        why="for: a restart of the service takes less.",
        service=STACK,
        labels={**_SERVER, "kind": "{{ $labels.gauge }}"},
        summary="{{ $labels.gauge }} was measured {{ $value | humanizeDuration }} ago",
        description="The ingest looks for calls, traces and users above a limit; here the query fails, or takes longer "
        "than the 10 s that it is given. The alerts that need it cannot fire.",
        impact="Nobody; but nobody is told either of a dear call, a loop or a user above a limit.",
    )


# --- Upkeep ----------------------------------------------------------------------------------------------------------


def _rules_failing() -> Alert:
    failed = total(count_within("prometheus_rule_evaluation_failures_total", "5m"), ("job", "rule_group"))
    return Alert(
        name="GenAIRulesFailing",
        severity="warning",
        expr=f"{_group_name(failed)} > 0",
        for_=Duration("2m"),
        keep_firing_for=Duration("5m"),
        why="for: queries fail while a server starts. keep_firing_for: a rule that fails now and then is one alert.",
        service=STACK,
        labels={**_SERVER, "group": "{{ $labels.group }}"},
        summary='{{ $value | printf "%.0f" }} evaluations of the rules {{ $labels.group }} failed within 5 minutes',
        description="The alerts of this group cannot fire, nor end, while their rules fail.",
        impact="Whoever relies on the alerts of this group is not told of anything now.",
    )


def _rules_slow() -> Alert:
    share = (
        "max by (job, rule_group) (prometheus_rule_group_last_duration_seconds "
        "/ prometheus_rule_group_interval_seconds)"
    )
    return Alert(
        name="GenAIRulesSlow",
        severity="warning",
        expr=f"{_group_name(share)} > 1",
        for_=Duration("2m"),
        keep_firing_for=Duration("5m"),
        why="for: the first evaluations after a start read everything from disk. keep_firing_for: times around the "
        "limit are one alert.",
        service=STACK,
        labels={**_SERVER, "group": "{{ $labels.group }}"},
        summary="The rules {{ $labels.group }} take {{ $value | humanizePercentage }} of their interval",
        description="Evaluations are left out: the alerts of this group come late, and its recorded series have gaps.",
        impact="Whoever relies on the alerts of this group is told late.",
    )


def _configuration_rejected() -> Alert:
    return Alert(
        name="GenAIConfigurationRejected",
        severity="warning",
        expr="prometheus_config_last_reload_successful == 0\nor alertmanager_config_last_reload_successful == 0",
        for_=Duration("1m"),
        why="for: a file may be written in two steps.",
        service=STACK,
        labels=_SERVER,
        summary="The {{ $labels.job }} rejects its new configuration",
        description="It goes on with the one before. Changes of rules, targets or channels have no effect, and the "
        "next start will fail.",
        impact="Nobody yet; what was changed has no effect, and the server will not start again.",
    )


def _prices_old(thresholds: Thresholds) -> Alert:
    days = thresholds.prices_age.days
    return Alert(
        name="GenAIPricesOld",
        severity="warning",
        expr=f"max by ({', '.join(SERVICE)}) ({series(PRICES_AGE)}) > {days * 86_400}",
        for_=Duration("10m"),
        why="for: a matter of weeks. A table that is refreshed at the start of a process replaces the old one by then.",
        summary="The newest price that {{ $labels.job }} calculates with was checked {{ $value | humanizeDuration }} "
        "ago",
        description=f"More than {days} days. Providers change prices meanwhile: what the calls cost may be wrong, and "
        "new models have no price.",
        impact="Users notice nothing; sums of money may be wrong.",
    )


def _application_silent(thresholds: Thresholds) -> Alert:
    silent = thresholds.application_silent
    calls = "job:genai_calls:rate5m"
    return Alert(
        name="GenAIApplicationSilent",
        severity="warning",
        # Instances are exported for as long as their process lives, with calls or without, and together they are the
        # service: the last one has gone. The rate itself outlives the last sample by its window of 5 minutes.
        expr=f"time() - max_over_time(timestamp({calls})[{silent.within}:1m]) + 300 > {silent.after.seconds}\n"
        f"and last_over_time({calls}[{silent.within}] offset {2 * silent.within.seconds}s)",
        for_=Duration("2m"),
        why="for: after an outage of Prometheus itself, the Collector delivers what it has kept within this time.",
        summary="{{ $labels.job }} has sent nothing for {{ $value | humanizeDuration }}",
        description=f"It sent its metrics for more than {silent.within} before. All its instances have ended, or "
        f"cannot reach the Collector. The alert ends when it is heard again, or {silent.within} after it fell silent.",
        impact="All users of the application if it is down, else nobody; nothing else can tell while it is not heard.",
    )


# --- Pieces ----------------------------------------------------------------------------------------------------------


def by_signal(exprs: Iterable[str]) -> str:
    """The sums of one expression a signal, told apart by the label ``signal``."""
    return "(\n  " + "\n  or ".join(
        f'label_replace({total(expr, _JOB)}, "signal", "{signal}", "", "")'
        for signal, expr in zip(KINDS, exprs, strict=True)
    ) + "\n)"  # fmt: skip


def _grown(selector: str, window: str) -> str:
    """By how much a counter grew that does not exist before its first event; `increase` would miss that one.

    A series is new when the day before had none: Prometheus may have been away for a while.
    """
    new = f"last_over_time({selector}[{window}]) unless last_over_time({selector}[1d] offset {window})"
    return f"({new}) or {count_within(selector, window)}"


def _share(selector: str, failed: str) -> str:
    """The share of requests within 5 minutes that failed; the selector's brace is open."""
    bad, every = (total(count_within(which, "5m"), _JOB) for which in (f"{selector},{failed}}}", f"{selector}}}"))
    return f"{bad} / {every}"


def _group_name(expr: str) -> str:
    """The name of a group of rules instead of `file;name`."""
    return f'label_replace(\n  {expr},\n  "group", "$1", "rule_group", ".*;(.*)"\n)'
