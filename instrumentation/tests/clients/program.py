"""An application that calls the providers at two addresses in every way, each under a feature that names it.

It uses only what every supported version of the client has, and says what its stream was given. The first provider
knows chat and embeddings, the second one the other APIs.
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


def calls_of_other_apis(client: openai.OpenAI) -> None:
    """Images, audio, moderations, and a batch with its result."""
    with genai_observability.attributed_to(feature="image"):
        client.images.generate(model="gpt-image-1", prompt="a cat")
    with genai_observability.attributed_to(feature="moderation"):
        client.moderations.create(input=TEXT)
    with genai_observability.attributed_to(feature="speech"):
        client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
    with genai_observability.attributed_to(feature="transcription"):
        client.audio.transcriptions.create(model="whisper-1", file=("speech.wav", b"RIFF0000"))
    body = {"model": MODEL, "messages": QUESTION}
    request = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    with genai_observability.attributed_to(feature="batch"):
        file = client.files.create(file=("requests.jsonl", json.dumps(request).encode()), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        while batch.status != "completed":
            batch = client.batches.retrieve(batch.id)
        client.files.content(str(batch.output_file_id))


def main(first: str, second: str) -> None:
    """Record the calls with nothing set up but the environment."""
    genai_observability.instrument(service_name="clients")
    with openai.OpenAI(base_url=first, api_key="test", max_retries=1) as client:
        calls(client)
    with openai.OpenAI(base_url=second, api_key="test") as client:
        calls_of_other_apis(client)
    asyncio.run(asynchronous_calls(openai.AsyncOpenAI(base_url=first, api_key="test", max_retries=1)))


if __name__ == "__main__":
    main(*sys.argv[1:])
