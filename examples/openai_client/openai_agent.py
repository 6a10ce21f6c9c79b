"""An agent with a tool: one trace that shows the agent, its tool calls, and each call of the model with its cost."""

import genai_observability
from agents import Agent, Runner, function_tool, set_trace_processors
from opentelemetry.instrumentation.genai.openai_agents import OpenAIAgentsInstrumentor

genai_observability.instrument(service_name="agent")
set_trace_processors([])  # the SDK's own traces, with questions and answers, would go to OpenAI
OpenAIAgentsInstrumentor().instrument()  # spans of the agent and its tools, around those of the model calls


@function_tool
def order_status(order: str) -> str:
    """Where an order is."""
    return f"Order {order} was handed to the carrier yesterday."


agent = Agent(
    name="Support",
    instructions="Help with orders. Look their status up before you answer.",
    model="gpt-4o-mini",
    tools=[order_status],
)

with genai_observability.attributed_to(feature="orders", team="support", user="alice@example.com", session="s-1"):
    print(Runner.run_sync(agent, "Where is my order 17?").final_output)
