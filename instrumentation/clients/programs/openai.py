"""The client of OpenAI, in each way to make a call."""

import asyncio

import genai_observability
import openai
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from instrumentation.clients.programs import MODEL, QUESTION, known

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
EMBEDDING_MODEL = "text-embedding-3-small"


def calls(client: openai.OpenAI) -> None:
    """Those of the synchronous client."""
    chat = client.chat.completions
    with known("plain"):
        chat.create(model=MODEL, messages=MESSAGES)
    with known("streamed"):
        list(chat.create(model=MODEL, messages=MESSAGES, stream=True))
    with known("raw response"):
        chat.with_raw_response.create(model=MODEL, messages=MESSAGES).parse()
    with known("responses"):
        client.responses.create(model=MODEL, input=QUESTION)
    with known("responses, streamed"):
        list(client.responses.create(model=MODEL, input=QUESTION, stream=True))
    with known("embeddings"):
        client.embeddings.create(model=EMBEDDING_MODEL, input=QUESTION)
    with known("post"):
        client.post("/chat/completions", body={"model": MODEL, "messages": MESSAGES}, cast_to=ChatCompletion)


async def asynchronous_calls(client: openai.AsyncOpenAI) -> None:
    """Those of the asynchronous one."""
    chat = client.chat.completions
    with known("async"):
        await chat.create(model=MODEL, messages=MESSAGES)
    with known("async, streamed"):
        async for _ in await chat.create(model=MODEL, messages=MESSAGES, stream=True):
            pass
    with known("async, responses"):
        await client.responses.create(model=MODEL, input=QUESTION)
    with known("async, embeddings"):
        await client.embeddings.create(model=EMBEDDING_MODEL, input=QUESTION)
    with known("async, post"):
        await client.post("/chat/completions", body={"model": MODEL, "messages": MESSAGES}, cast_to=ChatCompletion)


if __name__ == "__main__":
    genai_observability.instrument(service_name="clients")
    calls(openai.OpenAI())
    asyncio.run(asynchronous_calls(openai.AsyncOpenAI()))
