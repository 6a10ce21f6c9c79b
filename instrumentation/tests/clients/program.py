"""An application that calls the provider at the given address in every way, each under a feature that names it.

It uses only what every supported version of the client has, and says what its stream was given.
"""

import asyncio
import contextlib
import json
import sys

import genai_observability
import openai
from openai.types.chat import ChatCompletionMessageParam

MODEL = "gpt-4o-mini"
EMBEDDING_MODEL = "text-embedding-3-small"
TEXT = "What is a trace?"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": TEXT}]
UNAVAILABLE = {"x-demo-fault": "unavailable"}
REFUSED = {"x-demo-fault": "bad_request"}


def calls(client: openai.OpenAI) -> None:
    """Plain calls."""
    chat = client.chat.completions
    with genai_observability.attributed_to(feature="plain"):
        chat.create(model=MODEL, messages=QUESTION)
    with genai_observability.attributed_to(feature="raw"):
        chat.with_raw_response.create(model=MODEL, messages=QUESTION).parse()
    with genai_observability.attributed_to(feature="embeddings"):
        client.embeddings.create(model=EMBEDDING_MODEL, input=TEXT)
    with genai_observability.attributed_to(feature="stream"):
        chunks = list(chat.create(model=MODEL, messages=QUESTION, stream=True))
        sys.stdout.write(json.dumps([chunk.model_dump(exclude_unset=True) for chunk in chunks]))
    with genai_observability.attributed_to(feature="abandoned stream"):
        stream = chat.create(model=MODEL, messages=QUESTION, stream=True)
        for _ in zip(range(3), stream, strict=False):
            pass
        stream.close()
    with genai_observability.attributed_to(feature="retried"), contextlib.suppress(openai.InternalServerError):
        chat.create(model=MODEL, messages=QUESTION, extra_headers=UNAVAILABLE)
    with genai_observability.attributed_to(feature="refused"), contextlib.suppress(openai.BadRequestError):
        chat.create(model=MODEL, messages=QUESTION, extra_headers=REFUSED)


async def asynchronous_calls(client: openai.AsyncOpenAI) -> None:
    """The same of the asynchronous client."""
    chat = client.chat.completions
    with genai_observability.attributed_to(feature="async plain"):
        await chat.create(model=MODEL, messages=QUESTION)
    with genai_observability.attributed_to(feature="async embeddings"):
        await client.embeddings.create(model=EMBEDDING_MODEL, input=TEXT)
    with genai_observability.attributed_to(feature="async stream"):
        async for _ in await chat.create(model=MODEL, messages=QUESTION, stream=True):
            pass
    with genai_observability.attributed_to(feature="async retried"), contextlib.suppress(openai.InternalServerError):
        await chat.create(model=MODEL, messages=QUESTION, extra_headers=UNAVAILABLE)
    await client.close()


def main(url: str) -> None:
    """Record the calls with nothing set up but the environment."""
    genai_observability.instrument(service_name="clients")
    with openai.OpenAI(base_url=url, api_key="test", max_retries=1) as client:
        calls(client)
    asyncio.run(asynchronous_calls(openai.AsyncOpenAI(base_url=url, api_key="test", max_retries=1)))


if __name__ == "__main__":
    main(sys.argv[1])
