"""The catalogue of every signal this package emits: metrics, span attributes and log fields.

Dashboards, alert rules, documentation and contract tests are generated from it or checked against it, so a renamed
signal is one edit here. Names follow the OpenTelemetry semantic conventions for generative AI wherever one exists
(https://github.com/open-telemetry/semantic-conventions-genai); cost follows their open proposal; what no convention
covers lives under ``app.*`` (who the call is for) or ``genai_observability.*``.

The conventions renamed the metrics of model calls when they moved to a repository of their own. Both vocabularies are
here; ``vocabularies`` says which are emitted, and ``places`` under which of the new names an old one is found.

Two sums that are easy to get wrong: ``gen_ai.usage.input_tokens`` already includes the cached tokens, and
``gen_ai.usage.output_tokens`` already includes the reasoning tokens.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

Status = Literal["stable", "development", "proposed", "own"]
"""How settled a name is in the conventions; ``own`` means that no convention covers it."""

Vocabulary = Literal["old", "new"]
"""Names of metrics: those of semantic-conventions 1.41, or of semantic-conventions-genai 0.1, which renamed them."""

Part = Literal["", "bucket", "sum", "count"]
"""Which series of a metric: for a histogram one of its three kinds, else all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A named value on a span, a log record or a metric.

    ``bounded`` says whether the value may be a metric label. Users, sessions, conversations and request ids are
    unbounded: they are found on spans and in the request log only.
    """

    name: str
    type: Literal["string", "int", "double", "boolean", "string[]"]
    meaning: str
    bounded: bool = False
    unit: str = ""
    status: Status = "development"

    @property
    def label(self) -> str:
        """The name as a Prometheus label or a Loki structured-metadata key, in which dots become underscores."""
        return self.name.replace(".", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """An instrument. ``buckets`` are the upper bounds of a histogram, in the metric's unit."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    meaning: str
    labels: tuple[Attribute, ...]
    buckets: tuple[float, ...] = ()
    status: Status = "development"

    @property
    def prometheus(self) -> str:
        """The metric's base name in Prometheus (a histogram's series add ``_bucket``, ``_sum`` and ``_count``).

        Prometheus' OTLP receiver puts underscores for dots, then adds the unit and, for a counter, ``_total``:
        https://prometheus.io/docs/guides/opentelemetry/#utf-8
        """
        parts = [self.name.replace(".", "_")]
        if self.unit in _UNIT_SUFFIXES:
            parts.append(_UNIT_SUFFIXES[self.unit])
        if self.kind == "counter":
            parts.append("total")
        return "_".join(parts)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that it has."""
        return ("bucket", "sum", "count") if self.kind == "histogram" else ("",)

    def series(self, part: Part = "") -> str:
        """The name of its series in Prometheus; ``part`` is needed for a histogram, and only there.

        Raises:
            ValueError: it does not have the part.
        """
        if part not in self.parts:
            raise ValueError(f"{self.name} is a {self.kind}: {part!r} is no part of it")
        return f"{self.prometheus}_{part}" if part else self.prometheus

    def labels_of(self, attributes: Mapping[str, object]) -> dict[str, str]:
        """Those of the attributes that are labels of this metric, as text."""
        return {label.name: str(attributes[label.name]) for label in self.labels if label.name in attributes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Some series of a metric: those with the labels ``only``, which stand for the labels ``means`` of another one."""

    metric: Metric
    part: Part = ""
    only: tuple[tuple[Attribute, str], ...] = ()
    means: tuple[tuple[Attribute, str], ...] = ()

    @property
    def series(self) -> str:
        """Their name in Prometheus."""
        return self.metric.series(self.part)


_UNIT_SUFFIXES: Final = {"s": "seconds", "{token}/s": "per_second", "1": "ratio"}

# --- Who the call is for -------------------------------------------------------------------------------------------

FEATURE: Final = Attribute(
    name="app.feature", type="string", bounded=True, status="own", meaning="Product feature that made the call"
)
TEAM: Final = Attribute(
    name="app.team", type="string", bounded=True, status="own", meaning="Team that owns the feature and its bill"
)
TENANT: Final = Attribute(
    name="app.tenant", type="string", bounded=True, status="own", meaning="Customer organisation the call serves"
)
ENDPOINT: Final = Attribute(
    name="app.endpoint", type="string", bounded=True, status="own", meaning="Route of the application, as a template"
)
USER_HASH: Final = Attribute(
    name="user.hash", type="string", meaning="HMAC-SHA256 of the user's id; the id itself never leaves the process"
)
USER_TIER: Final = Attribute(
    name="app.user.tier", type="string", bounded=True, status="own", meaning="The user's plan, such as free or pro"
)
SESSION: Final = Attribute(name="session.id", type="string", meaning="The user's session")
CONVERSATION: Final = Attribute(name="gen_ai.conversation.id", type="string", meaning="The conversation or thread")
REQUEST: Final = Attribute(
    name="app.request.id", type="string", status="own", meaning="Id of the user's request, over all its services"
)
PROMPT_NAME: Final = Attribute(
    name="gen_ai.prompt.name", type="string", bounded=True, meaning="Name of the prompt template"
)
PROMPT_VERSION: Final = Attribute(
    name="gen_ai.prompt.version", type="string", bounded=True, meaning="Version of the prompt template"
)
VARIANT: Final = Attribute(
    name="app.variant", type="string", bounded=True, status="own", meaning="Variant of a running experiment"
)
EXPERIMENT: Final = Attribute(
    name="app.experiment", type="string", bounded=True, status="own", meaning="The experiment that the variant is of"
)
METADATA_PREFIX: Final = "app.metadata."
"""Free metadata of a call becomes attributes with this prefix, on spans and in the request log."""

ATTRIBUTION: Final = (
    FEATURE, TEAM, TENANT, ENDPOINT, USER_HASH, USER_TIER, SESSION, CONVERSATION, REQUEST,
    PROMPT_NAME, PROMPT_VERSION, VARIANT, EXPERIMENT,
)  # fmt: skip

# --- What was asked and answered -----------------------------------------------------------------------------------

OPERATION: Final = Attribute(
    name="gen_ai.operation.name", type="string", bounded=True, meaning="chat, embeddings, execute_tool, …"
)
PROVIDER: Final = Attribute(
    name="gen_ai.provider.name", type="string", bounded=True, meaning="Provider of the model, such as openai"
)
REQUEST_MODEL: Final = Attribute(
    name="gen_ai.request.model", type="string", bounded=True, meaning="Model that the application asked for"
)
RESPONSE_MODEL: Final = Attribute(
    name="gen_ai.response.model", type="string", bounded=True, meaning="Model that answered"
)
RESPONSE_ID: Final = Attribute(name="gen_ai.response.id", type="string", meaning="The provider's id of the answer")
FINISH_REASONS: Final = Attribute(
    name="gen_ai.response.finish_reasons", type="string[]", meaning="Why each choice ended: stop, length, …"
)
REFUSED: Final = Attribute(
    name="genai_observability.refused",
    type="boolean",
    status="own",
    meaning="Whether the model declined to answer, or a content filter ended the answer; absent for no",
)
BACKGROUND: Final = Attribute(
    name="genai_observability.background",
    type="boolean",
    status="own",
    meaning="Whether the call submitted work for the background, which is counted when it is fetched; absent for no",
)
STREAM: Final = Attribute(name="gen_ai.request.stream", type="boolean", meaning="Whether the answer was streamed")
TEMPERATURE: Final = Attribute(name="gen_ai.request.temperature", type="double", meaning="Requested temperature")
TOP_P: Final = Attribute(name="gen_ai.request.top_p", type="double", meaning="Requested nucleus sampling")
MAX_TOKENS: Final = Attribute(
    name="gen_ai.request.max_tokens", type="int", unit="{token}", meaning="Requested limit of output tokens"
)
SERVER_ADDRESS: Final = Attribute(
    name="server.address", type="string", status="stable", meaning="Host name of the provider's API"
)

# --- Tokens --------------------------------------------------------------------------------------------------------

INPUT_TOKENS: Final = Attribute(
    name="gen_ai.usage.input_tokens", type="int", unit="{token}", meaning="Tokens of the prompt, cached ones included"
)
OUTPUT_TOKENS: Final = Attribute(
    name="gen_ai.usage.output_tokens",
    type="int",
    unit="{token}",
    meaning="Tokens of the answer, reasoning ones included",
)
CACHED_TOKENS: Final = Attribute(
    name="gen_ai.usage.cache_read.input_tokens",
    type="int",
    unit="{token}",
    meaning="Of the input tokens, those read from the provider's cache",
)
CACHE_WRITE_TOKENS: Final = Attribute(
    name="gen_ai.usage.cache_write.input_tokens",
    type="int",
    unit="{token}",
    meaning="Of the input tokens, those written to the provider's cache",
)
REASONING_TOKENS: Final = Attribute(
    name="gen_ai.usage.reasoning.output_tokens",
    type="int",
    unit="{token}",
    meaning="Of the output tokens, those the model spent on reasoning",
)
AUDIO_INPUT_TOKENS: Final = Attribute(
    name="gen_ai.usage.audio.input_tokens", type="int", unit="{token}", meaning="Of the input tokens, those of audio"
)
AUDIO_OUTPUT_TOKENS: Final = Attribute(
    name="gen_ai.usage.audio.output_tokens", type="int", unit="{token}", meaning="Of the output tokens, those of audio"
)
IMAGE_INPUT_TOKENS: Final = Attribute(
    name="gen_ai.usage.image.input_tokens", type="int", unit="{token}", meaning="Of the input tokens, those of images"
)
IMAGE_OUTPUT_TOKENS: Final = Attribute(
    name="gen_ai.usage.image.output_tokens", type="int", unit="{token}", meaning="Of the output tokens, those of images"
)
TEXT_CACHED_TOKENS: Final = Attribute(
    name="gen_ai.usage.text.cache_read.input_tokens",
    type="int",
    unit="{token}",
    meaning="Of the cached tokens, those of text",
)
AUDIO_CACHED_TOKENS: Final = Attribute(
    name="gen_ai.usage.audio.cache_read.input_tokens",
    type="int",
    unit="{token}",
    meaning="Of the cached tokens, those of audio",
)
IMAGE_CACHED_TOKENS: Final = Attribute(
    name="gen_ai.usage.image.cache_read.input_tokens",
    type="int",
    unit="{token}",
    meaning="Of the cached tokens, those of images",
)
TOKEN_TYPE: Final = Attribute(
    name="gen_ai.token.type",
    type="string",
    bounded=True,
    meaning="input or output; in genai_observability.tokens.detail parts of them: cached, cache_write, reasoning, "
    "audio_input, audio_output, image_input, image_output",
)
TOKEN_MODALITY: Final = Attribute(
    name="gen_ai.token.modality",
    type="string",
    bounded=True,
    meaning="text, image, audio, or unknown where the provider does not tell them apart",
)

# --- What is priced by other units ---------------------------------------------------------------------------------

CHARACTERS: Final = Attribute(
    name="genai_observability.usage.characters",
    type="int",
    unit="{character}",
    status="own",
    meaning="Characters turned into speech",
)
AUDIO_SECONDS: Final = Attribute(
    name="genai_observability.usage.audio_seconds",
    type="double",
    unit="s",
    status="own",
    meaning="Length of the audio that was transcribed or translated",
)
IMAGES: Final = Attribute(
    name="genai_observability.usage.images", type="int", unit="{image}", status="own", meaning="Images generated"
)
WEB_SEARCHES: Final = Attribute(
    name="genai_observability.usage.web_searches",
    type="int",
    unit="{search}",
    status="own",
    meaning="Searches of the web that the provider made for the answer",
)
FILE_SEARCHES: Final = Attribute(
    name="genai_observability.usage.file_searches",
    type="int",
    unit="{search}",
    status="own",
    meaning="Searches of files stored at the provider that it made for the answer",
)
USAGE: Final = (
    AUDIO_INPUT_TOKENS, AUDIO_OUTPUT_TOKENS, IMAGE_INPUT_TOKENS, IMAGE_OUTPUT_TOKENS,
    TEXT_CACHED_TOKENS, AUDIO_CACHED_TOKENS, IMAGE_CACHED_TOKENS,
    CHARACTERS, AUDIO_SECONDS, IMAGES, WEB_SEARCHES, FILE_SEARCHES,
)  # fmt: skip
"""What a call may have used besides tokens of text."""

SERVICE_TIER: Final = Attribute(
    name="openai.response.service_tier",
    type="string",
    bounded=True,
    meaning="Tier that served the call: default, flex, priority, …, or batch",
)

# --- Money ---------------------------------------------------------------------------------------------------------

COST: Final = Attribute(
    name="gen_ai.usage.cost.amount",
    type="double",
    unit="{USD}",
    status="proposed",
    meaning="Price of the call; absent where it is not known",
)
COST_CURRENCY: Final = Attribute(
    name="gen_ai.usage.cost.currency", type="string", status="proposed", meaning="Currency of the amount, ISO 4217"
)
COST_SOURCE: Final = Attribute(
    name="gen_ai.usage.cost.source",
    type="string",
    status="proposed",
    meaning="local (from a price table or file) or provider (reported with the answer)",
)
PRICE_AGE: Final = Attribute(
    name="genai_observability.price.age",
    type="int",
    unit="d",
    status="own",
    meaning="Days since a price of the price table was last checked, by its own notes, when the call was priced by it",
)
CACHE_SAVED: Final = Attribute(
    name="genai_observability.cost.cache_saved",
    type="double",
    unit="{USD}",
    status="own",
    meaning="What the call would have cost more, without the provider's cache; absent where no token was cached",
)
ESTIMATED_INPUT: Final = Attribute(
    name="genai_observability.estimated.input_tokens",
    type="int",
    unit="{token}",
    status="own",
    meaning="Input tokens by the size of the prompt, of a stream that reported no usage",
)
ESTIMATED_OUTPUT: Final = Attribute(
    name="genai_observability.estimated.output_tokens",
    type="int",
    unit="{token}",
    status="own",
    meaning="Output tokens by the chunks that arrived, of a stream that reported no usage",
)
ESTIMATED_COST: Final = Attribute(
    name="genai_observability.estimated.cost",
    type="double",
    unit="{USD}",
    status="own",
    meaning="Price of the estimated tokens, in US dollars; in no other cost",
)
UNPRICED: Final = Attribute(
    name="genai_observability.unpriced.reason",
    type="string",
    bounded=True,
    status="own",
    meaning="Why the call has no price: unknown_model, no_usage (the answer reported none), no_price (the table "
    "has none for a kind of usage or for the service tier) or invalid_usage (counts that contradict each other, or "
    "leave open which price applies)",
)

# --- Budgets -------------------------------------------------------------------------------------------------------

BUDGET: Final = Attribute(
    name="genai_observability.budget",
    type="string",
    bounded=True,
    status="own",
    meaning="The budget, as in team/month/usd or, for one team, team=growth/month/usd; second ones end in /2",
)
BUDGET_ACTION: Final = Attribute(
    name="genai_observability.budget.action",
    type="string",
    bounded=True,
    status="own",
    meaning="What became of a call beyond a limit: refused, or let_through",
)

# --- Outcome and time ----------------------------------------------------------------------------------------------

OUTCOME: Final = Attribute(
    name="genai_observability.outcome",
    type="string",
    bounded=True,
    status="own",
    meaning="success, error, timeout, rate_limited or cancelled",
)
ERROR_TYPE: Final = Attribute(
    name="error.type", type="string", bounded=True, status="stable", meaning="Class of the error; absent on success"
)
ERROR_MESSAGE: Final = Attribute(
    name="error.message", type="string", meaning="The error's message, scrubbed of keys and quoted content, cut short"
)
DURATION: Final = Attribute(
    name="genai_observability.duration",
    type="double",
    unit="s",
    status="own",
    meaning="From the call to its answer, or to the last chunk of a stream",
)
TIME_TO_FIRST_CHUNK: Final = Attribute(
    name="gen_ai.response.time_to_first_chunk",
    type="double",
    unit="s",
    meaning="From the call to the first chunk of a streamed answer, which may carry nothing of it yet",
)
TIME_TO_FIRST_TOKEN: Final = Attribute(
    name="genai_observability.time_to_first_token",
    type="double",
    unit="s",
    status="own",
    meaning="From the call to the first chunk of a streamed answer that carries something of it",
)
TIME_PER_TOKEN: Final = Attribute(
    name="genai_observability.time_per_output_token",
    type="double",
    unit="s",
    status="own",
    meaning="Mean time between two tokens of a streamed answer",
)
PHASE: Final = Attribute(
    name="genai_observability.phase",
    type="string",
    bounded=True,
    status="own",
    meaning="Where a call's time went: preparing, retrying, then network and provider (or waiting, where the provider "
    "does not tell them apart), reading",
)
PHASE_SECONDS: Final = {
    phase: Attribute(
        name=f"genai_observability.seconds.{phase}", type="double", unit="s", status="own", meaning=meaning
    )
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
STREAM_END: Final = Attribute(
    name="genai_observability.stream.end",
    type="string",
    bounded=True,
    status="own",
    meaning="How a stream ended: complete, abandoned (by its reader, midway), unread, broken (by an error), cancelled",
)
RETRIES: Final = Attribute(
    name="genai_observability.retries",
    type="int",
    status="own",
    meaning="Attempts that the client library made again before this outcome; absent for none",
)
PROVIDER_REQUEST_ID: Final = Attribute(
    name="genai_observability.provider_request_id",
    type="string",
    status="own",
    meaning="The provider's id of the request, which its support asks for",
)
OUTPUT_RATE: Final = Attribute(
    name="genai_observability.output_tokens_per_second",
    type="double",
    unit="{token}/s",
    status="own",
    meaning="Output tokens over the time after the first chunk (streamed), or over the whole call",
)

BATCH: Final = Attribute(
    name="genai_observability.batch.id",
    type="string",
    status="own",
    meaning="The batch whose result the call is; such a call has a price, and no duration",
)
DUPLICATE_OF: Final = Attribute(
    name="genai_observability.duplicate_of",
    type="string",
    bounded=True,
    status="own",
    meaning="On the span of a call that is counted by another span: the instrumentation (its scope) that made that one",
)

# --- Quality -------------------------------------------------------------------------------------------------------

EVALUATION_NAME: Final = Attribute(
    name="gen_ai.evaluation.name", type="string", bounded=True, meaning="What was scored, such as user_feedback"
)
EVALUATION_SCORE: Final = Attribute(
    name="gen_ai.evaluation.score.value", type="double", meaning="The score; for feedback 0 (bad) to 1 (good)"
)
EVALUATION_LABEL: Final = Attribute(
    name="gen_ai.evaluation.score.label", type="string", bounded=True, meaning="The score in a word, such as pass"
)
EVALUATION_EXPLANATION: Final = Attribute(
    name="gen_ai.evaluation.explanation", type="string", meaning="Why this score, where the scorer says so"
)
FEEDBACK_CATEGORY: Final = Attribute(
    name="genai_observability.feedback.category",
    type="string",
    status="own",
    meaning="What is wrong with the answer, in the application's words",
)

# --- Steps of chains -----------------------------------------------------------------------------------------------

TOOL_NAME: Final = Attribute(name="gen_ai.tool.name", type="string", bounded=True, meaning="Name of the tool")
TOOL_CALL_ID: Final = Attribute(
    name="gen_ai.tool.call.id", type="string", meaning="The model's id of its wish to use the tool"
)
TOOL_TYPE: Final = Attribute(name="gen_ai.tool.type", type="string", meaning="function, extension or datastore")
AGENT_NAME: Final = Attribute(name="gen_ai.agent.name", type="string", bounded=True, meaning="Name of the agent")
AGENT_VERSION: Final = Attribute(
    name="gen_ai.agent.version", type="string", bounded=True, meaning="Version of the agent"
)
WORKFLOW_NAME: Final = Attribute(
    name="gen_ai.workflow.name", type="string", bounded=True, meaning="Name of the workflow"
)
DATA_SOURCE: Final = Attribute(
    name="gen_ai.data_source.id", type="string", bounded=True, meaning="What was searched, or what reranked"
)
TOP_K: Final = Attribute(
    name="gen_ai.retrieval.top_k", type="int", unit="{document}", meaning="Most documents that were asked for"
)
DOCUMENTS: Final = Attribute(
    name="genai_observability.documents",
    type="string",
    status="own",
    meaning="The documents found, best first, as JSON: the id and the score of each; no content",
)
DOCUMENT_COUNT: Final = Attribute(
    name="genai_observability.documents.count",
    type="int",
    unit="{document}",
    status="own",
    meaning="Documents that a retrieval or a reranking found",
)
BEST_SCORE: Final = Attribute(
    name="genai_observability.documents.best_score",
    type="double",
    status="own",
    meaning="The highest score of these documents, on whatever scale the search has",
)
STEP_NAME: Final = Attribute(
    name="genai_observability.step.name",
    type="string",
    bounded=True,
    status="own",
    meaning="Name of the tool, agent, workflow, data source or reranker",
)
STEP_CALLS: Final = Attribute(
    name="genai_observability.step.calls",
    type="int",
    unit="{call}",
    status="own",
    meaning="Model calls that this service made inside the step",
)
STEP_COST: Final = Attribute(
    name="genai_observability.step.cost",
    type="double",
    unit="{USD}",
    status="own",
    meaning="Price of these calls, in US dollars; also part of that of the steps around this one, never to be added up",
)
STEP_UNPRICED: Final = Attribute(
    name="genai_observability.step.unpriced",
    type="int",
    unit="{call}",
    status="own",
    meaning="Of these calls those without a price: the step's cost lacks them",
)
STEP_FIELDS: Final = (
    OPERATION, TOOL_NAME, TOOL_CALL_ID, TOOL_TYPE, AGENT_NAME, AGENT_VERSION, WORKFLOW_NAME, DATA_SOURCE, TOP_K,
    DOCUMENTS, DOCUMENT_COUNT, BEST_SCORE, OUTCOME, ERROR_TYPE, STEP_CALLS, STEP_COST, STEP_UNPRICED,
    *ATTRIBUTION,
)  # fmt: skip
"""What the span of a step carries; attributes without a value are absent."""

# --- Caches, fallbacks, load, flags --------------------------------------------------------------------------------

CACHE_NAME: Final = Attribute(
    name="genai_observability.cache.name", type="string", bounded=True, status="own", meaning="Name of the cache"
)
CACHE_RESULT: Final = Attribute(
    name="genai_observability.cache.result",
    type="string",
    bounded=True,
    status="own",
    meaning="hit, miss, or false_hit: a hit that turned out to be wrong, counted as a hit before",
)
FALLBACK_FROM_PROVIDER: Final = Attribute(
    name="genai_observability.fallback.from.provider",
    type="string",
    bounded=True,
    status="own",
    meaning="Provider that was given up",
)
FALLBACK_FROM_MODEL: Final = Attribute(
    name="genai_observability.fallback.from.model",
    type="string",
    bounded=True,
    status="own",
    meaning="Model that was given up",
)
FALLBACK_TO_PROVIDER: Final = Attribute(
    name="genai_observability.fallback.to.provider",
    type="string",
    bounded=True,
    status="own",
    meaning="Provider that took its place",
)
FALLBACK_TO_MODEL: Final = Attribute(
    name="genai_observability.fallback.to.model",
    type="string",
    bounded=True,
    status="own",
    meaning="Model that took its place",
)
FALLBACK_REASON: Final = Attribute(
    name="genai_observability.fallback.reason",
    type="string",
    bounded=True,
    status="own",
    meaning="Why, such as rate_limited",
)
BREAKER_NAME: Final = Attribute(
    name="genai_observability.circuit_breaker.name",
    type="string",
    bounded=True,
    status="own",
    meaning="What the circuit breaker protects",
)
BREAKER_STATE: Final = Attribute(
    name="genai_observability.circuit_breaker.state",
    type="string",
    bounded=True,
    status="own",
    meaning="closed (calls go through), open (none does) or half_open (some do, to find out)",
)
QUEUE_NAME: Final = Attribute(
    name="genai_observability.queue.name", type="string", bounded=True, status="own", meaning="Name of the queue"
)
FLAG_KEY: Final = Attribute(
    name="feature_flag.key", type="string", bounded=True, status="stable", meaning="Key of the feature flag"
)
FLAG_VARIANT: Final = Attribute(
    name="feature_flag.result.variant",
    type="string",
    bounded=True,
    status="stable",
    meaning="Variant that the flag's evaluation chose",
)
FLAG_REASON: Final = Attribute(
    name="feature_flag.result.reason",
    type="string",
    bounded=True,
    status="stable",
    meaning="Why it did: targeting_match, split, static, default, error, …",
)
FLAG_PROVIDER: Final = Attribute(
    name="feature_flag.provider.name",
    type="string",
    bounded=True,
    status="stable",
    meaning="What evaluated the flag",
)

# --- Content, where the application asks for it, and security --------------------------------------------------------

INPUT_MESSAGES: Final = Attribute(
    name="gen_ai.input.messages", type="string", meaning="What was asked, as JSON; redacted and cut, or hashed"
)
OUTPUT_MESSAGES: Final = Attribute(name="gen_ai.output.messages", type="string", meaning="What was answered, likewise")
SYSTEM_INSTRUCTIONS: Final = Attribute(
    name="gen_ai.system_instructions", type="string", meaning="The instructions apart from the messages, likewise"
)
TOOL_DEFINITIONS: Final = Attribute(
    name="gen_ai.tool.definitions", type="string", meaning="The tools that the model was offered, likewise"
)
CONTENT: Final = (INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS, TOOL_DEFINITIONS)
"""What a span carries with ``instrument(content=...)``, and else never."""

SECURITY_KIND: Final = Attribute(
    name="genai_observability.security.kind",
    type="string",
    bounded=True,
    status="own",
    meaning="prompt_injection, pii or system_prompt_leak",
)
SECURITY_DETAIL: Final = Attribute(
    name="genai_observability.security.detail",
    type="string",
    bounded=True,
    status="own",
    meaning="Of pii, what: e-mail, phone, ssn, card, ip, key, or a name of the user's; of prompt_injection, how: "
    "override, reveal, jailbreak or markup; of a leak: verbatim",
)
SECURITY_SOURCE: Final = Attribute(
    name="genai_observability.security.source",
    type="string",
    bounded=True,
    status="own",
    meaning="Where it was: input (the user's), tool (what a tool returned) or output",
)
SECURITY_COUNT: Final = Attribute(
    name="genai_observability.security.count",
    type="int",
    unit="{match}",
    status="own",
    meaning="How often it was there in this call",
)

# --- The log records -----------------------------------------------------------------------------------------------

EVENT_NAME: Final = Attribute(
    name="event.name", type="string", bounded=True, meaning="Tells the product's log records from the application's"
)
RECORD_ID: Final = Attribute(
    name="log.record.uid", type="string", meaning="The record's own id, by which one that is sent twice is stored once"
)
RECORD_VERSION: Final = Attribute(
    name="genai_observability.record.version",
    type="int",
    status="own",
    meaning="Version of the record's fields: what a reader does not know it must not guess",
)
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
)  # fmt: skip
"""What a record of the request log carries, besides its trace id and span id; fields without a value are absent."""

FLAG_EVENT: Final = "feature_flag.evaluation"
"""``event.name`` of the evaluation of a feature flag."""
FLAG_FIELDS: Final = (*RECORD_FIELDS, FLAG_KEY, FLAG_VARIANT, FLAG_REASON, FLAG_PROVIDER, ERROR_TYPE, *ATTRIBUTION)
SPAN_FIELDS: Final = (DUPLICATE_OF,)
"""What only spans carry: the calls that they are of are not recorded."""

EVALUATION_FIELDS: Final = (
    *RECORD_FIELDS, EVALUATION_NAME, EVALUATION_SCORE, EVALUATION_LABEL, EVALUATION_EXPLANATION, FEEDBACK_CATEGORY,
    RESPONSE_ID,
    REQUEST_MODEL, *ATTRIBUTION,
)  # fmt: skip

SECURITY_FIELDS: Final = (
    *RECORD_FIELDS, SECURITY_KIND, SECURITY_DETAIL, SECURITY_SOURCE, SECURITY_COUNT, RESPONSE_ID, REQUEST_MODEL,
    *ATTRIBUTION,
)  # fmt: skip

# --- Metrics -------------------------------------------------------------------------------------------------------

CALL_LABELS: Final = (
    OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, FEATURE, TEAM, TENANT, ENDPOINT,
)  # fmt: skip
"""The labels that every metric of a call carries."""

# 2, 5, 8 and 10 s are the usual alert thresholds: a bucket that ends exactly there makes the share of slower calls
# exact, where the conventions' powers of two would interpolate.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 30.0, 60.0, 120.0)
_TOKENS = (16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0)
_TOKENS_PER_SECOND = (5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 120.0, 200.0, 400.0)
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

CALL_DURATION: Final = Metric(
    name="gen_ai.client.operation.duration",
    kind="histogram",
    unit="s",
    buckets=_SECONDS,
    labels=(*CALL_LABELS, OUTCOME, ERROR_TYPE),
    meaning="Duration of model calls; its count is the number of calls",
)
CALL_TIME_TO_FIRST_TOKEN: Final = Metric(
    name="genai_observability.time_to_first_token",
    kind="histogram",
    unit="s",
    buckets=_SECONDS,
    labels=CALL_LABELS,
    status="own",
    meaning="Time to the first token of streamed answers",
)
CALL_OUTPUT_RATE: Final = Metric(
    name="genai_observability.output_tokens",
    kind="histogram",
    unit="{token}/s",
    buckets=_TOKENS_PER_SECOND,
    labels=CALL_LABELS,
    status="own",
    meaning="Speed at which answers were written",
)
CALL_TOKENS: Final = Metric(
    name="gen_ai.client.token.usage",
    kind="histogram",
    unit="{token}",
    buckets=_TOKENS,
    labels=(*CALL_LABELS, TOKEN_TYPE),
    meaning="Tokens a call, by input and output; its sum is the number of tokens",
)
CALL_TOKENS_DETAIL: Final = Metric(
    name="genai_observability.tokens.detail",
    kind="counter",
    unit="{token}",
    labels=(*CALL_LABELS, TOKEN_TYPE),
    status="own",
    meaning="Of the tokens above, those cached, spent on reasoning, of audio and so on; never add the two metrics",
)
# The same in the new names: https://github.com/open-telemetry/semantic-conventions-genai/tree/v0.1.0/docs/gen-ai,
# client-inference.md, gen-ai-token-metrics.md and client-embeddings.md. Their buckets stay ours, as objectives and
# thresholds are bounds of them. The answers to requests for images, speech or a moderation are inferences, too.

INFERENCE_DURATION: Final = replace(
    CALL_DURATION,
    name="gen_ai.client.inference.duration",
    meaning="Duration of model calls but for embeddings; its count is their number",
)
EMBEDDINGS_DURATION: Final = replace(
    CALL_DURATION,
    name="gen_ai.client.embeddings.duration",
    meaning="Duration of calls for embeddings; its count is their number",
)
INFERENCE_TIME_TO_FIRST_CHUNK: Final = Metric(
    name="gen_ai.client.inference.time_to_first_chunk",
    kind="histogram",
    unit="s",
    buckets=_SECONDS,
    labels=CALL_LABELS,
    meaning="Time to the first chunk of streamed answers, which may carry nothing of them yet",
)
USED_INPUT: Final = Metric(
    name="gen_ai.client.inference.usage.input_tokens",
    kind="counter",
    unit="{token}",
    labels=(*CALL_LABELS, TOKEN_MODALITY),
    meaning="Tokens of prompts, cached ones included; not of calls for embeddings",
)
USED_OUTPUT: Final = replace(
    USED_INPUT,
    name="gen_ai.client.inference.usage.output_tokens",
    meaning="Tokens of answers, reasoning ones included",
)
USED_CACHED: Final = replace(
    USED_INPUT,
    name="gen_ai.client.inference.usage.cache_read.input_tokens",
    meaning="Of the input tokens, those read from the provider's cache",
)
USED_CACHE_WRITE: Final = replace(
    USED_INPUT,
    name="gen_ai.client.inference.usage.cache_write.input_tokens",
    meaning="Of the input tokens, those written to the provider's cache",
)
USED_REASONING: Final = replace(
    USED_INPUT,
    name="gen_ai.client.inference.usage.reasoning.output_tokens",
    meaning="Of the output tokens, those the model spent on reasoning",
)
INFERENCE_INPUT: Final = Metric(
    name="gen_ai.client.inference.operation.input_tokens",
    kind="histogram",
    unit="{token}",
    buckets=_TOKENS,
    labels=CALL_LABELS,
    meaning="Tokens of the prompt of a call",
)
INFERENCE_OUTPUT: Final = replace(
    INFERENCE_INPUT, name="gen_ai.client.inference.operation.output_tokens", meaning="Tokens of the answer of a call"
)
EMBEDDINGS_INPUT: Final = replace(
    INFERENCE_INPUT,
    name="gen_ai.client.embeddings.operation.input_tokens",
    meaning="Tokens of a call for embeddings; its sum is their number",
)
NEW_METRICS: Final = (
    INFERENCE_DURATION, EMBEDDINGS_DURATION, INFERENCE_TIME_TO_FIRST_CHUNK, USED_INPUT, USED_OUTPUT, USED_CACHED,
    USED_CACHE_WRITE, USED_REASONING, INFERENCE_INPUT, INFERENCE_OUTPUT, EMBEDDINGS_INPUT,
)  # fmt: skip
"""What is emitted in the new names alone."""
OF_EMBEDDINGS: Final = frozenset({EMBEDDINGS_DURATION, EMBEDDINGS_INPUT})
"""Of these the metrics of calls for embeddings alone, which no other one counts."""
CALL_COST: Final = Metric(
    name="genai_observability.cost.usd",
    kind="counter",
    unit="{USD}",
    labels=CALL_LABELS,
    status="own",
    meaning="Money spent on priced calls, in US dollars",
)
CALL_ESTIMATED_COST: Final = Metric(
    name="genai_observability.estimated.cost.usd",
    kind="counter",
    unit="{USD}",
    labels=CALL_LABELS,
    status="own",
    meaning="Estimated price of streams that reported no usage, in US dollars; not part of the cost above",
)
CALL_PHASES: Final = Metric(
    name="genai_observability.phase",
    kind="counter",
    unit="s",
    labels=(*CALL_LABELS, PHASE),
    status="own",
    meaning="Where the time of calls went; divided by the number of calls, the mean of each phase",
)
CALL_RETRIES: Final = Metric(
    name="genai_observability.retries",
    kind="counter",
    unit="{attempt}",
    labels=CALL_LABELS,
    status="own",
    meaning="Attempts that the client library made again",
)
CALLS_IN_FLIGHT: Final = Metric(
    name="genai_observability.calls.in_flight",
    kind="gauge",
    unit="{call}",
    labels=(PROVIDER, REQUEST_MODEL),
    status="own",
    meaning="Calls that have begun and not ended",
)
QUOTA_KIND: Final = Attribute(
    name="genai_observability.quota.kind", type="string", bounded=True, status="own", meaning="requests or tokens"
)
QUOTA_LIMIT: Final = Metric(
    name="genai_observability.quota.limit",
    kind="gauge",
    unit="{item}",
    labels=(PROVIDER, REQUEST_MODEL, QUOTA_KIND),
    status="own",
    meaning="The provider's rate limit, in requests or tokens for each of its periods, as its last answer said",
)
QUOTA_REMAINING: Final = Metric(
    name="genai_observability.quota.remaining",
    kind="gauge",
    unit="{item}",
    labels=(PROVIDER, REQUEST_MODEL, QUOTA_KIND),
    status="own",
    meaning="What the provider's last answer left of the rate limit; the limit again, once its period is over",
)
QUOTA_USED: Final = Metric(
    name="genai_observability.quota.used",
    kind="gauge",
    unit="{share}",
    labels=(PROVIDER, REQUEST_MODEL, QUOTA_KIND),
    status="own",
    meaning="Share of the rate limit that is used up, 0 to 1",
)
CALLS_UNPRICED: Final = Metric(
    name="genai_observability.calls.unpriced",
    kind="counter",
    unit="{call}",
    labels=(*CALL_LABELS, UNPRICED),
    status="own",
    meaning="Calls whose cost is not known; they are missing from the cost",
)
BATCH_CALLS: Final = Metric(
    name="genai_observability.batch.calls",
    kind="counter",
    unit="{call}",
    labels=(*CALL_LABELS, OUTCOME, ERROR_TYPE),
    status="own",
    meaning="Results of batches, when they are fetched; their cost and tokens are counted as of any call, but neither "
    "they nor the hours that they took are in the durations of calls",
)
PRICES_AGE: Final = Metric(
    name="genai_observability.prices.age",
    kind="gauge",
    unit="s",
    labels=(),
    status="own",
    meaning="Time since the newest date on which, by its own notes, a price of the price table was checked",
)
STEP_LABELS: Final = (OPERATION, STEP_NAME, FEATURE, TEAM)
STEP_DURATION: Final = Metric(
    name="genai_observability.step.duration",
    kind="histogram",
    unit="s",
    buckets=_SECONDS,
    labels=(*STEP_LABELS, OUTCOME, ERROR_TYPE),
    status="own",
    meaning="Duration of the steps of chains; its count is their number. Steps are inside of each other: add up those "
    "of one kind only",
)
STEP_COSTS: Final = Metric(
    name="genai_observability.step.cost.usd",
    kind="counter",
    unit="{USD}",
    labels=STEP_LABELS,
    status="own",
    meaning="Money spent on the model calls inside steps, in US dollars; never to be added up over steps that are "
    "inside of each other",
)
STEP_DOCUMENTS: Final = Metric(
    name="genai_observability.step.documents",
    kind="histogram",
    unit="{document}",
    buckets=(0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    labels=STEP_LABELS,
    status="own",
    meaning="Documents that a retrieval or a reranking found",
)
STEP_SCORES: Final = Metric(
    name="genai_observability.step.best_score",
    kind="histogram",
    unit="{score}",
    buckets=_SHARES,
    labels=STEP_LABELS,
    status="own",
    meaning="Highest score of the documents of a retrieval or a reranking; the buckets suit scales from 0 to 1",
)
CACHE_REQUESTS: Final = Metric(
    name="genai_observability.cache.requests",
    kind="counter",
    unit="{request}",
    labels=(CACHE_NAME, CACHE_RESULT, FEATURE, TEAM),
    status="own",
    meaning="Questions to a cache, by their result",
)
CACHE_SIMILARITY: Final = Metric(
    name="genai_observability.cache.similarity",
    kind="histogram",
    unit="{score}",
    buckets=(*_SHARES[:-1], 0.92, 0.94, 0.96, 0.98, 1.0),
    labels=(CACHE_NAME, CACHE_RESULT),
    status="own",
    meaning="Similarity of a question to the one in the cache, 0 to 1: what another threshold would let through",
)
CACHE_AGE: Final = Metric(
    name="genai_observability.cache.age",
    kind="histogram",
    unit="s",
    buckets=(1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0, 604800.0),
    labels=(CACHE_NAME,),
    status="own",
    meaning="Age of the entry that was hit",
)
CACHE_SAVED_COST: Final = Metric(
    name="genai_observability.cache.saved.usd",
    kind="counter",
    unit="{USD}",
    labels=(CACHE_NAME, FEATURE, TEAM),
    status="own",
    meaning="Money that hits saved, as the application says, in US dollars",
)
CACHE_SAVED_TIME: Final = Metric(
    name="genai_observability.cache.saved",
    kind="counter",
    unit="s",
    labels=(CACHE_NAME, FEATURE, TEAM),
    status="own",
    meaning="Time that hits saved, as the application says",
)
CACHE_EVICTIONS: Final = Metric(
    name="genai_observability.cache.evictions",
    kind="counter",
    unit="{entry}",
    labels=(CACHE_NAME,),
    status="own",
    meaning="Entries that a cache has thrown out",
)
CACHE_SIZE: Final = Metric(
    name="genai_observability.cache.size",
    kind="gauge",
    unit="{entry}",
    labels=(CACHE_NAME,),
    status="own",
    meaning="Entries of a cache",
)
FALLBACKS: Final = Metric(
    name="genai_observability.fallbacks",
    kind="counter",
    unit="{fallback}",
    labels=(
        FALLBACK_FROM_PROVIDER, FALLBACK_FROM_MODEL, FALLBACK_TO_PROVIDER, FALLBACK_TO_MODEL, FALLBACK_REASON,
        FEATURE, TEAM,
    ),
    status="own",
    meaning="Calls that went to another model or provider than was meant",
)  # fmt: skip
BREAKERS: Final = Metric(
    name="genai_observability.circuit_breaker",
    kind="gauge",
    unit="{state}",
    labels=(BREAKER_NAME, BREAKER_STATE),
    status="own",
    meaning="1 for the state in which a circuit breaker is, 0 for the others",
)
QUEUE_DEPTH: Final = Metric(
    name="genai_observability.queue.depth",
    kind="gauge",
    unit="{item}",
    labels=(QUEUE_NAME,),
    status="own",
    meaning="What waits in a queue",
)
EVALUATIONS: Final = Metric(
    name="gen_ai.evaluation.score",
    kind="histogram",
    unit="{score}",
    buckets=_SHARES,
    labels=(EVALUATION_NAME, FEATURE, TEAM, REQUEST_MODEL, PROMPT_NAME, PROMPT_VERSION),
    status="proposed",
    meaning="Scores and user feedback, 0 (bad) to 1 (good)",
)
_FEEDBACK_LABELS = (FEATURE, TEAM, REQUEST_MODEL, PROMPT_NAME, PROMPT_VERSION, VARIANT)
FEEDBACK: Final = Metric(
    name="genai_observability.feedback",
    kind="counter",
    unit="{sign}",
    labels=(*_FEEDBACK_LABELS, EVALUATION_LABEL),
    status="own",
    meaning="What users said of answers, or did with them: up, down, stars, report, regenerate, edit, copy, abandon",
)
FEEDBACK_WEIGHT: Final = Metric(
    name="genai_observability.feedback.weight",
    kind="counter",
    unit="{sign}",
    labels=_FEEDBACK_LABELS,
    status="own",
    meaning="The same, each with the weight of its kind",
)
FEEDBACK_SATISFACTION: Final = Metric(
    name="genai_observability.feedback.satisfaction",
    kind="counter",
    unit="{sign}",
    labels=_FEEDBACK_LABELS,
    status="own",
    meaning="The same, each with its weight times the satisfaction it stands for: over the weight, the satisfaction",
)
BUDGET_EXCEEDED: Final = Metric(
    name="genai_observability.budget.exceeded",
    kind="counter",
    unit="{call}",
    labels=(BUDGET, BUDGET_ACTION),
    status="own",
    meaning="Calls that came when a budget was used up; refused ones were never made and are in no other metric",
)
BUDGET_UNCHECKED: Final = Metric(
    name="genai_observability.budget.unchecked",
    kind="counter",
    unit="{call}",
    labels=(BUDGET,),
    status="own",
    meaning="Calls decided upon by what one process knew, as the store that budgets are shared in did not answer",
)
BUDGET_USED: Final = Metric(
    name="genai_observability.budget.used",
    kind="gauge",
    unit="1",
    labels=(BUDGET, FEATURE, TEAM, TENANT),
    status="own",
    meaning="Share of a budget that is spent or reserved; not of users' budgets, which are too many. "
    "With a store every process reports that of all: take the maximum, not the sum",
)
SECURITY_FINDINGS: Final = Metric(
    name="genai_observability.security.findings",
    kind="counter",
    unit="{call}",
    labels=(SECURITY_KIND, SECURITY_DETAIL, SECURITY_SOURCE, FEATURE, TEAM, TENANT, REQUEST_MODEL),
    status="own",
    meaning="Calls with a sign of an attack or a leak, by kind; a call with several counts for each",
)
DROPPED: Final = Metric(
    name="genai_observability.dropped",
    kind="counter",
    unit="{item}",
    labels=(
        Attribute(
            name="genai_observability.dropped.kind",
            type="string",
            bounded=True,
            status="own",
            meaning="call (too many waited: not counted, only traced), span and log (no room was left for them, or "
            "the Collector did not take them), label (it had too many values; they are counted as _other), content "
            "(too much of it waited: the call is recorded without) or batch (a file of results, for which there was no "
            "room)",
        ),
    ),
    status="own",
    meaning="What this package had to leave out so that the application is not slowed down or filled up",
)

METRICS: Final = (
    CALL_DURATION, CALL_TIME_TO_FIRST_TOKEN, CALL_OUTPUT_RATE, CALL_TOKENS, CALL_TOKENS_DETAIL, CALL_COST,
    CALL_ESTIMATED_COST, CALLS_UNPRICED, BATCH_CALLS, CALL_PHASES, CALL_RETRIES, CALLS_IN_FLIGHT, QUOTA_LIMIT,
    QUOTA_REMAINING, QUOTA_USED, PRICES_AGE, STEP_DURATION, STEP_COSTS, STEP_DOCUMENTS, STEP_SCORES, CACHE_REQUESTS,
    CACHE_SIMILARITY, CACHE_AGE, CACHE_SAVED_COST, CACHE_SAVED_TIME, CACHE_EVICTIONS, CACHE_SIZE, FALLBACKS, BREAKERS,
    QUEUE_DEPTH, EVALUATIONS, FEEDBACK, FEEDBACK_WEIGHT, FEEDBACK_SATISFACTION, BUDGET_EXCEEDED, BUDGET_UNCHECKED,
    BUDGET_USED, SECURITY_FINDINGS, DROPPED,
)  # fmt: skip


_INPUT: Final = ((TOKEN_TYPE, "input"),)
_OUTPUT: Final = ((TOKEN_TYPE, "output"),)


def _detail(kind: str, metric: Metric, modality: str = "") -> Place:
    only = ((TOKEN_MODALITY, modality),) if modality else ()
    return Place(metric=metric, only=only, means=((TOKEN_TYPE, kind),))


_RENAMED: Final[Mapping[tuple[Metric, Part], tuple[Place, ...]]] = {
    **{
        (CALL_DURATION, part): (
            Place(metric=INFERENCE_DURATION, part=part),
            Place(metric=EMBEDDINGS_DURATION, part=part),
        )
        for part in CALL_DURATION.parts
    },
    (CALL_TOKENS, "sum"): (
        Place(metric=USED_INPUT, means=_INPUT),
        Place(metric=EMBEDDINGS_INPUT, part="sum", means=_INPUT),
        Place(metric=USED_OUTPUT, means=_OUTPUT),
    ),
    **{
        (CALL_TOKENS, part): (
            Place(metric=INFERENCE_INPUT, part=part, means=_INPUT),
            Place(metric=EMBEDDINGS_INPUT, part=part, means=_INPUT),
            Place(metric=INFERENCE_OUTPUT, part=part, means=_OUTPUT),
        )
        for part in CALL_TOKENS.parts
        if part != "sum"
    },
    (CALL_TOKENS_DETAIL, ""): (
        _detail("cached", USED_CACHED),
        _detail("cache_write", USED_CACHE_WRITE),
        _detail("reasoning", USED_REASONING),
        *(
            _detail(f"{modality}_{side}", metric, modality)
            for modality in ("audio", "image")
            for side, metric in (("input", USED_INPUT), ("output", USED_OUTPUT))
        ),
    ),
}
_OLD_METRICS: Final = frozenset(metric for metric, _ in _RENAMED)

OPT_IN_VARIABLE: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
"""``gen_ai_latest_experimental`` emits the metrics of calls in the new names of the conventions, with ``/dup`` behind
it in the old ones too: [names](catalogue.md#old-and-new-names). A list with commas; what else is in it is for others.
"""
_LATEST: Final = "gen_ai_latest_experimental"


def vocabularies(opt_in: str) -> tuple[Vocabulary, ...]:
    """Which names to emit, by the value of ``OTEL_SEMCONV_STABILITY_OPT_IN``: a list with commas.

    ``gen_ai_latest_experimental`` is the conventions' word for the new names in place of the old ones; with ``/dup``
    behind it, as other conventions have it, for both. What else is in the list is for other instrumentations.
    """
    asked = {each.strip() for each in opt_in.split(",")}
    if f"{_LATEST}/dup" in asked:
        return ("old", "new")
    return ("new",) if _LATEST in asked else ("old",)


def emitted(*vocabularies: Vocabulary) -> tuple[Metric, ...]:
    """All metrics that are emitted in these names."""
    found = METRICS if "old" in vocabularies else tuple(each for each in METRICS if each not in _OLD_METRICS)
    return (*found, *NEW_METRICS) if "new" in vocabularies else found


def places(metric: Metric, part: Part, vocabulary: Vocabulary) -> tuple[Place, ...]:
    """Where the series of a metric, given by its old name, are in a vocabulary.

    Raises:
        ValueError: the metric does not have the part.
    """
    metric.series(part)
    itself = (Place(metric=metric, part=part),)
    return _RENAMED.get((metric, part), itself) if vocabulary == "new" else itself


_FIELDS: Final = (CALL_FIELDS, SPAN_FIELDS, STEP_FIELDS, EVALUATION_FIELDS, SECURITY_FIELDS, FLAG_FIELDS, CONTENT)


def attributes() -> tuple[Attribute, ...]:
    """Every attribute of the catalogue, once, ordered by name."""
    labels: Iterable[Attribute] = (label for metric in emitted("old", "new") for label in metric.labels)
    found = {
        attribute.name: attribute
        for fields in (
            CALL_FIELDS,
            SPAN_FIELDS,
            STEP_FIELDS,
            EVALUATION_FIELDS,
            SECURITY_FIELDS,
            FLAG_FIELDS,
            CONTENT,
            labels,
        )
        for attribute in fields
    }
    return tuple(found[name] for name in sorted(found))
