"""The provider's HTTP service: the API under /v1, its ledger and its faults under /control."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from random import Random
from types import ModuleType
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from demo.provider import chat, embeddings, responses
from demo.provider.answers import Answer, BadRequestError, answer, embedding_seconds
from demo.provider.faults import HEADER, REFUSALS, Fault, Faults, Refusal
from demo.provider.ledger import Ledger
from demo.provider.limits import RateLimit
from demo.provider.models import MODELS, named
from demo.provider.requests import required
from demo.provider.usage import PromptCache, Usage, tokens

_SLOWER: Final = 4.0
_SLOWEST: Final = 4.0
"""Seconds; a slow answer still arrives before the sample application gives up, after 5, or it would be no answer."""
_CRAWL_SECONDS: Final = 10.0
_HEAVIER: Final = 1000
_NONSENSE: Final = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed eiusmod tempor incididunt ut labore."
_REFUSAL_SECONDS: Final = 0.05
_LONGEST_HANG: Final = 600.0


class Provider:
    """One provider with its ledger, faults, cache and random numbers.

    ``latency`` scales every waiting time: 1.0 is realistic, 0.0 answers at once. The same ``seed`` and the same
    requests in the same order give the same answers, times and faults; ids are always new.
    """

    def __init__(self, *, seed: int = 0, latency: float = 1.0) -> None:
        self.ledger = Ledger()
        self.faults = Faults(seed=seed)
        self._latency = latency
        self._seed = seed
        self._cache = PromptCache()
        self._limit = RateLimit()

    def application(self) -> Starlette:
        """The service."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/v1/embeddings", self._embeddings, methods=["POST"]),
                Route("/v1/models", self._models),
                Route("/healthz", self._health),
                Route("/control/ledger", self._report),
                Route("/control/faults", self._faults, methods=["GET", "PUT"]),
            ]
        )

    async def _chat(self, request: Request) -> Response:
        return await self._generate(request, chat)

    async def _responses(self, request: Request) -> Response:
        return await self._generate(request, responses)

    async def _generate(self, request: Request, wire: ModuleType) -> Response:
        """Serves either API that writes text; ``wire`` is the module of its wire format."""
        fault, refusal = await self._admit(request)
        if refusal:
            return refusal
        try:
            body = await _json(request)
            prompt = wire.read(body)
        except BadRequestError as error:
            return await self._refuse(_bad_request(str(error)))
        found = _spoiled(answer(prompt, cache=self._cache, random=self._random()), fault)
        ids = {"unique": uuid.uuid4().hex, "created": int(time.time())}
        used = found.usage.input_tokens + found.usage.output_tokens
        if prompt.stream:
            seconds = self._seconds(found.first_token, fault) + self._delay(fault)
            await asyncio.sleep(seconds)
            return StreamingResponse(
                self._stream(found, wire.chunks(found, body, **ids), self._seconds(found.token, fault)),
                headers=self._headers(used, seconds),
                media_type="text/event-stream; charset=utf-8",
            )
        seconds = self._seconds(found.seconds, fault) + self._delay(fault)
        await asyncio.sleep(seconds)
        headers = self._headers(used, seconds)
        return await self._bill(request, found.model, found.usage, wire.whole(found, body, **ids), headers)

    async def _embeddings(self, request: Request) -> Response:
        fault, refusal = await self._admit(request)
        if refusal:
            return refusal
        try:
            body = await _json(request)
            model = named(required(body, "model", str))
            content, usage = embeddings.whole(body, snapshot=model.snapshot)
        except BadRequestError as error:
            return await self._refuse(_bad_request(str(error)))
        seconds = self._seconds(embedding_seconds(model, self._random()), fault)
        await asyncio.sleep(seconds)
        headers = self._headers(usage.input_tokens, seconds)
        return await self._bill(request, model.snapshot, usage, content, headers)

    async def _admit(self, request: Request) -> tuple[Fault | None, Response | None]:
        """Counts the attempt, and decides whether it gets an answer or an error."""
        retry = request.headers.get("x-stainless-retry-count", "0") != "0"
        self.ledger.attempted(first=not retry)
        if not request.headers.get("authorization", "").removeprefix("Bearer ").strip():
            return None, await self._refuse(REFUSALS[Fault.UNAUTHORIZED])
        fault = self.faults.draw(await request.body(), retry=retry, asked=request.headers.get(HEADER))
        if fault is Fault.HANG:
            return fault, await self._hang(request)
        if fault in REFUSALS:
            return fault, await self._refuse(REFUSALS[fault])
        return fault, None

    async def _hang(self, request: Request) -> Response:
        deadline = time.monotonic() + _LONGEST_HANG
        while time.monotonic() < deadline and not await request.is_disconnected():
            await asyncio.sleep(0.05)
        self.ledger.unfinished += 1
        return Response(status_code=504)

    async def _refuse(self, refusal: Refusal) -> Response:
        await asyncio.sleep(_REFUSAL_SECONDS * self._latency)
        self.ledger.refused[refusal.status] += 1
        headers = self._headers(0, _REFUSAL_SECONDS * self._latency) | dict(refusal.headers or {})
        return JSONResponse(refusal.body(), status_code=refusal.status, headers=headers)

    async def _bill(
        self, request: Request, model: str, usage: Usage, content: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Response:
        """Answers, and bills unless the client has given up waiting."""
        if await request.is_disconnected():
            self.ledger.unfinished += 1
        else:
            self.ledger.answered(model, usage)
        return JSONResponse(content, headers=headers)

    async def _stream(
        self, found: Answer, chunks: Iterator[tuple[str | None, Any]], pause: float
    ) -> AsyncIterator[str]:
        """Sends the chunks at the model's pace, and bills once the last one is out."""
        complete = False
        try:
            for number, (event, data) in enumerate(chunks):
                if number:  # no pause after the last one, when the client may already be gone
                    await asyncio.sleep(pause)
                yield (f"event: {event}\n" if event else "") + f"data: {_line(data)}\n\n"
            complete = True
        finally:
            if complete:
                self.ledger.answered(found.model, found.usage)
            else:
                self.ledger.unfinished += 1

    async def _models(self, request: Request) -> Response:
        del request
        data = [
            {"id": name, "object": "model", "created": model.created, "owned_by": "system"}
            for name, model in MODELS.items()
        ]
        return JSONResponse({"object": "list", "data": data}, headers=self._headers(0, 0.0))

    async def _health(self, request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"})

    async def _report(self, request: Request) -> Response:
        del request
        return JSONResponse(self.ledger.report())

    async def _faults(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self.faults.set(await _json(request))
            except (ValueError, BadRequestError) as error:
                return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse(self.faults.shares)

    def _seconds(self, usual: float, fault: Fault | None) -> float:
        slow = min(usual * _SLOWER, max(usual, _SLOWEST)) if fault is Fault.SLOW else usual
        return slow * self._latency

    def _delay(self, fault: Fault | None) -> float:
        return _CRAWL_SECONDS * self._latency if fault is Fault.CRAWL else 0.0

    def _headers(self, tokens: int, seconds: float) -> dict[str, str]:
        return {
            "x-request-id": f"req_{uuid.uuid4().hex}",
            "openai-processing-ms": str(round(seconds * 1000)),
            "openai-version": "2020-10-01",
            **self._limit.headers(tokens),
        }

    def _random(self) -> Random:
        # One generator a request: how one answer is made up does not change the next.
        return Random(f"{self._seed}:{self.ledger.attempts}")  # noqa: S311 -- repeatable, not secret


def _spoiled(found: Answer, fault: Fault | None) -> Answer:
    """The answer as the fault leaves it; what is billed is what it says of its tokens."""
    if fault is Fault.HEAVY:
        return replace(found, usage=found.usage * _HEAVIER)
    if fault is Fault.UNCACHED:
        return replace(found, usage=replace(found.usage, cached_tokens=0))
    if fault is Fault.NONSENSE and not found.tool:
        pieces = tokens(_NONSENSE)
        output = len(pieces) + found.usage.reasoning_tokens
        return replace(found, pieces=pieces, cut=False, usage=replace(found.usage, output_tokens=output))
    return found


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise BadRequestError("We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise BadRequestError("The body of the request must be a JSON object.")
    return body


def _line(data: object) -> str:
    return data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))


def _bad_request(message: str) -> Refusal:
    return Refusal(status=400, type="invalid_request_error", code=None, message=message)
