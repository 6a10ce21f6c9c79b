"""Turns templates into answers: HTML that nothing in it can break, and Markdown."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from stack.inbox import words
from stack.inbox.notification import parse_time

_TRACE_ID = re.compile(r"[0-9a-f]{16,32}")

# Nothing but the page's own style sheet and pages is loaded and nothing runs, whatever a label contains. Forms are sent
# to the inbox alone, and no other site can put a page into a frame to make someone click in it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-src 'self'; frame-ancestors 'self'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_PUBLIC_HEADERS = {
    **_HEADERS,
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    # Many readers at once are no load for a proxy that may keep it for a moment.
    "Cache-Control": "public, max-age=15",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Links:
    """Where the inbox finds the servers, and where a trace can be looked at: ``TRACE_ID`` stands for its id."""

    prometheus: str
    alertmanager: str
    trace: str


class Pages:
    """The templates."""

    def __init__(self, links: Links) -> None:
        self.style = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
        self._links = links
        self._html = self._environment(autoescape=True)
        # Markdown is no HTML: what comes from outside is escaped by the filters `markdown` and `quoted`.
        self._text = self._environment(autoescape=False)

    def _environment(self, *, autoescape: bool) -> Environment:
        environment = Environment(
            loader=PackageLoader("stack.inbox"),
            autoescape=autoescape,  # noqa: S701 - the only other one is for Markdown
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "clock": words.clock, "lasting": words.length, "number": words.number, "percent": words.percent,
            "seconds": words.seconds, "money": words.money, "markdown": words.markdown, "quoted": words.quoted,
            "as_time": parse_time, "segment": lambda text: quote(text, safe=""),
        }  # fmt: skip
        environment.globals |= {"trace_url": self.trace_url, "change": words.change}
        environment.tests["web_address"] = _is_web_address
        return environment

    def trace_url(self, trace_id: str) -> str:
        """Where a trace can be looked at; empty where the id is none."""
        return self._links.trace.replace("TRACE_ID", trace_id) if _TRACE_ID.fullmatch(trace_id) else ""

    def html(self, template: str, *, code: int = 200, public: bool = False, **values: object) -> Response:
        """A page."""
        text = self._html.get_template(template).render(now=datetime.now(UTC), **values)
        return HTMLResponse(text, status_code=code, headers=_PUBLIC_HEADERS if public else _HEADERS)

    def markdown(self, template: str, *, name: str, **values: object) -> Response:
        """A file to download."""
        text = self._text.get_template(template).render(now=datetime.now(UTC), **values)
        headers = {**_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, media_type="text/markdown; charset=utf-8", headers=headers)


def _is_web_address(text: str) -> bool:
    """Whether a link may be followed: a javascript: address in an annotation must never become one."""
    return text.startswith(("http://", "https://"))
