"""Agents of OpenAI's SDK, also with OpenTelemetry's spans of agents and tools."""

import asyncio

import genai_observability
from agents import Agent, Runner, function_tool, set_trace_processors
from opentelemetry.instrumentation.genai.openai_agents import OpenAIAgentsInstrumentor

from instrumentation.clients.programs import MODEL, QUESTION, known


def look_up(word: str) -> str:
    """What a word means."""
    return f"{word}: the spans of one request."


PLAIN = Agent(name="plain", model=MODEL)
# The model is asked twice: it calls the tool, then it answers.
WITH_TOOL = Agent(name="with a tool", model=MODEL, tools=[function_tool(look_up)])


async def stream(agent: Agent) -> None:
    """One run whose events are streamed."""
    async for _ in Runner.run_streamed(agent, QUESTION).stream_events():
        pass


async def calls() -> None:
    """Those of one event loop, which the client is bound to."""
    with known("plain"):
        await Runner.run(PLAIN, QUESTION)
    with known("streamed"):
        await stream(PLAIN)
    with known("with a tool", calls=2):
        await Runner.run(WITH_TOOL, QUESTION)
    with known("with a tool, streamed", calls=2):
        await stream(WITH_TOOL)
    OpenAIAgentsInstrumentor().instrument()
    with known("instrumented", calls=2):
        await Runner.run(WITH_TOOL, QUESTION)


if __name__ == "__main__":
    genai_observability.instrument(service_name="clients")
    set_trace_processors([])  # the SDK's own traces would go to OpenAI
    asyncio.run(calls())
