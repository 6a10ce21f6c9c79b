"""What people send: read whole or refused, with one sentence and a status."""

import hmac
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

MAX_FORM_BYTES = 393_216
"""The longest post-mortem that is kept has 360,000 bytes, with each character of it written as `%F0%9F%8E%89`."""
_MOST_FIELDS = 20
_KEPT = "\n\t\u200d"  # the last one joins emoji; other characters that do not show could hide something


class RefusedError(Exception):
    """A request that is not done; the message is a sentence for the sender."""

    def __init__(self, status: int, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        """One word, for the metrics."""


class Gate:
    """Who may send what: only pages of the inbox itself, and programs."""

    def __init__(self, token: str) -> None:
        self.token = token

    async def fields(self, request: Request) -> dict[str, str]:
        """The fields of a form, or of a JSON object.

        Raises:
            RefusedError: it comes from another site, is too large, or is neither of the two.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":  # which a page cannot send to another site without being asked first
            fields = _json(await _body(request))
        elif kind == "application/x-www-form-urlencoded":
            _require_same_origin(request.headers)
            fields = _form(await _body(request))
            if not hmac.compare_digest(fields.pop("token", "").encode(), self.token.encode()):
                raise RefusedError(403, "token", "The form is not of this inbox: load the page again, then send it.")
        else:
            raise RefusedError(415, "type", "The inbox takes forms and application/json only.")
        return fields


def _require_same_origin(headers: Mapping[str, str]) -> None:
    """What a browser says of where a form was sent from; a program says nothing of it."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    # Over http or https: a proxy in front may speak the other one with the browser.
    ours = (None, *(f"{scheme}://{headers.get('host')}" for scheme in ("http", "https")))
    if site not in (None, "same-origin") or origin not in ours:
        raise RefusedError(403, "origin", "The form was sent from a page of another site.")


async def _body(request: Request) -> bytes:
    body = await read(request, MAX_FORM_BYTES)
    if body is None:
        raise RefusedError(413, "size", f"The body is larger than {MAX_FORM_BYTES} bytes.")
    return body


async def read(request: Request, limit: int) -> bytes | None:
    """The body, or None where it is larger than the limit; no more than that is ever held in memory."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _form(body: bytes) -> dict[str, str]:
    try:
        return dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
        )
    except ValueError:  # of which UnicodeDecodeError is one
        raise RefusedError(400, "malformed", "The body is not a form in UTF-8.") from None


def _json(body: bytes) -> dict[str, str]:
    try:
        found = json.loads(body.decode("utf-8"))
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # refuses half a surrogate pair: no page can show it
    except (ValueError, RecursionError):
        raise RefusedError(400, "malformed", "The body is not JSON in UTF-8.") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise RefusedError(400, "malformed", "The body is not a JSON object of texts.")
    return found


def text(fields: Mapping[str, str], name: str, *, longest: int, required: bool = False) -> str:
    """A field without blanks around it and without control characters; empty where it may be left out.

    Raises:
        RefusedError: it is missing or too long.
    """
    value = fields.get(name, "").replace("\r\n", "\n")
    value = "".join(
        letter for letter in value if letter in "\n\t" or letter.isprintable() or letter == "\u200d"
    ).strip()
    if required and not value:
        raise RefusedError(400, "malformed", f'"{name}" is missing.')
    if len(value) > longest:
        raise RefusedError(400, "malformed", f'"{name}" is longer than {longest:,} characters.')
    return value
