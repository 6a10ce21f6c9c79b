"""Traces, metrics, cost and a request log for every GenAI model call.

import genai_observability

genai_observability.instrument(service_name="shop")
with genai_observability.attributed_to(feature="search", team="growth", user="alice@example.com"):
    ...
"""

from genai_observability._attribution import attributed_to
from genai_observability._budgets.budget import Budget, BudgetExceeded
from genai_observability._budgets.leases import RedisStore
from genai_observability._content.settings import Content
from genai_observability._instrument import Handle, evaluation, feedback, instrument, receipt

__all__ = [
    "Budget",
    "BudgetExceeded",
    "Content",
    "Handle",
    "RedisStore",
    "attributed_to",
    "evaluation",
    "feedback",
    "instrument",
    "receipt",
]
