"""The incidents over HTTP: pages with forms, and the same as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stack.inbox.forms import Gate, RefusedError, text
from stack.inbox.incident import Clock, Incident, State, clocks
from stack.inbox.incident_store import IncidentStore, NoIncidentError
from stack.inbox.pages import Pages
from stack.inbox.report import timeline
from stack.inbox.silences import Silences
from stack.incidents import IncidentRules, Sev

LONGEST_NAME: Final = 80
LONGEST_NOTE: Final = 4_000
LONGEST_TEXT: Final = 10_000
"""Of each field of a post-mortem."""
_PAGE = 50
_COOKIE = "who"
"""Remembers the name of whoever has sent a form, so that it is typed once."""
_LARGEST = 2**53


class IncidentPages:
    """The handlers. Plain functions among them run in a thread, as SQLite blocks."""

    def __init__(
        self, store: IncidentStore, silences: Silences, rules: IncidentRules, pages: Pages, gate: Gate
    ) -> None:
        self._store = store
        self._silences = silences
        self._rules = rules
        self._pages = pages
        self._gate = gate

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/incidents", self.index),
            Route("/incidents/{number:int}", self.page),
            Route("/incidents/{number:int}/clocks", self.clocks),
            Route("/incidents/{number:int}/{action}", self.change, methods=["POST"]),
            Route("/alerts/{fingerprint}", self.of_alert),
            Route("/api/incidents", self.api_index),
            Route("/api/incidents/{number:int}", self.api_one),
            Route("/api/incidents/{number:int}/{action}", self.change, methods=["POST"]),
        ]

    def index(self, request: Request) -> Response:
        """Those open, and those resolved, a page at a time."""
        before = _whole_number(request, "before")
        resolved = self._store.resolved(limit=_PAGE + 1, before=before)
        return self._pages.html(
            "incidents.html",
            open=[] if before else self.with_clocks(self._store.open()),
            resolved=self.with_clocks(resolved[:_PAGE]),
            earlier=resolved[_PAGE - 1].id if len(resolved) > _PAGE else None,
            firing=self._store.firing_counts(),
        )

    def page(self, request: Request) -> Response:
        """One incident, with all that can be done about it."""
        incident = self.incident(request)
        return self._pages.html(
            "incident.html",
            incident=incident,
            alerts=self._store.firings(incident.id),
            timeline=timeline(incident, self._store),
            severities=list(Sev),
            states=[state for state in State if state is not State.DETECTED],
            who=unquote(request.cookies.get(_COOKIE, ""), errors="replace")[:LONGEST_NAME],
            token=self._gate.token,
        )

    def clocks(self, request: Request) -> Response:
        """The state and the clocks of an incident: a frame of its page that counts by loading itself again."""
        incident = self.incident(request)
        return self._pages.html(
            "clocks.html",
            incident=incident,
            clocks=clocks(incident, self._rules.clocks),
            escalation=self._silences.told(incident),
        )

    def of_alert(self, request: Request) -> Response:
        """From an alert to its incident: what a message can link to."""
        number = self._store.with_alert(request.path_params["fingerprint"])
        return RedirectResponse(f"/incidents/{number}" if number else "/", status_code=303)

    async def change(self, request: Request) -> Response:
        """What a form or a program asks for."""
        fields = await self._gate.fields(request)
        number = _number(request)
        await run_in_threadpool(self._change, number, request.path_params["action"], fields)
        if request.url.path.startswith("/api/"):
            return JSONResponse(await run_in_threadpool(self._as_json, number))
        answer = RedirectResponse(f"/incidents/{number}", status_code=303)
        name = quote(text(fields, "who", longest=LONGEST_NAME))
        answer.set_cookie(_COOKIE, name, max_age=365 * 86_400, httponly=True, samesite="strict")
        return answer

    def _change(self, number: int, action: str, fields: dict[str, str]) -> None:
        who = text(fields, "who", longest=LONGEST_NAME, required=True)
        match action:
            case "state":
                state = State(_one_of(fields, "state", [state for state in State if state is not State.DETECTED]))
                self._store.set_state(number, state, who=who, note=text(fields, "note", longest=LONGEST_NOTE))
                self._silences.bring_up_to_date(wait=True)
            case "severity":
                self._store.set_severity(number, Sev(_one_of(fields, "severity", list(Sev))), who=who)
            case "note":
                self._store.add_note(number, text(fields, "text", longest=LONGEST_NOTE, required=True), who=who)
            case "public":
                self._store.set_public_text(number, text(fields, "text", longest=LONGEST_NOTE), who=who)
            case "post-mortem":
                revision = fields.get("revision", "")
                if not (revision.isascii() and revision.isdigit() and len(revision) < 10):
                    raise RefusedError(400, "malformed", '"revision" is not the number that the incident has.')
                self._store.set_post_mortem(
                    number,
                    root_cause=text(fields, "root_cause", longest=LONGEST_TEXT),
                    factors=text(fields, "contributing_factors", longest=LONGEST_TEXT),
                    prevention=text(fields, "prevention", longest=LONGEST_TEXT),
                    revision=int(revision),
                    who=who,
                )
            case _:
                raise RefusedError(
                    404, "malformed", "Incidents take: state, severity, note, public and post-mortem, nothing else."
                )

    def api_index(self, request: Request) -> Response:
        """Those open, and the newest of those resolved."""
        state = request.query_params.get("state", "all")
        if state not in ("all", "open", "resolved"):
            raise RefusedError(400, "malformed", '"state" is none of all, open and resolved.')
        found = [] if state == "resolved" else self._store.open()
        if state != "open":
            found += self._store.resolved(limit=_PAGE, before=_whole_number(request, "before"))
        return JSONResponse([self._summary(incident) for incident in found])

    def api_one(self, request: Request) -> Response:
        """One incident with its alerts and its log."""
        return JSONResponse(self._as_json(_number(request)))

    def incident(self, request: Request) -> Incident:
        """The incident that a request is about.

        Raises:
            NoIncidentError: there is none.
        """
        return self._store.get(_number(request))

    def with_clocks(self, incidents: list[Incident]) -> list[tuple[Incident, list[Clock]]]:
        """Incidents, each with its clocks."""
        return [(incident, clocks(incident, self._rules.clocks)) for incident in incidents]

    def _summary(self, incident: Incident) -> dict[str, object]:
        now = datetime.now(UTC)
        return as_json(asdict(incident)) | {
            "title": incident.title,
            "clocks": [
                {
                    "step": clock.name,
                    "allowed_seconds": clock.allowed.total_seconds(),
                    "taken_seconds": round(clock.taken(now).total_seconds(), 3),
                    "done": clock.done is not None,
                    "late": clock.late(now),
                }
                for clock in clocks(incident, self._rules.clocks)
            ],
        }

    def _as_json(self, number: int) -> dict[str, object]:
        incident = self._store.get(number)
        return self._summary(incident) | {
            "escalation": self._silences.told(incident),
            "firings": [as_json(asdict(firing)) for firing in self._store.firings(number)],
            "log": [as_json(asdict(entry)) for entry in self._store.log(number)],
        }


def as_json(values: dict[str, object]) -> dict[str, object]:
    """Times as text."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _number(request: Request) -> int:
    number: int = request.path_params["number"]
    if number > _LARGEST:
        raise NoIncidentError(number)
    return number


def _whole_number(request: Request, name: str) -> int | None:
    value = request.query_params.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise RefusedError(400, "malformed", f'"{name}" is no whole number.')
    return int(value)


def _one_of(fields: dict[str, str], name: str, known: Sequence[str]) -> str:
    value = fields.get(name, "")
    if value not in known:
        raise RefusedError(400, "malformed", f'"{name}" is none of {", ".join(known)}.')
    return value
