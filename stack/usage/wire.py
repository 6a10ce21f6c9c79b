"""Reads a request of logs record by record: for one that cannot be parsed as a whole, as a record of it is broken.

A text that is no UTF-8, or values nested too deep, make the library refuse the whole message. The format is that of
https://protobuf.dev/programming-guides/encoding; whatever surrounds the records has to be whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT: Final = 10  # bytes


@dataclass(slots=True)
class Salvaged:
    """What can be read of a request."""

    request: ExportLogsServiceRequest = field(default_factory=ExportLogsServiceRequest)
    broken: list[tuple[bytes, str]] = field(default_factory=list)
    """The records that cannot be read, each with the reason."""


def salvage(body: bytes) -> Salvaged:
    """All records of a request that can be read, and those that cannot.

    Raises:
        ValueError: the request itself is broken.
    """
    found = Salvaged()
    for resource_logs in _fields(body, ExportLogsServiceRequest, "resource_logs"):
        resource = b"".join(_fields(resource_logs, ResourceLogs, "resource"))  # one after the other they are one
        place = found.request.resource_logs.add()
        complaint = _parse(resource, place.resource)
        records = place.scope_logs.add().log_records
        for scope_logs in _fields(resource_logs, ResourceLogs, "scope_logs"):
            for content in _fields(scope_logs, ScopeLogs, "log_records"):
                record = LogRecord()
                if reason := complaint or _parse(content, record):
                    found.broken.append((content, reason))
                else:
                    records.append(record)
    return found


def _parse(content: bytes, message: Any) -> str:
    """Reads a message; what is wrong with it, or nothing."""
    try:
        message.ParseFromString(content)
    except Exception as error:  # the library's own class depends on its implementation
        return f"not UTF-8, or no {message.DESCRIPTOR.name} at all: {error}"
    return ""


def _fields(content: bytes, message: Any, name: str) -> Iterator[bytes]:
    """What a message has in a field of messages; raises ValueError where the message is broken."""
    wanted = message.DESCRIPTOR.fields_by_name[name].number << 3 | _BYTES
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        if tag & 7 == _BYTES:
            length, position = _varint(content, position)
        elif tag & 7 == _VARINT:
            length, position = 0, _varint(content, position)[1]
        else:
            length = _FIXED.get(tag & 7, len(content))  # what is of no known type reaches beyond the end
        if position + length > len(content):
            raise ValueError(f"broken at byte {position} of a {message.DESCRIPTOR.name}")
        if tag == wanted:
            yield content[position : position + length]
        position += length


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """A number, and the place behind it; raises ValueError where there is none."""
    number = 0
    for index, byte in enumerate(content[position : position + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, position + index + 1
    raise ValueError(f"no number at byte {position}")
