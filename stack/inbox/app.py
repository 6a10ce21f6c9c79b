"""The inbox's web application: the webhook, the pages, the API, the public status, and its own metrics."""

from collections import Counter
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from stack.inbox.database import Database, StoreUnavailableError
from stack.inbox.evidence import Stores
from stack.inbox.forms import Gate, RefusedError, read
from stack.inbox.hosts import KnownHosts
from stack.inbox.incident_pages import IncidentPages
from stack.inbox.incident_store import ConflictError, IncidentStore, NoIncidentError
from stack.inbox.metrics import CONTENT_TYPE, exposition
from stack.inbox.notification import InvalidNotificationError, Notification, parse_time
from stack.inbox.pages import Links, Pages
from stack.inbox.report_pages import ReportPages
from stack.inbox.runbooks import Runbooks
from stack.inbox.silences import Silences
from stack.inbox.status import as_json, status
from stack.inbox.store import KEPT_NOTIFICATIONS, Store
from stack.incidents import IncidentRules

MAX_BODY_BYTES = 1_048_576
"""Alertmanager is configured to send at most 100 alerts a message, a tenth of this."""


def create_app(
    database: Database,
    runbooks: Runbooks,
    rules: IncidentRules,
    links: Links,
    warehouse: Callable[[], str],
    *,
    kept: int = KEPT_NOTIFICATIONS,
) -> Starlette:
    """The application on a file and a directory of runbooks; ``warehouse`` tells its address when it is needed."""
    incidents = IncidentStore(database, rules)
    gate = Gate(database.token)
    pages = Pages(links)
    silences = Silences(database, incidents, links.alertmanager)
    incident_pages = IncidentPages(incidents, silences, rules, pages, gate)
    report_pages = ReportPages(incidents, incident_pages, pages, Stores(links.prometheus, warehouse))
    store = Store(database, incidents, kept=kept)
    inbox = _Inbox(store, incidents, silences, incident_pages, runbooks, rules, pages)
    return Starlette(
        routes=[
            Route("/", inbox.page),
            Route("/style.css", inbox.style),
            Route("/alerts", inbox.receive, methods=["POST"]),
            Route("/api/notifications", inbox.notifications),
            *report_pages.routes(),
            *incident_pages.routes(),
            Route("/traces/{trace_id}", inbox.trace),
            Route("/runbooks", inbox.runbook_index),
            Route("/runbooks/{name}", inbox.runbook),
            Route("/status", inbox.status),
            Route("/status.json", inbox.status_json),
            Route("/status/style.css", inbox.style),
            Route("/healthz", inbox.health),
            Route("/metrics", inbox.metrics),
        ],
        middleware=[Middleware(KnownHosts, hosts=rules.hosts, refused=inbox.refused)],
        exception_handlers={
            StoreUnavailableError: inbox.unavailable,
            RefusedError: inbox.refused,
            NoIncidentError: inbox.missing,
            ConflictError: inbox.conflict,
        },
    )


class _Inbox:
    """The handlers. Plain functions among them run in a thread, as SQLite blocks."""

    def __init__(
        self,
        store: Store,
        incidents: IncidentStore,
        silences: Silences,
        incident_pages: IncidentPages,
        runbooks: Runbooks,
        rules: IncidentRules,
        pages: Pages,
    ) -> None:
        self._store = store
        self._incidents = incidents
        self._silences = silences
        self._incident_pages = incident_pages
        self._runbooks = runbooks
        self._rules = rules
        self._pages = pages
        self._notifications_refused = 0
        self._refused = Counter[str]()

    async def receive(self, request: Request) -> Response:
        """Keep one notification. A 4xx is final for Alertmanager, a 5xx is retried."""
        # A page in the user's browser cannot send this type to another origin without being asked first.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return self._refuse(415, "The inbox takes application/json only.")
        body = await read(request, MAX_BODY_BYTES)
        if body is None:
            return self._refuse(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        try:
            notification = Notification.parse(body)
        except InvalidNotificationError as error:
            return self._refuse(400, str(error))
        await run_in_threadpool(self._store.add, notification)
        return Response(status_code=204, background=BackgroundTask(self._silences.bring_up_to_date))

    def _refuse(self, status: int, sentence: str) -> Response:
        self._notifications_refused += 1
        return JSONResponse({"error": sentence}, status_code=status)

    def page(self, _: Request) -> Response:
        """The open incidents; then the alerts: firing first, the most severe first; then those resolved lately."""
        return self._pages.html(
            "inbox.html",
            incidents=self._incident_pages.with_clocks(self._incidents.open()),
            counts=self._incidents.firing_counts(),
            firing=sorted(self._store.firing(), key=lambda alert: alert.labels.get("severity") != "critical"),
            resolved=self._store.resolved(),
        )

    def style(self, _: Request) -> Response:
        """The style sheet of all pages."""
        return Response(self._pages.style, media_type="text/css")

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

    def trace(self, request: Request) -> Response:
        """Where a trace can be looked at: what a message can link to, whatever keeps the traces."""
        address = self._pages.trace_url(request.path_params["trace_id"])
        if not address:
            return PlainTextResponse("This is no id of a trace.\n", status_code=404)
        return RedirectResponse(address, status_code=303)

    def runbook_index(self, _: Request) -> Response:
        """The list of all runbooks."""
        return self._pages.html("runbooks.html", names=self._runbooks.names())

    def runbook(self, request: Request) -> Response:
        """One runbook."""
        name = request.path_params["name"]
        body = self._runbooks.html(name)
        if body is None:
            return PlainTextResponse("There is no runbook of this name. The list is at /runbooks.\n", status_code=404)
        return self._pages.html("runbook.html", name=name, body=body)

    def status(self, _: Request) -> Response:
        """The public page."""
        return self._pages.html("status.html", public=True, status=status(self._incidents, self._rules.status_page))

    def status_json(self, _: Request) -> Response:
        """The same for programs, of any site: it is public."""
        found = as_json(status(self._incidents, self._rules.status_page))
        headers = {"Cache-Control": "public, max-age=15", "Access-Control-Allow-Origin": "*"}
        return JSONResponse(found, headers=headers)

    def health(self, _: Request) -> Response:
        """200 once the inbox can read its store."""
        self._store.counts()
        return PlainTextResponse("ok\n")

    def metrics(self, _: Request) -> Response:
        """The inbox's own figures, in Prometheus' text format."""
        text = exposition(
            self._store,
            self._incidents,
            self._rules.clocks,
            notifications_refused=self._notifications_refused,
            refused=self._refused,
        )
        # Prometheus' scrapes are the clock of a service that has none.
        return Response(text, media_type=CONTENT_TYPE, background=BackgroundTask(self._silences.bring_up_to_date))

    def unavailable(self, request: Request, error: Exception) -> Response:
        """The file cannot be used now."""
        return self._error(request, 503, error)

    def refused(self, request: Request, error: Exception) -> Response:
        """A request that is not done."""
        if not isinstance(error, RefusedError):
            raise error
        self._refused[error.reason] += 1
        return self._error(request, error.status, error)

    def missing(self, request: Request, error: Exception) -> Response:
        """An incident that is not there."""
        return self._error(request, 404, error)

    def conflict(self, request: Request, error: Exception) -> Response:
        """Somebody else was faster."""
        self._refused["conflict"] += 1
        return self._error(request, 409, error)

    def _error(self, request: Request, status: int, error: Exception) -> Response:
        """A sentence: on a page for people, else as JSON."""
        if request.url.path.startswith("/status"):
            return PlainTextResponse("The status cannot be told at the moment.\n", status_code=status)  # no internals
        if request.url.path.startswith("/incidents") or request.url.path == "/report":
            return self._pages.html("error.html", code=status, sentence=str(error))
        return JSONResponse({"error": str(error)}, status_code=status)
