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

    async def logs(request: Request) -> Response:
        """Stores records; 200 when they are committed, 503 where they are to be sent again."""
        if (
            request.headers.get("content-type", "").partition(";")[0] != _PROTOBUF
            or "content-encoding" in request.headers
        ):
            return PlainTextResponse(f"send OTLP as {_PROTOBUF}, uncompressed\n", 415)
        body = await request.body()
        if len(body) > _LARGEST:
            return PlainTextResponse(f"a request has {_LARGEST} bytes at most\n", 413)
        try:
            batch = read(body)
        except ValueError as error:  # to be kept: the Collector would send it no second time
            batch = Batch(refusals=[unreadable(body, str(error))])
        try:
            stored = await warehouse.store(batch)
        except UnavailableError as error:
            return PlainTextResponse(f"{error}\n", 503, headers={"retry-after": "5"})
        answer = ExportLogsServiceResponse()
        answer.partial_success.rejected_log_records = stored.refused
        if stored.refused:
            answer.partial_success.error_message = "kept in the table refused_records, with the reasons"
        return Response(answer.SerializeToString(), media_type=_PROTOBUF)

    async def traces(_: Request) -> Response:
        """Spans of other instrumentations are not stored yet."""
        return PlainTextResponse("spans are not stored here: the warehouse is filled from log records\n", 501)

    async def calls(request: Request) -> Response:
        """How many calls of a trace are stored: whether one has arrived, without saying anything of it."""
        try:
            return JSONResponse({"calls": await warehouse.calls_of(request.path_params["trace_id"])})
        except UnavailableError as error:
            return PlainTextResponse(f"{error}\n", 503)

    async def health(_: Request) -> Response:
        ready = warehouse.ready
        return PlainTextResponse(
            "ok\n" if ready else "the warehouse takes nothing now: see the log\n", 200 if ready else 503
        )

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/v1/logs", logs, methods=["POST"]),
            Route("/v1/traces", traces, methods=["POST"]),
            Route("/calls/{trace_id}", calls),
            Route("/healthz", health),
            Route("/metrics", exposition),
        ]
    )
