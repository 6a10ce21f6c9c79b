"""The service's web application: OTLP in, its metrics and its health out."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from stack.usage.metrics import CONTENT_TYPE, Metrics
from stack.usage.records import Batch, read, unreadable
from stack.usage.service import UnavailableError, Warehouse

_PROTOBUF = "application/x-protobuf"
_LARGEST = 64_000_000
"""Bytes of a request: the Collector sends 2 MB, or one record that is larger."""


def create_app(warehouse: Warehouse, metrics: Metrics) -> Starlette:
    """The application on a warehouse."""
    service = _Service(warehouse, metrics)
    return Starlette(
        routes=[
            Route("/v1/logs", service.logs, methods=["POST"]),
            Route("/v1/traces", service.traces, methods=["POST"]),
            Route("/calls/{trace_id}", service.calls),
            Route("/healthz", service.health),
            Route("/metrics", service.exposition),
        ],
        # Whatever goes wrong, the Collector is to keep what it has sent: it drops what is answered with 500.
        exception_handlers={UnavailableError: _unavailable, Exception: _unavailable},
    )


class _Service:
    def __init__(self, warehouse: Warehouse, metrics: Metrics) -> None:
        self._warehouse = warehouse
        self._metrics = metrics

    async def logs(self, request: Request) -> Response:
        """Stores records; 200 when they are committed, 503 where they are to be sent again."""
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind != _PROTOBUF or "content-encoding" in request.headers:
            return PlainTextResponse(f"send OTLP as {_PROTOBUF}, uncompressed\n", 415)
        body = await request.body()
        if len(body) > _LARGEST:
            return PlainTextResponse(f"a request has {_LARGEST} bytes at most\n", 413)
        try:
            batch = read(body)
        except ValueError as error:  # to be kept: the Collector would send it no second time
            batch = Batch(refusals=[unreadable(body, str(error))])
        stored = await self._warehouse.store(batch)
        answer = ExportLogsServiceResponse()
        answer.partial_success.rejected_log_records = stored.refused
        if stored.refused:
            answer.partial_success.error_message = "kept in the table refused_records, with the reasons"
        return Response(answer.SerializeToString(), media_type=_PROTOBUF)

    async def traces(self, _: Request) -> Response:
        """Spans of other instrumentations are not stored yet."""
        return PlainTextResponse("spans are not stored here: the warehouse is filled from log records\n", 501)

    async def calls(self, request: Request) -> Response:
        """How many calls of a trace are stored: whether one has arrived, without saying anything of it."""
        return JSONResponse({"calls": await self._warehouse.calls_of(request.path_params["trace_id"])})

    async def health(self, _: Request) -> Response:
        """Whether the warehouse takes calls."""
        if self._warehouse.ready:
            return PlainTextResponse("ok\n")
        return PlainTextResponse("the warehouse takes nothing now: see the log\n", 503)

    async def exposition(self, _: Request) -> Response:
        """The service's metrics."""
        return Response(self._metrics.exposition(), media_type=CONTENT_TYPE)


def _unavailable(_: Request, error: Exception) -> Response:
    text = str(error) if isinstance(error, UnavailableError) else "an error of the usage service itself: see its log"
    return PlainTextResponse(f"{text}\n", 503, headers={"retry-after": "5"})
