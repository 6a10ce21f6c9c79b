"""Reads OTLP log records into rows of the warehouse; what cannot be one is refused, with the reason.

The format: https://github.com/open-telemetry/opentelemetry-proto/blob/v1.10.0/opentelemetry/proto/logs/v1/logs.proto
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from asyncpg.pgproto import pgproto
from genai_observability.signals import (
    DURATION,
    ERROR_MESSAGE,
    EVALUATION_EXPLANATION,
    EVENT_NAME,
    METADATA_PREFIX,
    NEWEST_RECORD_VERSION,
    RECORD_ID,
    RECORD_VERSION,
)
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from stack.usage.columns import RESOURCE, TABLES, Column, Table
from stack.usage.wire import salvage

OLDEST: Final = timedelta(days=100)
"""Records older than the oldest log that is kept, hot or cold, come from a wrong clock."""
NEWEST: Final = timedelta(days=1)
"""Records from further in the future, too."""
_LARGEST_MONEY: Final = 10**9  # US dollars for a call: beyond is nonsense
_LARGEST_COUNT: Final = 10**12  # of tokens, characters and the like: beyond is nonsense, and sums would overflow
_LONGEST_TEXT: Final = 2_000
"""Bytes of a name or an id: an entry of an index has 2,704 at most, and PostgreSQL refuses a row that needs more. One
limit for all, so that an index more needs no other."""
_LONGEST_PROSE: Final = 10_000
"""Characters of what is written for people, in columns that have no index."""
_PROSE: Final = (ERROR_MESSAGE, EVALUATION_EXPLANATION)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot be stored: why, and the record itself as JSON."""

    reason: str
    record: str


@dataclass(slots=True)
class Batch:
    """What a request brought."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {table.name: [] for table in TABLES})
    """By the name of their table."""
    refusals: list[Refusal] = field(default_factory=list)
    newest: float = 0.0
    """When the last record was noticed by the application, in seconds since 1970; 0 without one."""


class RefusedError(ValueError):
    """The record cannot be stored; the message says why."""


def read(body: bytes, *, now: float | None = None) -> Batch:
    """The rows of a request's body, as ``POST /v1/logs`` has it.

    Raises:
        ValueError: it is no such request.
    """
    batch = Batch()
    request = _request(body, batch)
    reader = _Reader(now if now is not None else time.time())
    for resource_logs in request.resource_logs:
        common = _resource(resource_logs.resource)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                try:
                    table, row = reader.row(record, common)
                    batch.rows[table].append(row)
                    batch.newest = max(batch.newest, record.observed_time_unix_nano / 1e9)
                except RefusedError as error:
                    batch.refusals.append(refusal(str(error), record, resource_logs.resource))
                except Exception as error:  # what nobody thought of must not keep its neighbours out
                    reason = f"it cannot be read: {type(error).__name__}: {error}"
                    batch.refusals.append(refusal(reason, record, resource_logs.resource))
    return batch


def _request(body: bytes, batch: Batch) -> ExportLogsServiceRequest:
    """The request, without records that are broken: those are refused."""
    try:
        return ExportLogsServiceRequest.FromString(body)
    except Exception as error:  # the library's own class depends on its implementation
        try:
            found = salvage(body)
        except ValueError:
            raise ValueError(f"not an OTLP request of logs: {error}") from error
    batch.refusals.extend(unreadable(content, reason) for content, reason in found.broken)
    return found.request


def refusal(reason: str, record: Any, resource: Any) -> Refusal:
    """A record that cannot be stored, with the resource that it came with."""
    whole = {"resource": MessageToDict(resource), "record": MessageToDict(record)}
    # What PostgreSQL's JSON cannot hold: https://www.postgresql.org/docs/18/datatype-json.html
    return Refusal(_storable(reason), json.dumps(whole, ensure_ascii=True).replace("\\u0000", "\\ufffd"))


def _storable(text: str) -> str:
    """Without what PostgreSQL's texts cannot have."""
    return text.replace("\0", "\ufffd")


def unreadable(body: bytes, reason: str) -> Refusal:
    """A request that is none, or a record of one, whole."""
    return Refusal(_storable(reason), json.dumps({"base64": base64.b64encode(body).decode()}))


class _Reader:
    """Reads records, with the limits of what a right clock can say now."""

    def __init__(self, now: float) -> None:
        self._oldest = int((now - OLDEST.total_seconds()) * 1e9)
        self._newest = int((now + NEWEST.total_seconds()) * 1e9)

    def row(self, record: Any, common: Row) -> tuple[str, Row]:
        """The table of a record, and its row; raises RefusedError."""
        attributes = {each.key: each.value for each in record.attributes}
        layout = _LAYOUTS.get(_string(attributes.pop(EVENT_NAME.name, _ABSENT)))
        if layout is None:
            raise RefusedError("not a call, a score or a finding")
        key = _id(attributes.pop(RECORD_ID.name, None))
        version = attributes.pop(RECORD_VERSION.name, _ABSENT).int_value
        if not 1 <= version <= NEWEST_RECORD_VERSION:
            raise RefusedError(f"version {version} of records is not known here: update the stack")
        at = record.time_unix_nano
        if not self._oldest <= at <= self._newest:
            raise RefusedError(f"the clock is wrong: it was noted at {_moment(at)}")
        values: list[Any] = [None] * layout.width
        extra: dict[str, Any] = {}
        for name, value in attributes.items():
            place = layout.places.get(name)
            if place is None:
                extra[name.removeprefix(METADATA_PREFIX)] = _plain(value)
            else:
                index, convert = place
                values[index] = convert(name, value)
        for index, name in layout.required:
            if values[index] is None:
                raise RefusedError(f"it has no {name}")
        trace, span = record.trace_id.hex() or None, record.span_id.hex() or None
        metadata = json.dumps(extra, ensure_ascii=True).replace("\\u0000", "\\ufffd") if extra else None
        moment = _time(at)
        if layout.duration is None:
            return layout.table, (key, moment, trace, span, *common, *values, metadata)
        duration = values[layout.duration]
        if duration is not None and not 0 <= duration < _LONGEST_SECONDS:
            raise RefusedError(f"{DURATION.name} is {duration}")
        started = None if duration is None else moment - timedelta(seconds=duration)
        return layout.table, (key, moment, started, trace, span, *common, *values, metadata)


_LONGEST_SECONDS: Final = 400 * 86_400


def _id(value: Any) -> UUID:
    if value is None:
        raise RefusedError(f"it has no {RECORD_ID.name}: update the package genai-observability of the application")
    try:
        key: UUID = pgproto.UUID(value.string_value)
    except ValueError:
        raise RefusedError(f"{RECORD_ID.name} is no UUID: {value.string_value[:100]!r}") from None
    return key


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _time(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _moment(nanoseconds: int) -> str:
    try:
        return _time(nanoseconds).isoformat()
    except OverflowError:
        return f"{nanoseconds} ns"


# --- Values ----------------------------------------------------------------------------------------------------------

Converter = Callable[[str, AnyValue], Any]


def _text(name: str, value: AnyValue) -> str:
    return _short(_any_text(name, value))


def _prose(name: str, value: AnyValue) -> str:
    return _any_text(name, value)[:_LONGEST_PROSE]


def _any_text(name: str, value: AnyValue) -> str:
    text = value.string_value
    if not text and value.WhichOneof("value") != "string_value":
        raise _wrong(name, value, "text")
    return _storable(text)


def _short(text: str) -> str:
    if len(text) <= _LONGEST_TEXT // 4:  # of which no letter has more bytes
        return text
    return text.encode()[:_LONGEST_TEXT].decode(errors="ignore")


def _texts(name: str, value: AnyValue) -> list[str]:
    if value.WhichOneof("value") != "array_value":
        raise _wrong(name, value, "a list of texts")
    return [_text(name, item) for item in value.array_value.values]


def _integer(name: str, value: AnyValue) -> int:
    if value.WhichOneof("value") != "int_value":
        raise _wrong(name, value, "a whole number")
    if not 0 <= value.int_value <= _LARGEST_COUNT:
        raise RefusedError(f"{name} is {value.int_value}")
    return value.int_value


def _number(name: str, value: AnyValue) -> float:
    kind = value.WhichOneof("value")
    number = value.double_value if kind == "double_value" else value.int_value if kind == "int_value" else None
    if number is None:
        raise _wrong(name, value, "a number")
    if not math.isfinite(number):
        raise RefusedError(f"{name} is {number}")
    return float(number)


def _money(name: str, value: AnyValue) -> Decimal:
    amount = _number(name, value)
    if not 0 <= amount < _LARGEST_MONEY:
        raise RefusedError(f"{name} is {amount}")
    return Decimal(repr(amount))  # the shortest decimal that is this number, which is the one that was computed


def _boolean(name: str, value: AnyValue) -> bool:
    if value.WhichOneof("value") != "bool_value":
        raise _wrong(name, value, "true or false")
    return value.bool_value


def _wrong(name: str, value: AnyValue, wanted: str) -> RefusedError:
    return RefusedError(f"{name} must be {wanted}, and is {str(_plain(value))[:100]!r}")


def _plain(value: AnyValue) -> Any:
    """A value of whatever type, as JSON can have it."""
    kind = value.WhichOneof("value")
    if kind == "double_value" and not math.isfinite(value.double_value):
        return str(value.double_value)
    if kind in ("string_value", "int_value", "double_value", "bool_value"):
        return getattr(value, kind)
    return MessageToDict(value)


_CONVERTERS: Final[dict[str, Converter]] = {
    "text": _text,
    "text[]": _texts,
    "bigint": _integer,
    "double precision": _number,
    "numeric": _money,
    "boolean": _boolean,
}
_ABSENT: Final = AnyValue()


def _string(value: AnyValue) -> str:
    return value.string_value


def _resource(resource: Any) -> Row:
    found = {each.key: each.value for each in resource.attributes}
    return tuple(_lenient(found.get(column.signal.name)) for column in RESOURCE)


def _lenient(value: AnyValue | None) -> str | None:
    """Of a resource, text of whatever type: it is not for one record to answer for."""
    return None if value is None else _short(_storable(str(_plain(value))))


# --- Layouts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the values of a table's records go."""

    table: str
    width: int
    places: dict[str, tuple[int, Converter]]
    required: tuple[tuple[int, str], ...]
    duration: int | None
    """Where the duration is, of a table that says when things began."""


def _converter(column: Column) -> Converter:
    return _prose if column.signal in _PROSE else _CONVERTERS[column.type]


def _layout(table: Table) -> _Layout:
    columns: tuple[Column, ...] = table.columns
    indices = {column.signal.name: index for index, column in enumerate(columns)}
    return _Layout(
        table=table.name,
        width=len(columns),
        places={column.signal.name: (index, _converter(column)) for index, column in enumerate(columns)},
        required=tuple((index, column.signal.name) for index, column in enumerate(columns) if column.required),
        duration=indices.get(DURATION.name),
    )


_LAYOUTS: Final = {table.event: _layout(table) for table in TABLES}
