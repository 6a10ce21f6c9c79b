"""HTTP in: each route says who its model calls are for, and turns the provider's errors into answers."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import genai_observability
import openai
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from demo.app.assistant import PROMPTS, Answer, Assistant
from demo.app.clients import Clients
from demo.app.library import Library, read_passages
from demo.app.tracing import RequestSpans

_PAGE = Path(__file__).parent / "page.html"
_SORTING_PLACES: Final = 2
"""The shop's own model takes so many messages at a time; more of them wait."""
_RATINGS: Final = ("up", "down", "stars", "report", "copy", "regenerate")

_log = logging.getLogger(__name__)


def create_app(clients: Clients, *, on_shutdown: Callable[[], object] = lambda: None) -> Starlette:
    """The application; ``on_shutdown`` is called once the last request has been answered."""
    assistant = Assistant(clients.asynchronous, clients.plain, Library(clients.asynchronous, read_passages()))
    places = anyio.CapacityLimiter(_SORTING_PLACES)
    genai_observability.queue_depth("sorting", lambda: places.statistics().tasks_waiting)

    async def ask(request: Request) -> Response:
        body = await _read(request)
        question = _text(body, "question")
        version = _answer_version(body)
        with _attributed(request, body, prompt="answer", version=version):
            return JSONResponse(_shown(await assistant.answer(question, prompt=PROMPTS[version])))

    async def ask_stream(request: Request) -> Response:
        body = await _read(request)
        question = _text(body, "question")
        version = _answer_version(body)
        with _attributed(request, body, prompt="answer", version=version):
            pieces = await assistant.stream(question, prompt=PROMPTS[version])
        lines = (json.dumps(_shown(piece)) + "\n" async for piece in pieces)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def summarise(request: Request) -> Response:
        body = await _read(request)
        topic = _text(body, "topic")
        with _attributed(request, body, prompt="summary", version="2"):
            return JSONResponse(_shown(await assistant.summarise(topic)))

    async def research(request: Request) -> Response:
        body = await _read(request)
        question = _text(body, "question")
        with _attributed(request, body, prompt="research", version="1"):
            return JSONResponse(_shown(await assistant.research(question)))

    async def sort(request: Request) -> Response:
        body = await _read(request)
        message = _text(body, "message")
        with _attributed(request, body, prompt="sort", version="1"):
            return JSONResponse(_shown(await anyio.to_thread.run_sync(assistant.sort, message, limiter=places)))

    async def calls(_: Request) -> Response:
        return JSONResponse({"calls": clients.count.calls})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await clients.close()
        await run_in_threadpool(on_shutdown)

    return Starlette(
        routes=[
            Route("/", _page),
            Route("/healthz", _health),
            Route("/calls", calls),
            Route("/ask", ask, methods=["POST"]),
            Route("/ask/stream", ask_stream, methods=["POST"]),
            Route("/summarise", summarise, methods=["POST"]),
            Route("/research", research, methods=["POST"]),
            Route("/sort", sort, methods=["POST"]),
            Route("/feedback", _feedback, methods=["POST"]),
        ],
        middleware=[Middleware(RequestSpans)],
        exception_handlers={openai.APIError: _provider_error},  # type: ignore[dict-item]  # Starlette: any Exception
        lifespan=lifespan,
    )


async def _feedback(request: Request) -> Response:
    body = await _read(request)
    rating, stars, category = (body.get(name) for name in ("rating", "stars", "category"))
    if rating not in _RATINGS:
        raise HTTPException(400, f"rating must be one of {', '.join(_RATINGS)}")
    if (rating == "stars") != (stars in (1, 2, 3, 4, 5)):
        raise HTTPException(400, "stars must be 1 to 5, and go with the rating stars alone")
    genai_observability.feedback(rating, stars=stars, category=category, response_id=_text(body, "response_id"))
    return Response(status_code=204)


async def _page(_: Request) -> Response:
    return FileResponse(_PAGE)


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _answer_version(body: Mapping[str, Any]) -> str:
    """A rollout: the new prompt is for the users of variant B, the others keep the old one."""
    return "5" if body.get("variant") == "B" else "4"


def _attributed(
    request: Request, body: Mapping[str, Any], *, prompt: str, version: str
) -> genai_observability.attributed_to:
    """Who the calls of this request are for. The callers are the shop's own front ends, so their word is taken."""
    given = {name: body.get(name) for name in ("feature", "team", "tenant", "user", "user_tier", "session")}
    return genai_observability.attributed_to(
        **given,
        conversation=body.get("conversation"),
        endpoint=request.url.path,
        prompt_name=prompt,
        prompt_version=version,
        variant=body.get("variant"),
        metadata={"language": body.get("language", "en")},
    )


async def _read(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise HTTPException(400, "the body is no JSON") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return body


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise HTTPException(400, f"{name} is missing")
    return value


def _shown(answer: Answer) -> dict[str, object]:
    return {"text": answer.text, "sources": list(answer.sources), "response_id": answer.response_id}


async def _provider_error(request: Request, error: openai.APIError) -> Response:
    _log.warning("%s failed: %s", request.url.path, type(error).__name__)
    if isinstance(error, openai.RateLimitError):
        return JSONResponse({"error": "Too many questions at once, try again."}, 429, headers={"retry-after": "1"})
    if isinstance(error, openai.APITimeoutError):
        return JSONResponse({"error": "The model takes too long, try again."}, 504)
    return JSONResponse({"error": "The model cannot be reached, try again."}, 502)
