"""The inbox's web application: the webhook, the page, the API, the runbooks and its own metrics."""

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from stack.inbox.notification import InvalidNotificationError, Notification, parse_time
from stack.inbox.runbooks import Runbooks
from stack.inbox.store import Counts, Store, StoreUnavailableError

MAX_BODY_BYTES = 1_048_576
"""Alertmanager is configured to send at most 100 alerts a message, a tenth of this."""

_PAGE_HEADERS = {
    # Nothing but the page's own style sheet is loaded and nothing runs, whatever a label contains.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_TEXT_METRICS = "text/plain; version=0.0.4; charset=utf-8"


def create_app(store: Store, runbooks: Runbooks) -> Starlette:
    """The application on a store and a directory of runbooks."""
    inbox = _Inbox(store, runbooks)
    return Starlette(
        routes=[
            Route("/", inbox.page),
            Route("/style.css", inbox.style),
            Route("/alerts", inbox.receive, methods=["POST"]),
            Route("/api/notifications", inbox.notifications),
            Route("/runbooks", inbox.runbook_index),
            Route("/runbooks/{name}", inbox.runbook),
            Route("/healthz", inbox.health),
            Route("/metrics", inbox.metrics),
        ],
        exception_handlers={StoreUnavailableError: _unavailable},
    )


class _Inbox:
    """The handlers. Plain functions among them run in a thread, as SQLite blocks."""

    def __init__(self, store: Store, runbooks: Runbooks) -> None:
        self._store = store
        self._runbooks = runbooks
        self._refused = 0
        self._style = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
        self._templates = Environment(
            loader=PackageLoader("stack.inbox"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.filters |= {"clock": _clock, "ago": _ago}
        self._templates.tests["web_address"] = _is_web_address

    async def receive(self, request: Request) -> Response:
        """Keep one notification. A 4xx is final for Alertmanager, a 5xx is retried."""
        # A page in the user's browser cannot send this type to another origin without being asked first.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return self._refuse(415, "The inbox takes application/json only.")
        body = await _read(request, MAX_BODY_BYTES)
        if body is None:
            return self._refuse(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        try:
            notification = Notification.parse(body)
        except InvalidNotificationError as error:
            return self._refuse(400, str(error))
        await run_in_threadpool(self._store.add, notification)
        return Response(status_code=204)

    def _refuse(self, status: int, sentence: str) -> Response:
        self._refused += 1
        return JSONResponse({"error": sentence}, status_code=status)

    def page(self, _: Request) -> Response:
        """The alerts: firing first, the most severe first; then those resolved lately."""
        firing = sorted(self._store.firing(), key=lambda alert: alert.labels.get("severity") != "critical")
        resolved = self._store.resolved()
        return self._render("inbox.html", firing=firing, resolved=resolved, now=datetime.now(UTC))

    def style(self, _: Request) -> Response:
        """The style sheet of all pages."""
        return Response(self._style, media_type="text/css")

    def notifications(self, request: Request) -> Response:
        """Every kept notification, newest first; ``since`` leaves out what came before an ISO 8601 time."""
        since = request.query_params.get("since")
        try:
            start = parse_time(since) if since is not None else None
        except ValueError:
            sentence = '"since" is not a time like 2026-01-31T09:00:00Z (a + in it is written %2B).'
            return JSONResponse({"error": sentence}, status_code=400)
        return JSONResponse(
            [
                {"id": received.id, "received_at": received.received_at.isoformat(), **received.message}
                for received in self._store.notifications(since=start)
            ]
        )

    def runbook_index(self, _: Request) -> Response:
        """The list of all runbooks."""
        return self._render("runbooks.html", names=self._runbooks.names())

    def runbook(self, request: Request) -> Response:
        """One runbook."""
        name = request.path_params["name"]
        body = self._runbooks.html(name)
        if body is None:
            return PlainTextResponse("There is no runbook of this name. The list is at /runbooks.\n", status_code=404)
        return self._render("runbook.html", name=name, body=body)

    def health(self, _: Request) -> Response:
        """200 once the inbox can read its store."""
        self._store.counts()
        return PlainTextResponse("ok\n")

    def metrics(self, _: Request) -> Response:
        """The inbox's own figures, in Prometheus' text format."""
        return Response(_exposition(self._store.counts(), self._refused, self._store.disk()), media_type=_TEXT_METRICS)

    def _render(self, template: str, **values: object) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(**values), headers=_PAGE_HEADERS)


async def _read(request: Request, limit: int) -> bytes | None:
    """The body, or None where it is larger than the limit; no more than that is ever held in memory."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _unavailable(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=503)


def _exposition(counts: Counts, refused: int, disk: tuple[int, int]) -> str:
    last = counts.last_received_at.timestamp() if counts.last_received_at else 0
    metrics = (
        ("inbox_notifications_received_total", "counter", "Notifications ever kept.", counts.received),
        ("inbox_notifications_refused_total", "counter", "Requests refused as malformed since the start.", refused),
        ("inbox_alerts_firing", "gauge", "Alerts of which firing was heard last.", counts.firing),
        ("inbox_last_notification_timestamp_seconds", "gauge", "When the last notification came, 0 if never.", last),
        # No server of the stack tells how much room it has left. This one stands for all on the same disk.
        ("inbox_disk_free_bytes", "gauge", "Free bytes of the disk with the inbox's data.", disk[0]),
        ("inbox_disk_size_bytes", "gauge", "All bytes of the disk with the inbox's data.", disk[1]),
    )
    return "".join(
        f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {value}\n" for name, kind, text, value in metrics
    )


def _clock(time: str) -> str:
    """A time of an alert, in UTC and without a fraction."""
    return parse_time(time).strftime("%Y-%m-%d %H:%M:%S UTC")


def _ago(time: str, now: datetime) -> str:
    """How long ago a time was, in its largest unit."""
    seconds = max(0, int((now - parse_time(time)).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _is_web_address(text: str) -> bool:
    """Whether a link may be followed: a javascript: address in an annotation must never become one."""
    return text.startswith(("http://", "https://"))
