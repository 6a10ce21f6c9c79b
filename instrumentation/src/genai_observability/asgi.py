"""Feedback from web pages."""

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from genai_observability._application.feedback import feedback

_Message = MutableMapping[str, Any]
_LONGEST: Final = 16_384  # bytes of a request
_REMEMBERED: Final = 10_000  # pieces of feedback
_SIGNATURE: Final = 22  # characters that a token begins with, and by which it is known
_TEXTS: Final = ("feedback_token", "kind", "category", "comment")


class FeedbackEndpoint:
    """A small ASGI application that takes feedback from web pages: mount it where the pages can reach it.

    A page sends what ``feedback_token()`` gave it with the answer by POST, as JSON of at most 16 KiB:
    ``{"feedback_token": "…", "kind": "down", "category": "outdated", "comment": "…"}``, with ``"stars"`` where the
    kind is that. The answer is 204 for feedback that was recorded, and 4xx with one sentence for anything else.

    Anybody on the internet may be a page. Only these tokens are taken, which are signed, and each kind of feedback
    on an answer is counted once by a process.

    Args:
        allow_origins: Other origins whose pages may send feedback, such as ``"https://shop.example"``. Those of the
            same origin may always.

    Example:
        from genai_observability.asgi import FeedbackEndpoint
        from starlette.applications import Starlette

        app = Starlette()
        app.mount("/feedback", FeedbackEndpoint(allow_origins=["https://shop.example"]))
    """

    def __init__(self, *, allow_origins: Sequence[str] = ()) -> None:
        self._origins = frozenset(allow_origins)
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def __call__(
        self, scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        """Serve one request: https://asgi.readthedocs.io/en/latest/specs/www.html."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status, sentence, more = await self._answer(scope["method"], receive)
        more += self._cors(headers.get("origin"))
        await send({"type": "http.response.start", "status": status, "headers": more})
        await send({"type": "http.response.body", "body": sentence.encode()})

    async def _answer(
        self, method: str, receive: Callable[[], Awaitable[_Message]]
    ) -> tuple[int, str, list[tuple[bytes, bytes]]]:
        if method == "OPTIONS":
            return 204, "", []
        if method != "POST":
            return 405, "Feedback is sent by POST.", [(b"allow", b"POST, OPTIONS")]
        if (body := await _body(receive)) is None:
            return 413, f"Feedback has at most {_LONGEST} bytes.", []
        if (said := _read(body)) is None:
            return 400, 'Feedback is a JSON object with "feedback_token" and "kind".', []
        key = (said["feedback_token"][:_SIGNATURE], said["kind"])
        if key in self._seen:
            return 204, "", []
        if not feedback(**said):
            return 400, "The kind of feedback or the feedback token is not known.", []
        self._seen[key] = None  # not before: what was refused may be sent again, corrected, and takes no room
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return 204, "", []

    def _cors(self, origin: str | None) -> list[tuple[bytes, bytes]]:
        if origin is None or origin not in self._origins:
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-headers", b"content-type"),
            (b"access-control-allow-methods", b"POST"),
            (b"vary", b"origin"),
        ]


async def _body(receive: Callable[[], Awaitable[_Message]]) -> bytes | None:
    """The whole request; ``None`` for one that is too long."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > _LONGEST:
            return None
        if not message.get("more_body"):
            return body


def _read(body: bytes) -> dict[str, Any] | None:
    """The arguments for ``feedback()``; ``None`` where the request is not of the right shape."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):  # the latter for thousands of brackets
        return None
    if not isinstance(said, dict):
        return None
    texts = {name: said[name] for name in _TEXTS if said.get(name) is not None}
    if not all(isinstance(value, str) for value in texts.values()) or not {"feedback_token", "kind"} <= texts.keys():
        return None
    return {**texts, "stars": said.get("stars")}
