"""What spans, log records and metrics of this package carry: every attribute, and the fields of each kind of record.

Two sums that are easy to get wrong: ``gen_ai.usage.input_tokens`` already includes the cached tokens, and
``gen_ai.usage.output_tokens`` already includes the reasoning tokens.
"""

from functools import partial as _partial
from typing import Final

from genai_observability.signals.kinds import Attribute

_label = _partial(Attribute, bounded=True)
_count = _partial(Attribute, type="int", unit="{token}")
_seconds = _partial(Attribute, type="double", unit="s")
_dollars = _partial(Attribute, type="double", unit="{USD}")

# A table, of which a row should be read in one go.
# fmt: off
# --- Who the call is for ---------------------------------------------------------------------------------------------
FEATURE: Final = _label("app.feature", "Product feature that made the call")
TEAM: Final = _label("app.team", "Team that owns the feature and its bill")
TENANT: Final = _label("app.tenant", "Customer organisation the call serves")
ENDPOINT: Final = _label("app.endpoint", "Route of the application, as a template")
USER_HASH: Final = Attribute("user.hash", "HMAC-SHA256 of the user's id; the id itself never leaves the process")
USER_TIER: Final = _label("app.user.tier", "The user's plan, such as free or pro")
SESSION: Final = Attribute("session.id", "The user's session")
CONVERSATION: Final = Attribute("gen_ai.conversation.id", "The conversation or thread")
REQUEST: Final = Attribute("app.request.id", "Id of the user's request, over all its services")
PROMPT_NAME: Final = _label("gen_ai.prompt.name", "Name of the prompt template")
PROMPT_VERSION: Final = _label("gen_ai.prompt.version", "Version of the prompt template")
VARIANT: Final = _label("app.variant", "Variant of a running experiment")
EXPERIMENT: Final = _label("app.experiment", "The experiment that the variant is of")
METADATA_PREFIX: Final = "app.metadata."
"""Free metadata of a call becomes attributes with this prefix, on spans and in the request log."""

ATTRIBUTION: Final = (
    FEATURE, TEAM, TENANT, ENDPOINT, USER_HASH, USER_TIER, SESSION, CONVERSATION, REQUEST,
    PROMPT_NAME, PROMPT_VERSION, VARIANT, EXPERIMENT,
)

# --- What was asked and answered -------------------------------------------------------------------------------------
OPERATION: Final = _label("gen_ai.operation.name", "chat, embeddings, execute_tool, …")
PROVIDER: Final = _label("gen_ai.provider.name", "Provider of the model, such as openai")
REQUEST_MODEL: Final = _label("gen_ai.request.model", "Model that the application asked for")
RESPONSE_MODEL: Final = _label("gen_ai.response.model", "Model that answered")
RESPONSE_ID: Final = Attribute("gen_ai.response.id", "The provider's id of the answer")
FINISH_REASONS: Final = Attribute("gen_ai.response.finish_reasons",
    "Why each choice ended: stop, length, …", "string[]")
REFUSED: Final = Attribute("genai_observability.refused",
    "Whether the model declined to answer, or a content filter ended the answer; absent for no", "boolean")
BACKGROUND: Final = Attribute("genai_observability.background",
    "Whether the call submitted work for the background, which is counted when it is fetched; absent for no", "boolean")
STREAM: Final = Attribute("gen_ai.request.stream", "Whether the answer was streamed", "boolean")
TEMPERATURE: Final = Attribute("gen_ai.request.temperature", "Requested temperature", "double")
TOP_P: Final = Attribute("gen_ai.request.top_p", "Requested nucleus sampling", "double")
MAX_TOKENS: Final = _count("gen_ai.request.max_tokens", "Requested limit of output tokens")
SERVER_ADDRESS: Final = Attribute("server.address", "Host name of the provider's API", settled="stable")

# --- Tokens ----------------------------------------------------------------------------------------------------------
INPUT_TOKENS: Final = _count("gen_ai.usage.input_tokens", "Tokens of the prompt, cached ones included")
OUTPUT_TOKENS: Final = _count("gen_ai.usage.output_tokens", "Tokens of the answer, reasoning ones included")
CACHED_TOKENS: Final = _count("gen_ai.usage.cache_read.input_tokens",
    "Of the input tokens, those read from the provider's cache")
CACHE_WRITE_TOKENS: Final = _count("gen_ai.usage.cache_write.input_tokens",
    "Of the input tokens, those written to the provider's cache")
REASONING_TOKENS: Final = _count("gen_ai.usage.reasoning.output_tokens",
    "Of the output tokens, those the model spent on reasoning")
AUDIO_INPUT_TOKENS: Final = _count("gen_ai.usage.audio.input_tokens", "Of the input tokens, those of audio")
AUDIO_OUTPUT_TOKENS: Final = _count("gen_ai.usage.audio.output_tokens", "Of the output tokens, those of audio")
IMAGE_INPUT_TOKENS: Final = _count("gen_ai.usage.image.input_tokens", "Of the input tokens, those of images")
IMAGE_OUTPUT_TOKENS: Final = _count("gen_ai.usage.image.output_tokens", "Of the output tokens, those of images")
TEXT_CACHED_TOKENS: Final = _count("gen_ai.usage.text.cache_read.input_tokens", "Of the cached tokens, those of text")
AUDIO_CACHED_TOKENS: Final = _count("gen_ai.usage.audio.cache_read.input_tokens",
    "Of the cached tokens, those of audio")
IMAGE_CACHED_TOKENS: Final = _count("gen_ai.usage.image.cache_read.input_tokens",
    "Of the cached tokens, those of images")
TOKEN_TYPE: Final = _label("gen_ai.token.type",
    "input or output; in genai_observability.tokens.detail parts of them: cached, cache_write, reasoning, "
    "audio_input, audio_output, image_input, image_output")
TOKEN_MODALITY: Final = _label("gen_ai.token.modality",
    "text, image, audio, or unknown where the provider does not tell them apart")

# --- What is priced by other units -----------------------------------------------------------------------------------
CHARACTERS: Final = _count("genai_observability.usage.characters", "Characters turned into speech", unit="{character}")
AUDIO_SECONDS: Final = _seconds("genai_observability.usage.audio_seconds",
    "Length of the audio that was transcribed or translated")
IMAGES: Final = _count("genai_observability.usage.images", "Images generated", unit="{image}")
WEB_SEARCHES: Final = _count("genai_observability.usage.web_searches",
    "Searches of the web that the provider made for the answer", unit="{search}")
FILE_SEARCHES: Final = _count("genai_observability.usage.file_searches",
    "Searches of files stored at the provider that it made for the answer", unit="{search}")
USAGE: Final = (
    AUDIO_INPUT_TOKENS, AUDIO_OUTPUT_TOKENS, IMAGE_INPUT_TOKENS, IMAGE_OUTPUT_TOKENS,
    TEXT_CACHED_TOKENS, AUDIO_CACHED_TOKENS, IMAGE_CACHED_TOKENS,
    CHARACTERS, AUDIO_SECONDS, IMAGES, WEB_SEARCHES, FILE_SEARCHES,
)
"""What a call may have used besides tokens of text."""

SERVICE_TIER: Final = _label("openai.response.service_tier",
    "Tier that served the call: default, flex, priority, …, or batch")

# --- Money -----------------------------------------------------------------------------------------------------------
COST: Final = _dollars("gen_ai.usage.cost.amount", "Price of the call; absent where it is not known",
    settled="proposed")
COST_CURRENCY: Final = Attribute("gen_ai.usage.cost.currency", "Currency of the amount, ISO 4217", settled="proposed")
COST_SOURCE: Final = Attribute("gen_ai.usage.cost.source",
    "local (from a price table or file) or provider (reported with the answer)", settled="proposed")
PRICE_AGE: Final = _count("genai_observability.price.age",
    "Days since a price of the price table was last checked, by its own notes, when the call was priced by it",
    unit="d")
CACHE_SAVED: Final = _dollars("genai_observability.cost.cache_saved",
    "What the call would have cost more, without the provider's cache; absent where no token was cached")
ESTIMATED_INPUT: Final = _count("genai_observability.estimated.input_tokens",
    "Input tokens by the size of the prompt, of a stream that reported no usage")
ESTIMATED_OUTPUT: Final = _count("genai_observability.estimated.output_tokens",
    "Output tokens by the chunks that arrived, of a stream that reported no usage")
ESTIMATED_COST: Final = _dollars("genai_observability.estimated.cost",
    "Price of the estimated tokens, in US dollars; in no other cost")
UNPRICED: Final = _label("genai_observability.unpriced.reason",
    "Why the call has no price: unknown_model, no_usage (the answer reported none), no_price (the table has none for "
    "a kind of usage or for the service tier) or invalid_usage (counts that contradict each other, or leave open "
    "which price applies)")

# --- Budgets ---------------------------------------------------------------------------------------------------------
BUDGET: Final = _label("genai_observability.budget",
    "The budget, as in team/month/usd or, for one team, team=growth/month/usd; second ones end in /2")
BUDGET_ACTION: Final = _label("genai_observability.budget.action",
    "What became of a call beyond a limit: refused, or let_through")

# --- Outcome and time ------------------------------------------------------------------------------------------------
OUTCOME: Final = _label("genai_observability.outcome", "success, error, timeout, rate_limited or cancelled")
ERROR_TYPE: Final = _label("error.type", "Class of the error; absent on success", settled="stable")
ERROR_MESSAGE: Final = Attribute("error.message", "The error's message, scrubbed of keys and quoted content, cut short")
DURATION: Final = _seconds("genai_observability.duration",
    "From the call to its answer, or to the last chunk of a stream")
TIME_TO_FIRST_CHUNK: Final = _seconds("gen_ai.response.time_to_first_chunk",
    "From the call to the first chunk of a streamed answer, which may carry nothing of it yet")
TIME_TO_FIRST_TOKEN: Final = _seconds("genai_observability.time_to_first_token",
    "From the call to the first chunk of a streamed answer that carries something of it")
TIME_PER_TOKEN: Final = _seconds("genai_observability.time_per_output_token",
    "Mean time between two tokens of a streamed answer")
PHASE: Final = _label("genai_observability.phase",
    "Where a call's time went: preparing, retrying, then network and provider (or waiting, where the provider does "
    "not tell them apart), reading")
PHASE_SECONDS: Final = {
    phase: _seconds(f"genai_observability.seconds.{phase}", meaning)
    for phase, meaning in {
        "preparing": "From the call to its first request: checks and serialising",
        "retrying": "From the first request to the last: refused attempts and the waits of the client library",
        "network": "From the last request to its answer, without the provider's own time",
        "provider": "What the provider says it worked on the answer",
        "waiting": "From the last request to its answer, where the provider does not say how long it worked",
        "reading": "From the answer's arrival (of a stream: its first byte) to the end of the call",
    }.items()
}
"""The parts of a call's duration, on spans and in the request log."""
STREAM_END: Final = _label("genai_observability.stream.end",
    "How a stream ended: complete, abandoned (by its reader, midway), unread, broken (by an error), cancelled")
RETRIES: Final = Attribute("genai_observability.retries",
    "Attempts that the client library made again before this outcome; absent for none", "int")
PROVIDER_REQUEST_ID: Final = Attribute("genai_observability.provider_request_id",
    "The provider's id of the request, which its support asks for")
OUTPUT_RATE: Final = Attribute("genai_observability.output_tokens_per_second",
    "Output tokens over the time after the first chunk (streamed), or over the whole call", "double", unit="{token}/s")

BATCH: Final = Attribute("genai_observability.batch.id",
    "The batch whose result the call is; such a call has a price, and no duration")
DUPLICATE_OF: Final = _label("genai_observability.duplicate_of",
    "On the span of a call that is counted by another span: the instrumentation (its scope) that made that one")

# --- Quality ---------------------------------------------------------------------------------------------------------
EVALUATION_NAME: Final = _label("gen_ai.evaluation.name", "What was scored, such as user_feedback")
EVALUATION_SCORE: Final = Attribute("gen_ai.evaluation.score.value", "The score; for feedback 0 (bad) to 1 (good)",
    "double")
EVALUATION_LABEL: Final = _label("gen_ai.evaluation.score.label", "The score in a word, such as pass")
EVALUATION_EXPLANATION: Final = Attribute("gen_ai.evaluation.explanation", "Why this score, where the scorer says so")
FEEDBACK_CATEGORY: Final = Attribute("genai_observability.feedback.category",
    "What is wrong with the answer, in the application's words")

# --- Steps of chains -------------------------------------------------------------------------------------------------
TOOL_NAME: Final = _label("gen_ai.tool.name", "Name of the tool")
TOOL_CALL_ID: Final = Attribute("gen_ai.tool.call.id", "The model's id of its wish to use the tool")
TOOL_TYPE: Final = Attribute("gen_ai.tool.type", "function, extension or datastore")
AGENT_NAME: Final = _label("gen_ai.agent.name", "Name of the agent")
AGENT_VERSION: Final = _label("gen_ai.agent.version", "Version of the agent")
WORKFLOW_NAME: Final = _label("gen_ai.workflow.name", "Name of the workflow")
DATA_SOURCE: Final = _label("gen_ai.data_source.id", "What was searched, or what reranked")
TOP_K: Final = _count("gen_ai.retrieval.top_k", "Most documents that were asked for", unit="{document}")
DOCUMENTS: Final = Attribute("genai_observability.documents",
    "The documents found, best first, as JSON: the id and the score of each; no content")
DOCUMENT_COUNT: Final = _count("genai_observability.documents.count", "Documents that a retrieval or a reranking found",
    unit="{document}")
BEST_SCORE: Final = Attribute("genai_observability.documents.best_score",
    "The highest score of these documents, on whatever scale the search has", "double")
STEP_NAME: Final = _label("genai_observability.step.name", "Name of the tool, agent, workflow, data source or reranker")
STEP_CALLS: Final = _count("genai_observability.step.calls", "Model calls that this service made inside the step",
    unit="{call}")
STEP_COST: Final = _dollars("genai_observability.step.cost",
    "Price of these calls, in US dollars; also part of that of the steps around this one, never to be added up")
STEP_UNPRICED: Final = _count("genai_observability.step.unpriced",
    "Of these calls those without a price: the step's cost lacks them", unit="{call}")
STEP_FIELDS: Final = (
    OPERATION, TOOL_NAME, TOOL_CALL_ID, TOOL_TYPE, AGENT_NAME, AGENT_VERSION, WORKFLOW_NAME, DATA_SOURCE, TOP_K,
    DOCUMENTS, DOCUMENT_COUNT, BEST_SCORE, OUTCOME, ERROR_TYPE, STEP_CALLS, STEP_COST, STEP_UNPRICED,
    *ATTRIBUTION,
)
"""What the span of a step carries; attributes without a value are absent."""

# --- Caches, fallbacks, load, flags ----------------------------------------------------------------------------------
CACHE_NAME: Final = _label("genai_observability.cache.name", "Name of the cache")
CACHE_RESULT: Final = _label("genai_observability.cache.result",
    "hit, miss, or false_hit: a hit that turned out to be wrong, counted as a hit before")
FALLBACK_FROM_PROVIDER: Final = _label("genai_observability.fallback.from.provider", "Provider that was given up")
FALLBACK_FROM_MODEL: Final = _label("genai_observability.fallback.from.model", "Model that was given up")
FALLBACK_TO_PROVIDER: Final = _label("genai_observability.fallback.to.provider", "Provider that took its place")
FALLBACK_TO_MODEL: Final = _label("genai_observability.fallback.to.model", "Model that took its place")
FALLBACK_REASON: Final = _label("genai_observability.fallback.reason", "Why, such as rate_limited")
BREAKER_NAME: Final = _label("genai_observability.circuit_breaker.name", "What the circuit breaker protects")
BREAKER_STATE: Final = _label("genai_observability.circuit_breaker.state",
    "closed (calls go through), open (none does) or half_open (some do, to find out)")
QUEUE_NAME: Final = _label("genai_observability.queue.name", "Name of the queue")
FLAG_KEY: Final = _label("feature_flag.key", "Key of the feature flag", settled="stable")
FLAG_VARIANT: Final = _label("feature_flag.result.variant", "Variant that the flag's evaluation chose",
    settled="stable")
FLAG_REASON: Final = _label("feature_flag.result.reason",
    "Why it did: targeting_match, split, static, default, error, …", settled="stable")
FLAG_PROVIDER: Final = _label("feature_flag.provider.name", "What evaluated the flag", settled="stable")

# --- Content, where the application asks for it, and security --------------------------------------------------------
INPUT_MESSAGES: Final = Attribute("gen_ai.input.messages", "What was asked, as JSON; redacted and cut, or hashed")
OUTPUT_MESSAGES: Final = Attribute("gen_ai.output.messages", "What was answered, likewise")
SYSTEM_INSTRUCTIONS: Final = Attribute("gen_ai.system_instructions",
    "The instructions apart from the messages, likewise")
TOOL_DEFINITIONS: Final = Attribute("gen_ai.tool.definitions", "The tools that the model was offered, likewise")
CONTENT: Final = (INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS, TOOL_DEFINITIONS)
"""What a span carries with ``instrument(content=...)``, and else never."""

SECURITY_KIND: Final = _label("genai_observability.security.kind", "prompt_injection, pii or system_prompt_leak")
SECURITY_DETAIL: Final = _label("genai_observability.security.detail",
    "Of pii, what: e-mail, phone, ssn, card, ip, key, or a name of the user's; of prompt_injection, how: override, "
    "reveal, jailbreak or markup; of a leak: verbatim")
SECURITY_SOURCE: Final = _label("genai_observability.security.source",
    "Where it was: input (the user's), tool (what a tool returned) or output")
SECURITY_COUNT: Final = _count("genai_observability.security.count", "How often it was there in this call",
    unit="{match}")

# --- The log records -------------------------------------------------------------------------------------------------
EVENT_NAME: Final = _label("event.name", "Tells the product's log records from the application's")
RECORD_ID: Final = Attribute("log.record.uid", "The record's own id, by which one that is sent twice is stored once")
RECORD_VERSION: Final = Attribute("genai_observability.record.version",
    "Version of the record's fields: what a reader does not know it must not guess", "int")
NEWEST_RECORD_VERSION: Final = 1
"""Goes up when a field changes its type or meaning, not when one is added."""
RECORD_FIELDS: Final = (EVENT_NAME, RECORD_ID, RECORD_VERSION)
"""What every record of the product carries."""
CALL_EVENT: Final = "genai_observability.call"
"""``event.name`` of the request log: one record a model call, without content."""
EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
"""``event.name`` of a score or of a user's feedback."""

SECURITY_EVENT: Final = "genai_observability.security"
"""``event.name`` of a sign of an attack or a leak in a call, without content."""

CALL_FIELDS: Final = (
    *RECORD_FIELDS, OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, RESPONSE_ID, FINISH_REASONS,
    REFUSED, BACKGROUND, STREAM, TEMPERATURE, TOP_P, MAX_TOKENS, SERVER_ADDRESS,
    INPUT_TOKENS, OUTPUT_TOKENS, CACHED_TOKENS, CACHE_WRITE_TOKENS, REASONING_TOKENS,
    *USAGE, SERVICE_TIER,
    COST, COST_CURRENCY, COST_SOURCE, PRICE_AGE, CACHE_SAVED, UNPRICED,
    ESTIMATED_INPUT, ESTIMATED_OUTPUT, ESTIMATED_COST,
    OUTCOME, ERROR_TYPE, ERROR_MESSAGE, DURATION, TIME_TO_FIRST_TOKEN, TIME_PER_TOKEN, OUTPUT_RATE,
    STREAM_END, RETRIES, PROVIDER_REQUEST_ID, BATCH, *PHASE_SECONDS.values(),
    *ATTRIBUTION,
)
"""What a record of the request log carries, besides its trace id and span id; fields without a value are absent."""

FLAG_EVENT: Final = "feature_flag.evaluation"
"""``event.name`` of the evaluation of a feature flag."""
FLAG_FIELDS: Final = (*RECORD_FIELDS, FLAG_KEY, FLAG_VARIANT, FLAG_REASON, FLAG_PROVIDER, ERROR_TYPE, *ATTRIBUTION)
SPAN_FIELDS: Final = (DUPLICATE_OF,)
"""What only spans carry: the calls that they are of are not recorded."""

EVALUATION_FIELDS: Final = (
    *RECORD_FIELDS, EVALUATION_NAME, EVALUATION_SCORE, EVALUATION_LABEL, EVALUATION_EXPLANATION, FEEDBACK_CATEGORY,
    RESPONSE_ID, REQUEST_MODEL, *ATTRIBUTION,
)

SECURITY_FIELDS: Final = (
    *RECORD_FIELDS, SECURITY_KIND, SECURITY_DETAIL, SECURITY_SOURCE, SECURITY_COUNT, RESPONSE_ID, REQUEST_MODEL,
    *ATTRIBUTION,
)

# --- What only metrics carry -----------------------------------------------------------------------------------------
QUOTA_KIND: Final = _label("genai_observability.quota.kind", "requests or tokens")
DROPPED_KIND: Final = _label("genai_observability.dropped.kind",
    "call (too many waited: not counted, only traced), span and log (no room was left for them, or the Collector did "
    "not take them), label (it had too many values; they are counted as _other), content (too much of it waited: the "
    "call is recorded without) or batch (a file of results, for which there was no room)")
# fmt: on
