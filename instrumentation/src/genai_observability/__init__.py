"""Traces, metrics, cost and a request log for every GenAI model call.

Example:
    import genai_observability
    import openai

    genai_observability.instrument(service_name="shop")
    client = openai.OpenAI()
    with genai_observability.attributed_to(feature="search", team="growth", user="alice@example.com"):
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello?"}])
"""

from genai_observability._application.chains import Opening, Step, agent, embedding, rerank, retrieval, tool, workflow
from genai_observability._application.feedback import evaluation, feedback, feedback_token
from genai_observability._application.operations import Cache, cache, circuit_breaker, fallback, queue_depth
from genai_observability._budgets.budget import Budget, BudgetExceeded
from genai_observability._budgets.leases import RedisStore
from genai_observability._content.settings import Content
from genai_observability._context.attribution import attributed_to
from genai_observability._instrument import Handle, instrument

__all__ = [
    "Budget",
    "BudgetExceeded",
    "Cache",
    "Content",
    "Handle",
    "Opening",
    "RedisStore",
    "Step",
    "agent",
    "attributed_to",
    "cache",
    "circuit_breaker",
    "embedding",
    "evaluation",
    "fallback",
    "feedback",
    "feedback_token",
    "instrument",
    "queue_depth",
    "rerank",
    "retrieval",
    "tool",
    "workflow",
]
