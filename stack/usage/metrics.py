"""The service's own metrics."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from stack.usage.columns import TABLES
from stack.usage.records import Batch
from stack.usage.store import Stored

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


disable_created_metrics()  # type: ignore[no-untyped-call]  # else each counter has a second series


class Metrics:
    """Counts what is stored, and says how the warehouse is doing."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._stored = Counter("usage_stored", "Records stored, each once.", ["table"], registry=registry)
        self._known = Counter("usage_known", "Records that were sent again and stored before.", registry=registry)
        self._refused = Counter(
            "usage_refused", "Records that cannot be stored; see refused_records.", registry=registry
        )
        self._seconds = Histogram("usage_batch_seconds", "How long a batch takes to be committed.", registry=registry)
        self._lag = Gauge(
            "usage_lag_seconds",
            "From when an application noted its newest record to when it was stored.",
            registry=registry,
        )
        self._last = Gauge("usage_last_stored_timestamp_seconds", "When the last batch was stored.", registry=registry)
        self._ahead = Gauge("usage_partitions_ahead_seconds", "How far ahead months have a place.", registry=registry)
        self._bytes = Gauge("usage_database_bytes", "Size of the warehouse on disk.", registry=registry)
        self._longest = Gauge(
            "usage_longest_query_seconds", "How long the oldest running query runs.", registry=registry
        )
        self.up = Gauge("usage_warehouse_up", "Whether the warehouse did what was asked of it last.", registry=registry)
        for table in TABLES:  # there from the start, so that the first event is seen as growth
            self._stored.labels(table.name)

    def stored(self, stored: Stored, batch: Batch, *, seconds: float) -> None:
        """Counts a batch."""
        for table, count in stored.new.items():
            self._stored.labels(table).inc(count)
        self._known.inc(stored.known)
        self._refused.inc(stored.refused)
        self._seconds.observe(seconds)
        now = time.time()
        self._last.set(now)
        if batch.newest:
            self._lag.set(max(now - batch.newest, 0))

    def observe(self, figures: Mapping[str, float]) -> None:
        """Notes what the warehouse says of itself."""
        self._ahead.set(figures["partitions_ahead"])
        self._bytes.set(figures["bytes"])
        self._longest.set(figures["longest_query"])

    def watch_disk(self, folder: Path) -> None:
        """Says from now on how much room there is on the disk with a folder."""
        free = Gauge("usage_disk_free_bytes", "Free bytes of the warehouse's own disk.", registry=self.registry)
        size = Gauge("usage_disk_size_bytes", "All bytes of the warehouse's own disk.", registry=self.registry)
        free.set_function(lambda: shutil.disk_usage(folder).free)
        size.set_function(lambda: shutil.disk_usage(folder).total)

    def exposition(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self.registry)
