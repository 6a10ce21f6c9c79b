"""The metrics of the servers themselves that rules and runbooks name: read from each server's /metrics, by a test."""

from typing import Final

_KINDS = ("spans", "metric_points", "log_records")
_PROCESS = ("process_resident_memory_bytes", "process_start_time_seconds")

ON_FAILURE: Final = {
    *(f"otelcol_exporter_send_failed_{kind}" for kind in _KINDS),
}
"""They appear with the first failure."""

ON_ANOTHER_DISK: Final = {"usage_disk_free_bytes", "usage_disk_size_bytes"}
"""Those of a warehouse that is not on the disk of all else."""

METRICS_OF_SERVERS: Final = {
    "collector": {
        "otelcol_exporter_queue_size",
        "otelcol_exporter_queue_capacity",
        "otelcol_process_memory_rss",
        "otelcol_process_uptime",
        *(f"otelcol_receiver_accepted_{kind}" for kind in _KINDS),
        *(f"otelcol_receiver_refused_{kind}" for kind in _KINDS),
        *(f"otelcol_exporter_sent_{kind}" for kind in _KINDS),
        *(f"otelcol_exporter_send_failed_{kind}" for kind in _KINDS),
    },
    "prometheus": {
        *_PROCESS,
        "prometheus_config_last_reload_successful",
        "prometheus_http_requests_total",
        "prometheus_notifications_dropped_total",
        "prometheus_notifications_sent_total",
        "prometheus_rule_evaluation_failures_total",
        "prometheus_rule_group_interval_seconds",
        "prometheus_rule_group_last_duration_seconds",
        "prometheus_tsdb_checkpoint_creations_failed_total",
        "prometheus_tsdb_compactions_failed_total",
        "prometheus_tsdb_head_samples_appended_total",
        "prometheus_tsdb_head_series",
        "prometheus_tsdb_head_truncations_failed_total",
        "prometheus_tsdb_mmap_chunk_corruptions_total",
        "prometheus_tsdb_reloads_failures_total",
        "prometheus_tsdb_wal_corruptions_total",
        "prometheus_tsdb_wal_truncations_failed_total",
        "prometheus_tsdb_wal_writes_failed_total",
    },
    "victorialogs": {
        *_PROCESS,
        "vl_http_errors_total",
        "vl_http_requests_total",
        "vl_rows_dropped_total",
        "vl_rows_ingested_total",
        "vl_storage_is_read_only",
    },
    # Runs in containers, and natively where a user has it and asks for it.
    "loki": {
        *_PROCESS,
        "loki_distributor_lines_received_total",
        "loki_ingester_checkpoint_creations_failed_total",
        "loki_ingester_chunks_flush_failures_total",
        "loki_ingester_wal_disk_full_failures_total",
        "loki_request_duration_seconds_count",
    },
    "jaeger": {
        "otelcol_exporter_send_failed_spans_total",
        "otelcol_exporter_sent_spans_total",
        "otelcol_process_memory_rss_bytes",
        "otelcol_process_uptime_seconds_total",
        "otelcol_receiver_accepted_spans_total",
    },
    # Runs in containers only. The names are those of its own set of alerts (operations/tempo-mixin in its repository).
    "tempo": {
        *_PROCESS,
        "tempo_distributor_spans_received_total",
        "tempo_request_duration_seconds_count",
        "tempodb_blocklist_poll_errors_total",
        "tempodb_compaction_errors_total",
    },
    "alertmanager": {
        *_PROCESS,
        "alertmanager_alerts_received_total",
        "alertmanager_notifications_total",
        "alertmanager_config_last_reload_successful",
        "alertmanager_nflog_maintenance_errors_total",
        "alertmanager_notifications_failed_total",
        "alertmanager_silences_maintenance_errors_total",
    },
    "usage": {
        *_PROCESS,
        "usage_batch_seconds_bucket",
        "usage_database_bytes",
        "usage_known_total",
        "usage_lag_seconds",
        "usage_last_stored_timestamp_seconds",
        "usage_longest_query_seconds",
        "usage_offenders_failed_total",
        "usage_offenders_left_out_total",
        "usage_offenders_measured_timestamp_seconds",
        "usage_offenders_new_total",
        "usage_partitions_ahead_seconds",
        "usage_refused_total",
        "usage_stored_total",
        "usage_warehouse_up",
        *ON_ANOTHER_DISK,
    },
    "inbox": {"inbox_disk_free_bytes", "inbox_disk_size_bytes", "inbox_incidents_late"},
}
