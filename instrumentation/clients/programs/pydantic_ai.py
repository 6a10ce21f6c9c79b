"""An agent of Pydantic AI with models of OpenAI's, also with the spans that it makes by itself."""

import asyncio

import genai_observability
from opentelemetry.metrics import NoOpMeterProvider
from pydantic_ai import Agent
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.models.instrumented import InstrumentationSettings

from instrumentation.clients.programs import MODEL, QUESTION, known

SPANS = Instrumentation(InstrumentationSettings(include_content=False, meter_provider=NoOpMeterProvider()))


async def run(agent: Agent) -> None:
    """One run whose text is streamed."""
    async with agent.run_stream(QUESTION) as answer:
        async for _ in answer.stream_text():
            pass


async def calls() -> None:
    """Those of one event loop, which the client is bound to."""
    chat, responses = Agent(f"openai-chat:{MODEL}"), Agent(f"openai-responses:{MODEL}")
    with known("plain"):
        await chat.run(QUESTION)
    with known("streamed"):
        await run(chat)
    with known("responses"):
        await responses.run(QUESTION)
    with known("responses, streamed"):
        await run(responses)
    with known("instrumented"):
        await Agent(f"openai-chat:{MODEL}", capabilities=[SPANS]).run(QUESTION)
    with known("instrumented, streamed"):
        await run(Agent(f"openai-responses:{MODEL}", capabilities=[SPANS]))


if __name__ == "__main__":
    genai_observability.instrument(service_name="clients")
    asyncio.run(calls())
