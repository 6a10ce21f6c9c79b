"""One span for each HTTP request, so that all model calls of a request are one trace.

The usual way is the OpenTelemetry instrumentation of your web framework; by hand it is these few lines.
"""

from typing import Final

from opentelemetry import trace
from opentelemetry.propagate import extract
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NOT_TRACED: Final = ("/", "/healthz", "/calls")

_tracer = trace.get_tracer("demo.app")


class RequestSpans:
    """ASGI middleware; the span lasts until the whole answer, streamed or not, has been sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request inside a span named by the conventions for HTTP servers."""
        if scope["type"] != "http" or scope["path"] in _NOT_TRACED:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        name = f"{scope['method']} {scope['path']}"
        with _tracer.start_as_current_span(name, context=extract(headers), kind=trace.SpanKind.SERVER) as span:
            span.set_attribute("http.request.method", scope["method"])
            span.set_attribute("url.path", scope["path"])

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(trace.StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, send_and_note)
