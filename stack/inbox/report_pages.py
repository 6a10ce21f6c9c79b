"""Reports and impact over HTTP: as a page, as Markdown, as JSON."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.inbox.evidence import Evidence, Scope, Stores
from stack.inbox.forms import RefusedError
from stack.inbox.incident_pages import IncidentPages
from stack.inbox.incident_store import IncidentStore
from stack.inbox.pages import Pages
from stack.inbox.report import LONGEST, Report, of_incident, of_window, scope_of

_AT_ONCE = 2
"""A store that hangs must not take all the threads, which messages of Alertmanager need, too."""
_WAIT_S = 2.0
"""For one of those to be done."""
_IMPACT_FOR_S = 30.0
_MOST_IMPACTS = 100


class ReportPages:
    """The handlers."""

    def __init__(self, store: IncidentStore, incidents: IncidentPages, pages: Pages, stores: Stores) -> None:
        self._store = store
        self._incidents = incidents
        self._pages = pages
        self._stores = stores
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._impacts: dict[int, tuple[float, Evidence]] = {}

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/incidents/{number:int}/impact", self.impact),
            Route("/incidents/{number:int}/report", self._of_incident(self._as_page)),
            Route("/incidents/{number:int}/report.md", self._of_incident(self._as_markdown)),
            Route("/api/incidents/{number:int}/report", self._of_incident(_as_json)),
            Route("/report", self.window),
            Route("/report.md", self._of_window(self._as_markdown)),
            Route("/api/report", self._of_window(_as_json)),
        ]

    def impact(self, request: Request) -> Response:
        """Whom an incident has hit so far, and what it cost: a frame of its page, as the stores may take their time."""
        incident = self._incidents.incident(request)
        known = self._impacts.get(incident.id)
        if known is None or time.monotonic() - known[0] > _IMPACT_FOR_S:
            with self._slot():
                known = (time.monotonic(), self._stores.gather(scope_of(incident)))
            if len(self._impacts) >= _MOST_IMPACTS:
                self._impacts.clear()
            self._impacts[incident.id] = known
        return self._pages.html("impact.html", incident=incident, evidence=known[1])

    def window(self, request: Request) -> Response:
        """The report of a window, or the form that asks for one."""
        if "from" not in request.query_params:
            now = datetime.now(UTC)
            return self._pages.html("window.html", start=now - timedelta(hours=1), end=now)
        return self._of_window(self._as_page)(request)

    def _of_incident(self, show: Callable[[Report], Response]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            incident = self._incidents.incident(request)
            with self._slot():
                return show(of_incident(incident, self._store, self._stores))

        return answer

    def _of_window(self, show: Callable[[Report], Response]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            scope = _scope(request)
            with self._slot():
                return show(of_window(scope, self._store, self._stores))

        return answer

    def _as_page(self, report: Report) -> Response:
        return self._pages.html("report.html", report=report)

    def _as_markdown(self, report: Report) -> Response:
        name = f"incident-{report.incident.id}.md" if report.incident else "report.md"
        return self._pages.markdown("report.markdown", name=name, report=report)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=_WAIT_S):
            raise RefusedError(503, "busy", f"{_AT_ONCE} reports are being made already: try again in some seconds.")
        try:
            yield
        finally:
            self._slots.release()


def _scope(request: Request) -> Scope:
    now = datetime.now(UTC)
    start = _time(request, "from", now)
    end = min(_time(request, "to", now), now)
    if start >= end:
        raise RefusedError(400, "malformed", '"from" must be before "to", and not in the future.')
    if end - start > LONGEST:
        raise RefusedError(400, "malformed", f"A report covers {LONGEST.days} days at most.")
    service = request.query_params.get("service", "").strip()
    return Scope(start=start, end=end, services=(service[:200],) if service else ())


def _time(request: Request, name: str, default: datetime) -> datetime:
    """A time of the query; without a zone, as a browser's field gives it, in UTC."""
    text = request.query_params.get(name)
    if not text:
        return default
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise RefusedError(
            400, "malformed", f'"{name}" is not a time like 2026-01-31T09:00:00Z (a + in it is written %2B).'
        ) from None


def _as_json(report: Report) -> Response:
    return JSONResponse(_plain(asdict(report)))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
