"""A web service: each request is one trace, and says which user, session and route its model calls are for."""

from collections.abc import AsyncIterator
from typing import Annotated

import genai_observability
import openai
from fastapi import Cookie, Depends, FastAPI, Header, Request
from fastapi.responses import StreamingResponse
from openai.types.chat import ChatCompletionChunk
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from pydantic import BaseModel

genai_observability.instrument(service_name="shop-api")
client = openai.AsyncOpenAI()


async def attributed(  # async, as a plain function would run in a thread of its own, where attribution stays behind
    request: Request,
    user: Annotated[str | None, Header(alias="X-User")] = None,  # in your service: from its authentication
    session: Annotated[str | None, Cookie()] = None,
) -> AsyncIterator[None]:
    """Attributes everything that a request does."""
    with genai_observability.attributed_to(
        feature="answers", team="shop", endpoint=request.scope["route"].path, user=user, session=session
    ):
        yield


app = FastAPI(dependencies=[Depends(attributed)])
FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"])  # one span a request, not one a chunk


class Question(BaseModel):
    text: str


@app.post("/answers")
async def answer(question: Question) -> dict[str, str | None]:
    completion = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question.text}]
    )
    return {"answer": completion.choices[0].message.content}


@app.post("/answers/stream")
async def answer_stream(question: Question) -> StreamingResponse:
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": question.text}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return StreamingResponse(pieces(stream), media_type="text/plain")


async def pieces(stream: openai.AsyncStream[ChatCompletionChunk]) -> AsyncIterator[str]:
    async with stream:  # a reader who goes away ends the call too: it is recorded as cancelled
        async for chunk in stream:
            for choice in chunk.choices:
                yield choice.delta.content or ""
