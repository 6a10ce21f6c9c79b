"""Reads a gap of the warehouse again from the log store: ``python -m stack.usage.backfill FROM TO``.

Records keep their ids in the log store, so that those which the warehouse has already are not stored again. A log store
gives every value back as text: the catalogue says what it was; of free metadata it is text from then on. What the
Collector cut for the log store is cut from then on, too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import httpx
from genai_observability.signals import EVENT_NAME, METADATA_PREFIX, attributes
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from rich.console import Console

from stack.clients import Line, LogStore, Loki, StoreError, Where, log_store
from stack.clients.logs import SPAN_ID, TRACE_ID
from stack.settings import Settings, SettingsError
from stack.usage.columns import RESOURCE, TABLES

_BATCH: Final = 1000
"""Records a request: as many as the Collector sends at a time."""
_TYPES: Final = {attribute.name: attribute.type for attribute in attributes()}


class BackfillError(Exception):
    """The gap was not read to its end; the message says why. What was read is stored."""


def main(arguments: list[str] | None = None) -> int:
    """Reads the gap; 1 where that fails, 2 for a time that is none."""
    parser = argparse.ArgumentParser(
        prog="make backfill", usage="make backfill FROM=2026-12-01T10:00 TO=2026-12-01T12:00", description=__doc__
    )
    parser.add_argument("first", type=_moment, metavar="FROM")
    parser.add_argument("last", type=_moment, metavar="TO")
    options = parser.parse_args(arguments)
    if options.first >= options.last:
        parser.error("FROM must be before TO")
    console = Console(highlight=False, soft_wrap=True)
    try:
        settings = Settings.load()
        logs = Loki(url) if (url := os.environ.get("LOKI_URL")) else log_store(settings)
        read, new = backfill(logs, settings.usage_url, options.first, options.last, report=console.print)
    except (SettingsError, StoreError, BackfillError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: what was read so far is stored.\n")
        return 130
    console.print(f"{read} records read from {logs.name}; {new} of them were missing in the warehouse")
    return 0


def backfill(
    logs: LogStore, usage_url: str, first: datetime, last: datetime, *, report: Callable[[str], None]
) -> tuple[int, int]:
    """Sends the records from ``first`` to before ``last`` to the warehouse; how many there are, and how many were new.

    Raises:
        StoreError: the log store cannot be asked.
        BackfillError: the service does not take them.
    """
    wanted = Where(EVENT_NAME.name, "=~", "|".join(table.event.replace(".", r"\.") for table in TABLES))
    lines = logs.lines(wanted, start=first, end=last)
    read, before = 0, _stored(usage_url)
    while batch := list(islice(lines, _BATCH)):
        _send(usage_url, request(batch))
        read += len(batch)
        report(f"{read} records, back to {batch[-1].time:%Y-%m-%d %H:%M:%S}")
    return read, _stored(usage_url) - before


def request(lines: Iterable[Line]) -> ExportLogsServiceRequest:
    """The request that the Collector would send of these records."""
    found = ExportLogsServiceRequest()
    for line in lines:
        resource = found.resource_logs.add()
        for column in RESOURCE:
            if text := line.fields.get(column.signal.name):
                _add(resource.resource.attributes, column.signal.name, text)
        record = resource.scope_logs.add().log_records.add(
            time_unix_nano=line.nanoseconds,
            trace_id=bytes.fromhex(line.fields.get(TRACE_ID, "")),
            span_id=bytes.fromhex(line.fields.get(SPAN_ID, "")),
        )
        record.body.string_value = line.body
        for name, text in line.fields.items():
            if name in _TYPES or name.startswith(METADATA_PREFIX):
                _add(record.attributes, name, text)
    return found


def _add(place: Any, name: str, text: str) -> None:
    """An attribute of the type that the catalogue says; text where it cannot be, which the service then refuses."""
    value = place.add(key=name).value
    kind = _TYPES.get(name, "string")
    try:
        if kind == "int":
            value.int_value = int(text)
        elif kind == "double":
            value.double_value = float(text)
        elif kind == "boolean":
            value.bool_value = text == "true"
        elif kind == "string[]":
            value.array_value.SetInParent()  # for a list of nothing
            for item in json.loads(text):
                value.array_value.values.add(string_value=item)
        else:
            value.string_value = text
    except (ValueError, TypeError):
        value.string_value = text


def _send(url: str, content: ExportLogsServiceRequest) -> None:
    try:
        answer = httpx.post(
            f"{url}/v1/logs",
            content=content.SerializeToString(),
            headers={"content-type": "application/x-protobuf"},
            timeout=120,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise BackfillError(f"The usage service is not reachable at {url}; start the stack with `make up`.") from error
    if answer.status_code != httpx.codes.OK:
        raise BackfillError(f"The usage service does not take records: {answer.text.strip()}")


def _stored(url: str) -> int:
    """How many records the service has stored since it was started."""
    try:
        lines = httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
    except httpx.TransportError as error:
        raise BackfillError(f"The usage service is not reachable at {url}; start the stack with `make up`.") from error
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("usage_stored_total{"))


def _moment(text: str) -> datetime:
    """A time of ISO 8601, in UTC where it names no zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 2026-12-01T10:00, in UTC") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
