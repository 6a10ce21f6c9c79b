"""The observability stack itself: does it run, does everything arrive, does it last, are people told."""

from typing import Final

from genai_observability.signals import BUDGET_UNCHECKED, DROPPED, PRICES_AGE, Metric

from stack.dashboards.expressions import RANGE, RATE, STEP
from stack.dashboards.page import Row, page
from stack.dashboards.sdk import Builder, Dashboard, Panel
from stack.dashboards.style import (
    BLUE,
    COUNT,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SECONDS,
    SHARE,
    Column,
    Limits,
    Metrics,
    course,
    figure,
    ranking,
    rows,
)
from stack.rules import history
from stack.rules.promql import series
from stack.rules.stack_health import (
    KINDS,
    LOG_STORES,
    LOST,
    SENT,
    SERVERS,
    TRACE_STORES,
    VIEWER,
    WATCHDOG,
    by_signal,
    queues,
    store_errors,
)
from stack.thresholds import Thresholds

_BYTES: Final = "bytes"
_PER_SECOND: Final = "cps"
_ALL: Final = "|".join((*SERVERS, *LOG_STORES, *TRACE_STORES, VIEWER))
_OURS: Final = f'{{job=~"{_ALL}"}}'
# Prometheus' own client library and the two versions of the Collector's, that of Jaeger being older, differ in names.
_MEMORY: Final = " or ".join(
    f"{name}{_OURS}"
    for name in ("process_resident_memory_bytes", "otelcol_process_memory_rss", "otelcol_process_memory_rss_bytes")
)
_QUEUES: Final = queues('{job="collector"}')
_SIGNALS: Final = {"traces": PURPLE, "metrics": BLUE, "logs": GREY, "calls": ORANGE}
_UNHEARD: Final = "No application has reported within a day"
_NO_RULES: Final = "No rules are loaded"


def dashboard(thresholds: Thresholds) -> Dashboard:
    """The page; the alerts' thresholds colour its numbers."""
    return page(
        uid="genai-stack",
        title="GenAI observability stack",
        description="Whether the observability itself works: its servers, what goes through the Collector into the "
        "stores, room on the disk, rules and messages, and which applications report.",
        source="stack/dashboards/health.py",
        variables=(),
        rows=[
            Row("Does the observability itself work?", [*_figures(thresholds), _servers(), _alarm(), *_throughput()]),
            Row("Does everything arrive?", _arrival(thresholds)),
            Row("Does it last?", _resources(thresholds)),
            Row("Is the warehouse well?", _warehouse(thresholds)),
            Row("Are people told?", _alerting()),
            Row("Do the applications report?", _applications(thresholds)),
        ],
    )


def _figures(thresholds: Thresholds) -> list[Builder[Panel]]:
    disk = thresholds.disk
    free = 'inbox_disk_free_bytes{job="inbox"}'
    pace = f"deriv({free.replace('}', '}[6h]')})"
    return [
        figure(
            Metrics(f"count(up{_OURS} == 0) or vector(0)"),
            title="Servers down",
            description="Servers of this stack that Prometheus cannot reach. Applications are not affected; the "
            "Collector keeps what they report while it runs. Next: the table below, then `make status`.",
            unit=COUNT,
            empty="Prometheus itself does not answer",
            limits=Limits(critical=1),
        ),
        figure(
            Metrics(f"max({_QUEUES})"),
            title="Fullest queue",
            description="How full the fullest queue of the Collector is: what a store does not take waits there, on "
            "disk. Orange and red from the thresholds of the alerts on. Next: which store has errors, below.",
            unit=SHARE,
            empty="The Collector reports nothing",
            limits=Limits.of(thresholds.collector_queue),
            decimals=1,
        ),
        figure(
            Metrics(f"max({_lost()}) or vector(0)"),
            title="Lost",
            description="Share of the spans, metric points or log records of 15 minutes that a store refused for "
            "good; the worst of the three. Orange and red from the thresholds of the alerts on.",
            unit=SHARE,
            empty="Nothing was sent yet",
            limits=Limits.of(thresholds.telemetry_lost),
            decimals=2,
        ),
        figure(
            Metrics(f"max({store_errors()} >= 0)"),
            title="Store errors",
            description="Share of what the stores are sent that they answer with an error, the worst of them. The "
            "Collector sends it again. Orange from the threshold of the alert on.",
            unit=SHARE,
            empty="Nothing was sent yet",
            limits=Limits(warning=thresholds.store_errors.above),
            decimals=1,
        ),
        figure(
            Metrics(f'{free} / inbox_disk_size_bytes{{job="inbox"}}'),
            title="Disk free",
            description="Share of the disk with the stack's data that is free. A full disk stops all stores at once. "
            "Red below the threshold of the alert; orange where a forecast begins to count.",
            unit=SHARE,
            empty="The inbox, which measures it, does not report",
            limits=Limits(disk.forecast_below, disk.critical_below, low_is_bad=True),
            decimals=0,
        ),
        figure(
            Metrics(f"{free} / (-{pace} > 0)"),
            title="Disk full in",
            description="At the pace of the last 6 hours. Orange and red within the times of the alerts, which only "
            "count it while little is free.",
            unit=SECONDS,
            empty="It does not fill up",
            limits=Limits(disk.warning_within.seconds, disk.critical_within.seconds, low_is_bad=True),
        ),
        figure(
            Metrics(f"max({_rule_time()})"),
            title="Slowest rules",
            description="How much of its interval the slowest group of rules takes. Above 100 % evaluations are left "
            "out: alerts come late, and recorded series have gaps.",
            unit=SHARE,
            empty=_NO_RULES,
            limits=Limits(warning=1),
            decimals=0,
        ),
        figure(
            Metrics(f"sum({_growth('alertmanager_notifications_failed_total', '5m')})"),
            title="Messages failed",
            description="Messages about alerts that did not get through within 5 minutes. Two of them are an alert, if "
            "another channel can still carry it. The inbox has them in any case. Next: Messages by channel.",
            unit=COUNT,
            empty="Alertmanager reports nothing",
            limits=Limits(warning=1, critical=2),
            decimals=0,
        ),
    ]


def _servers() -> Builder[Panel]:
    running = " or ".join(
        (
            f"time() - process_start_time_seconds{_OURS}",
            f"otelcol_process_uptime{_OURS}",
            f"otelcol_process_uptime_seconds_total{_OURS}",
        )
    )
    return rows(
        Metrics(f"min by (job) (up{_OURS})"),
        Metrics(f"max by (job) ({running})"),
        Metrics(f"sum by (job) ({_MEMORY})"),
        title="Servers",
        description="Every server of the stack, how long it has been running and how much memory it uses; a short "
        "time that nobody planned is a restart. The inbox reports neither. Natively victorialogs keeps the logs "
        "and jaeger the traces, in containers loki and tempo.",
        empty="Prometheus scrapes no server",
        columns=[
            Column("job", "Server"),
            Column("Value #A", "State", colours={"1": ("up", GREEN), "0": ("down", RED)}),
            Column("Value #B", "Running for", SECONDS),
            Column("Value #C", "Memory", _BYTES),
        ],
        sort_by="Memory",
    )


def _alarm() -> Builder[Panel]:
    """The way of an alert, step by step; the dead man's switch walks it all the time."""
    received, failed = (
        f"sum({_growth(f'alertmanager_{what}_total', '5m')})" for what in ("alerts_received", "notifications_failed")
    )
    steps = {
        "1 Prometheus: the dead man's switch fires": f'max(ALERTS{{alertname="{WATCHDOG}", alertstate="firing"}})',
        "2 Prometheus hands alerts over": 'sum(increase(prometheus_notifications_sent_total{job="prometheus"}[5m]))'
        " > bool 0",
        "3 Alertmanager receives them": f"{received} > bool 0",
        "4 Its messages get through": f"{failed} < bool 1",
        "5 The inbox can be reached": 'max(up{job="inbox"})',
    }
    return rows(
        Metrics(
            "\nor ".join(
                f'label_replace(({expr}) or vector(0), "step", "{step}", "", "")' for step, expr in steps.items()
            )
        ),
        title="The way of an alert",
        description="Each step from a rule to the people, tried all the time by the alert that always fires (the dead "
        "man's switch). Where a heartbeat address is given in stack/channels.yaml, a service outside raises the alarm "
        "when it no longer hears of it.",
        empty="Prometheus does not answer: no alert would come",
        columns=[
            Column("step", "Step"),
            Column("Value", "State", colours={"1": ("works", GREEN), "0": ("broken", RED)}),
        ],
        sort_by="Step",
        ascending=True,
    )


def _throughput() -> list[Builder[Panel]]:
    received = by_signal(_collected(f"otelcol_receiver_accepted_{kind}") for kind in KINDS.values())
    sent = by_signal(_collected(f"otelcol_exporter_sent_{kind}") for kind in KINDS.values())
    refused = by_signal(_collected(f"otelcol_receiver_refused_{kind}") for kind in KINDS.values())
    return [
        course(
            Metrics(received, "{{signal}}"),
            title="Received by the Collector",
            description="Spans, metric points and log records a second that applications delivered. When all fall to "
            "nothing, applications cannot reach the Collector, or have ended.",
            unit=_PER_SECOND,
            empty="No application has sent anything",
            colours=_SIGNALS,
        ),
        course(
            Metrics(sent, "{{signal}}"),
            title="Sent to the stores",
            description="The same, as Prometheus, the log store and the trace store took them. Less than received for "
            "a while: a store is slow, and the queue grows. More: it catches up.",
            unit=_PER_SECOND,
            empty="Nothing was sent yet",
            colours=_SIGNALS,
        ),
        course(
            Metrics(refused, "{{signal}}"),
            title="Refused by the Collector",
            description="Items a second that the Collector did not take, as its memory is at the limit. Applications "
            "send them again, and drop what they cannot hold. Any lasting value is too much.",
            unit=_PER_SECOND,
            empty="Nothing was ever received",
            colours=_SIGNALS,
        ),
    ]


def _arrival(thresholds: Thresholds) -> list[Builder[Panel]]:
    return [
        course(
            Metrics(_QUEUES, "{{data_type}}"),
            title="The Collector's queues",
            description="How full each queue is. It survives restarts; nothing is lost until it is full. The dashed "
            "lines are the thresholds of the alerts.",
            unit=SHARE,
            empty="The Collector reports nothing",
            limits=Limits.of(thresholds.collector_queue),
            colours=_SIGNALS,
        ),
        course(
            Metrics(_lost(), "{{signal}}"),
            title="Lost on the way",
            description="Share of the items of 15 minutes that a store refused for good: too old, too large or "
            "malformed. Figures, logs or traces of this time are incomplete. See the Collector's log.",
            unit=SHARE,
            empty="Nothing was ever lost",
            limits=Limits.of(thresholds.telemetry_lost),
            colours=_SIGNALS,
        ),
        course(
            Metrics(f"{store_errors()} >= 0", "{{job}}"),
            title="Errors of the stores",
            description="Share of what each store is sent that it answers with an error of its own, over 5 minutes. "
            "The dashed line is the threshold of the alert. Next: that server's log (`make logs`).",
            unit=SHARE,
            empty="Nothing was sent yet",
            limits=Limits(warning=thresholds.store_errors.above),
        ),
        course(
            Metrics(_rate("prometheus_tsdb_head_samples_appended_total", "prometheus"), "prometheus, samples"),
            Metrics(
                f"{_rate('vl_rows_ingested_total', 'victorialogs')} "
                f"or {_rate('loki_distributor_lines_received_total', 'loki')}",
                "logs, records",
            ),
            Metrics(
                f"{_rate('otelcol_receiver_accepted_spans_total', 'jaeger')} "
                f"or {_rate('tempo_distributor_spans_received_total', 'tempo')}",
                "traces, spans",
            ),
            title="Taken in by the stores",
            description="What each store writes a second, its own figures and recorded series included. A store that "
            "falls to nothing while the others go on is the broken one.",
            unit=_PER_SECOND,
            empty="No store reports",
            width=24,
        ),
    ]


def _resources(thresholds: Thresholds) -> list[Builder[Panel]]:
    disk = thresholds.disk
    return [
        course(
            Metrics('inbox_disk_free_bytes{job="inbox"} / inbox_disk_size_bytes{job="inbox"}', "free"),
            title="Disk free, 30 days",
            description="Share of the disk with the stack's data that is free, over the last 30 days. A steady slope "
            "ends at the retention times; one that never levels out needs a shorter retention or a larger disk.",
            unit=SHARE,
            empty="The inbox, which measures it, does not report",
            last="30d",
            limits=Limits(disk.forecast_below, disk.critical_below, low_is_bad=True),
            colours={"free": BLUE},
        ),
        course(
            Metrics(f"sum by (job) ({_MEMORY})", "{{job}}"),
            title="Memory",
            description="Resident memory of each server. The Collector refuses data at 400 MiB; Prometheus grows with "
            "the number of series, the log store with queries.",
            unit=_BYTES,
            empty="No server reports",
        ),
        course(
            Metrics('prometheus_tsdb_head_series{job="prometheus"}', "series"),
            title="Series in Prometheus",
            description="Time series that are being written. It jumps when a label takes on many values: then find it "
            "with the status page of Prometheus, and remove it from the attribution.",
            unit=COUNT,
            empty="Prometheus does not report on itself",
            colours={"series": BLUE},
        ),
    ]


def _warehouse(thresholds: Thresholds) -> list[Builder[Panel]]:
    limits = thresholds.warehouse
    return [
        figure(
            Metrics(f"count({_usage('warehouse_up')} == 0) or vector(0)"),
            title="Warehouse down",
            description="1 while the ingest cannot store calls in the warehouse: it is down, full, read-only, or "
            "refuses the password. The Collector keeps the calls. Next: `make logs SERVER=usage`.",
            unit=COUNT,
            empty="The ingest does not report",
            limits=Limits(critical=1),
        ),
        figure(
            Metrics(f"max({_usage('lag_seconds')})"),
            title="Lag",
            description="From the end of the newest call of the last batch until it was stored. Orange and red from "
            "the thresholds of the alerts on, which also want calls to come in.",
            unit=SECONDS,
            empty="Nothing was stored yet",
            limits=Limits.of(limits.lag),
            decimals=1,
        ),
        figure(
            Metrics(f"sum(increase({_usage('refused_total')}[15m]))"),
            title="Refused records",
            description="Records of 15 minutes that could not be stored. They are kept whole, with the reason, in the "
            "table refused_records. Any is an alert: mostly a version of the package that the stack does not know.",
            unit=COUNT,
            empty="The ingest does not report",
            limits=Limits(warning=1),
            decimals=0,
        ),
        figure(
            Metrics(f"min({_usage('partitions_ahead_seconds')})"),
            title="Months ahead",
            description="For how long from now on there are tables for the calls to come. The ingest makes them two "
            "months ahead. Orange below the threshold of the alert.",
            unit=SECONDS,
            empty="The ingest does not report",
            limits=Limits(limits.partitions_ahead_days * 86_400, low_is_bad=True),
            decimals=0,
        ),
        course(
            Metrics(f"sum by (table) (rate({_usage('stored_total')}[{RATE}]))", "{{table}}"),
            Metrics(f"sum(rate({_usage('known_total')}[{RATE}]))", "sent again"),
            title="Stored in the warehouse",
            description="Records a second that were new, by table, and those that came a second time and were left "
            "out, as after a restart. Nothing, while applications make calls: see Warehouse down.",
            unit=_PER_SECOND,
            empty="The ingest does not report",
            width=12,
            colours={"sent again": GREY},
        ),
        course(
            Metrics(f"max({_usage('lag_seconds')})", "lag"),
            title="Lag of the ingest",
            description="How late the newest call of each batch was stored. It grows while the Collector delivers what "
            "it has kept, and comes back to seconds. The dashed lines are the thresholds of the alerts.",
            unit=SECONDS,
            empty="Nothing was stored yet",
            limits=Limits.of(limits.lag),
            colours={"lag": BLUE},
        ),
        course(
            Metrics(f"histogram_quantile(0.95, sum by (le) (rate({_usage('batch_seconds_bucket')}[{RATE}])))", "95 %"),
            title="Time of a batch",
            description="Within which 95 % of the batches are committed. A batch has up to 2 MB of calls and takes "
            "about a second then; more is a slow disk, or a warehouse that is busy with something else.",
            unit=SECONDS,
            empty="Nothing was stored yet",
            colours={"95 %": BLUE},
        ),
        course(
            Metrics(f"max({_usage('longest_query_seconds')})", "longest"),
            title="Longest query",
            description="How long the oldest query of the warehouse has been running, looked at once a minute; backups "
            "do not count. The dashed line is the threshold of the alert. Who runs it: pg_stat_activity.",
            unit=SECONDS,
            empty="The ingest does not report",
            limits=Limits(warning=limits.query.above),
            colours={"longest": BLUE},
        ),
        course(
            Metrics(f"max({_usage('database_bytes')})", "size"),
            title="Size of the warehouse, 30 days",
            description="What the warehouse takes on disk. It keeps every call for ever: its slope says when a larger "
            "disk is due. Free space is in Disk free.",
            unit=_BYTES,
            empty="The ingest does not report",
            width=12,
            last="30d",
            colours={"size": BLUE},
        ),
        rows(
            Metrics(f"time() - max by (gauge) ({_usage('offenders_measured_timestamp_seconds')})"),
            *(
                Metrics(f"sum by (gauge) (increase({_usage(f'offenders_{what}_total')}[1d]))")
                for what in ("new", "left_out", "failed")
            ),
            title="Offenders",
            description="Calls, traces and users above a limit, which the ingest looks for and offers as series, ten "
            "of a kind. New series of a day are bounded (200 a kind): what is left out then raises no alert. Many new "
            "ones mean that the limit in stack/thresholds.yaml is too low.",
            empty="The ingest does not report",
            columns=[
                Column("gauge", "Series"),
                Column("Value #A", "Measured before", SECONDS),
                Column("Value #B", "New in a day", COUNT),
                Column("Value #C", "Left out in a day", COUNT),
                Column("Value #D", "Failed in a day", COUNT),
            ],
            sort_by="Measured before",
        ),
    ]


def _usage(metric: str) -> str:
    return f'usage_{metric}{{job="usage"}}'


def _alerting() -> list[Builder[Panel]]:
    failed = f"sum by (job) ({_counted('prometheus_rule_evaluation_failures_total', 'prometheus')})"
    return [
        ranking(
            Metrics(f"sort_desc(topk(7, {_named(_rule_time())}))", "{{group}}", instant=True),
            title="Time of the rules",
            description="How much of its interval each group of rules takes, the slowest first. Above 100 % there is "
            "an alert: its rules are evaluated late. Fewer series, or more CPU, help.",
            unit=SHARE,
            empty=_NO_RULES,
            limits=Limits(warning=1),
            largest=1,
        ),
        course(
            Metrics(failed, "{{job}}"),
            title="Rules that fail",
            description="Evaluations of rules that ended in an error, in the time that each bar stands for. The alerts "
            "of these rules cannot fire. The server's log says which rule, and why.",
            unit=COUNT,
            empty="No rule has failed",
            bars=True,
            stacked=True,
        ),
        course(
            Metrics(
                f"sum by (integration) ({_counted('alertmanager_notifications_total', 'alertmanager')}) > 0",
                "{{integration}}",
            ),
            Metrics(f"sum({_counted('alertmanager_notifications_failed_total', 'alertmanager')})", "failed"),
            title="Messages by channel",
            description="Messages about alerts in the time that each bar stands for, by channel; webhook is the inbox "
            "and whatever else takes them as JSON. Failed ones are sent again until they succeed.",
            unit=COUNT,
            empty="No message was sent in this time range",
            bars=True,
            colours={"failed": RED},
        ),
    ]


def _applications(thresholds: Thresholds) -> list[Builder[Panel]]:
    days = thresholds.prices_age.days
    heard = f'timestamp(target_info{{job!~"{_ALL}"}})'
    by = "by (job, deployment_environment_name)"
    return [
        rows(
            Metrics(f"time() - max {by} ({heard} or max_over_time({heard}[1d:1m]))"),
            Metrics(f'count {by} (target_info{{job!~"{_ALL}"}})'),
            Metrics(f'max {by} (last_over_time({series(PRICES_AGE)}{{job=~".+"}}[1h]))'),
            title="Applications",
            description="Everything that has reported within a day: when it was last heard of, how many of its "
            "processes report now, and since when the newest of its prices has not been checked. An application "
            f"that falls silent is an alert, and so are prices of more than {days} days.",
            empty=_UNHEARD,
            columns=[
                Column("job", "Service"),
                Column("deployment_environment_name", "Environment"),
                Column("Value #A", "Last heard", SECONDS),
                Column("Value #B", "Processes", COUNT),
                Column("Value #C", "Age of prices", SECONDS),
            ],
            sort_by="Last heard",
        ),
        ranking(
            Metrics(_recorded(DROPPED), f"{{{{job}}}} · {{{{{DROPPED.labels[0].label}}}}}", instant=True),
            title="Left out by the instrumentation",
            description="What applications had to leave out in the time range so that they are not slowed down, by "
            "kind. label and content: the calls are counted with less detail. call, span, log and batch are missing.",
            unit=COUNT,
            empty="Nothing was left out",
            width=6,
            colour=ORANGE,
        ),
        ranking(
            Metrics(
                _recorded(BUDGET_UNCHECKED), f"{{{{job}}}} · {{{{{BUDGET_UNCHECKED.labels[0].label}}}}}", instant=True
            ),
            title="Budgets not checked",
            description="Calls of the time range that were decided upon by what one process knew, as the store that "
            "budgets are shared in did not answer. Budgets may be overrun while that lasts.",
            unit=COUNT,
            empty="Every budget was checked",
            width=6,
            colour=ORANGE,
        ),
    ]


def _lost() -> str:
    """The share of what is lost, the larger of the Collector's and the store's own; a counter may not be there yet."""
    lost, sent = (f'{name}{{job=~"collector|victorialogs"}}' for name in (LOST, SENT))
    all_lost = f"({lost} or 0 * {sent})"
    return f"max by (signal) ({all_lost} / ({all_lost} + ({sent} or 0 * {lost}) > 0))"


def _rule_time() -> str:
    last, interval = (f"prometheus_rule_group_{what}_seconds" for what in ("last_duration", "interval"))
    selected = '{job="prometheus"}'
    return f"{last}{selected} / {interval}{selected}"


def _named(expr: str) -> str:
    """The name of a group of rules instead of `file;name`."""
    return f'label_replace({expr}, "group", "$1", "rule_group", ".*;(.*)")'


def _growth(metric: str, window: str) -> str:
    return f'increase({metric}{{job="alertmanager"}}[{window}])'


def _counted(metric: str, jobs: str) -> str:
    return f'increase({metric}{{job=~"{jobs}"}}[{STEP}] anchored)'


def _collected(metric: str) -> str:
    return f'rate({metric}{{job="collector"}}[{RATE}])'


def _rate(metric: str, job: str) -> str:
    return f'sum(rate({metric}{{job="{job}"}}[{RATE}]))'


def _recorded(metric: Metric) -> str:
    """Its growth within the time range, of all applications; the last two minutes are not in it yet."""
    (label,) = (label.label for label in metric.labels)
    return f'sort_desc(sum by (job, {label}) (sum_over_time({history.name(metric)}{{job=~".+"}}[{RANGE}])) > 0)'
