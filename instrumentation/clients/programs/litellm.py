"""The SDK of LiteLLM, with a model of OpenAI's."""

import asyncio

import genai_observability
import litellm

from instrumentation.clients.programs import MODEL, QUESTION, known

CALL = {"model": f"openai/{MODEL}", "messages": [{"role": "user", "content": QUESTION}]}


async def asynchronous_calls() -> None:
    """The same, asynchronously."""
    with known("async"):
        await litellm.acompletion(**CALL)
    with known("async, streamed"):
        async for _ in await litellm.acompletion(**CALL, stream=True):
            pass


if __name__ == "__main__":
    genai_observability.instrument(service_name="clients")
    with known("plain"):
        litellm.completion(**CALL)
    with known("streamed"):
        list(litellm.completion(**CALL, stream=True))
    with known("embeddings"):
        litellm.embedding(model="openai/text-embedding-3-small", input=[QUESTION])
    asyncio.run(asynchronous_calls())
