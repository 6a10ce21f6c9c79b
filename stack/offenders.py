"""The gauges of offenders: the few calls, traces and users above a limit, whom the usage service offers to Prometheus.

The one place where a user's hash or a trace is a label, besides the alerts made of it: ten series a kind at a time, and
so many new ones a day. Every other metric has neither; who else did what is in the warehouse.
"""

from typing import Final

from genai_observability.signals import FEATURE, INPUT_TOKENS, REQUEST_MODEL, USER_HASH, Attribute, Metric

TRACE: Final = Attribute(name="trace_id", type="string", meaning="The trace that the calls are in")

CALL: Final = Metric(
    name="genai_offender_call_usd",
    kind="gauge",
    unit="{USD}",
    meaning="Price of a call of the last 5 minutes that is above the limit: the dearest of each feature.",
    labels=(FEATURE, REQUEST_MODEL, USER_HASH, TRACE),
)
LOOP: Final = Metric(
    name="genai_offender_trace_calls",
    kind="gauge",
    unit="{call}",
    meaning="Calls of one trace within 5 minutes that are above the limit: the longest of each feature.",
    labels=(FEATURE, TRACE),
)
SAME: Final = Metric(
    name="genai_offender_same_calls",
    kind="gauge",
    unit="{call}",
    meaning="Calls of one user within 2 minutes to one feature and model, with equally many input tokens, that are "
    "above the limit: the most of each feature. Without embeddings, which are of pieces of one size.",
    labels=(FEATURE, REQUEST_MODEL, USER_HASH, INPUT_TOKENS),
)
USER_CALLS: Final = Metric(
    name="genai_offender_user_calls",
    kind="gauge",
    unit="{call}",
    meaning="Calls of one user within 5 minutes that are above the limit. Without embeddings, which are made for a "
    "request, not by a user.",
    labels=(USER_HASH,),
)
USER_TOKENS: Final = Metric(
    name="genai_offender_user_tokens",
    kind="gauge",
    unit="{token}",
    meaning="Tokens of one user within an hour, in and out, that are above the limit.",
    labels=(USER_HASH,),
)
USER_MONEY: Final = Metric(
    name="genai_offender_user_usd",
    kind="gauge",
    unit="{USD}",
    meaning="US dollars of one user within 24 hours that are above the limit.",
    labels=(USER_HASH,),
)
GAUGES: Final = (CALL, LOOP, SAME, USER_CALLS, USER_TOKENS, USER_MONEY)
