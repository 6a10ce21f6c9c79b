"""Client of Jaeger's query API, version 3, which answers in OTLP's JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stack.clients._http import Http, StoreError

_PAGE = 500
"""Traces an answer. Jaeger has no paging: a window that holds more is asked for in halves."""

_SMALLEST = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of the service that was asked for.

    ``trace_id`` and ``span_id`` are hexadecimal; an attribute that is a list is JSON text, as Jaeger stores it.
    """

    trace_id: str
    span_id: str
    name: str
    start: datetime
    attributes: dict[str, object]


class Jaeger:
    """The trace store at ``url``."""

    def __init__(self, url: str) -> None:
        self._http = Http("Jaeger", url)

    def spans(self, service: str, *, start: datetime, end: datetime) -> list[Span]:
        """Every span of a service that began from ``start`` to ``end``, oldest first, however many there are.

        Raises:
            StoreError: Jaeger is not reachable or refuses the query.
        """
        found = {
            (span.trace_id, span.span_id): span
            for span in self._search(service, start, end)
            if start <= span.start <= end
        }
        return sorted(found.values(), key=lambda span: span.start)

    def _search(self, service: str, start: datetime, end: datetime) -> Iterator[Span]:
        resources = self._traces(service, start, end)
        if len(_trace_ids(resources)) < _PAGE:
            yield from (span for resource in resources if _service(resource) == service for span in _spans(resource))
            return
        if end - start <= _SMALLEST:
            raise StoreError(f"Jaeger holds more than {_PAGE} traces of `{service}` in one millisecond.")
        middle = start + (end - start) / 2
        yield from self._search(service, start, middle)
        yield from self._search(service, middle, end)

    def _traces(self, service: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
        window: dict[str, str | int] = {
            "query.service_name": service,
            "query.start_time_min": _rfc3339(start),
            "query.start_time_max": _rfc3339(end),
            "query.num_traces": _PAGE,
        }
        answer = self._http.json(self._http.get("/api/v3/traces", **window))
        if "error" in answer:
            if answer["error"]["httpCode"] == 404:  # Jaeger's way of saying that there are none
                return []
            raise self._http.refused(service, answer["error"]["message"])
        resources: list[dict[str, Any]] = answer["result"].get("resourceSpans", [])
        return resources


def _trace_ids(resources: list[dict[str, Any]]) -> set[str]:
    return {span["traceId"] for resource in resources for scope in resource["scopeSpans"] for span in scope["spans"]}


def _service(resource: dict[str, Any]) -> object:
    return _attributes(resource["resource"]).get("service.name")


def _spans(resource: dict[str, Any]) -> Iterator[Span]:
    for scope in resource["scopeSpans"]:
        for span in scope["spans"]:
            yield Span(
                trace_id=span["traceId"],
                span_id=span["spanId"],
                name=span["name"],
                start=datetime.fromtimestamp(int(span["startTimeUnixNano"]) // 1000 / 1_000_000, UTC),
                attributes=_attributes(span),
            )


def _attributes(item: dict[str, Any]) -> dict[str, object]:
    return {attribute["key"]: _value(attribute.get("value", {})) for attribute in item.get("attributes", ())}


def _value(value: dict[str, Any]) -> object:
    """The Python value of OTLP's ``AnyValue``, whose JSON writes 64-bit integers as strings."""
    if "intValue" in value:
        return int(value["intValue"])
    return next(iter(value.values()), None)


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
