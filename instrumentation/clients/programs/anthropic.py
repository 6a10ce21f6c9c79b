"""The client of Anthropic, which makes spans by itself; also with OpenTelemetry's instrumentation."""

import asyncio

import anthropic
import genai_observability
from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
from opentelemetry.metrics import NoOpMeterProvider

from instrumentation.clients.programs import QUESTION, known

CALL = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": QUESTION}]}


def calls(client: anthropic.Anthropic) -> None:
    """Those of the synchronous client."""
    with known("plain"):
        client.messages.create(**CALL)
    with known("streamed"):
        list(client.messages.create(**CALL, stream=True))
    with known("stream"), client.messages.stream(**CALL) as stream:
        stream.get_final_message()
    with known("raw response"):
        client.messages.with_raw_response.create(**CALL).parse()


async def asynchronous_calls(client: anthropic.AsyncAnthropic) -> None:
    """Those of the asynchronous one."""
    with known("async"):
        await client.messages.create(**CALL)
    with known("async, streamed"):
        async for _ in await client.messages.create(**CALL, stream=True):
            pass
    with known("async, stream"):
        async with client.messages.stream(**CALL) as stream:
            await stream.get_final_message()


if __name__ == "__main__":
    genai_observability.instrument(service_name="clients")
    calls(anthropic.Anthropic())
    asyncio.run(asynchronous_calls(anthropic.AsyncAnthropic()))
    AnthropicInstrumentor().instrument(meter_provider=NoOpMeterProvider())
    with known("instrumented"):
        anthropic.Anthropic().messages.create(**CALL)
