"""The client of Google, with OpenTelemetry's instrumentation."""

import asyncio

import genai_observability
from google.genai import Client
from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor
from opentelemetry.metrics import NoOpMeterProvider

from instrumentation.clients.programs import QUESTION, known

CALL = {"model": "gemini-2.5-flash", "contents": QUESTION}


def look_up(word: str) -> str:
    """What a word means."""
    return f"{word}: the spans of one request."


async def asynchronous_calls(client: Client) -> None:
    """Those of the asynchronous client."""
    with known("async"):
        await client.aio.models.generate_content(**CALL)
    with known("async, streamed"):
        async for _ in await client.aio.models.generate_content_stream(**CALL):
            pass


if __name__ == "__main__":
    genai_observability.instrument(service_name="clients")
    GoogleGenAiSdkInstrumentor().instrument(skip_dep_check=True, meter_provider=NoOpMeterProvider())
    client = Client(http_options={"api_version": "v1beta"})  # the one that the simulated provider knows
    with known("plain"):
        client.models.generate_content(**CALL)
    with known("streamed"):
        list(client.models.generate_content_stream(**CALL))
    with known("chat"):
        client.chats.create(model=CALL["model"]).send_message(QUESTION)
    with known("chat, streamed"):
        list(client.chats.create(model=CALL["model"]).send_message_stream(QUESTION))
    with known("chat with a function", calls=2):
        client.chats.create(model=CALL["model"], config={"tools": [look_up]}).send_message("Look it up.")
    asyncio.run(asynchronous_calls(client))
