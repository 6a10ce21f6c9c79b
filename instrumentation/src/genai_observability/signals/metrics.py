"""The metrics of this package, in the names of both vocabularies of the conventions.

The conventions renamed the metrics of model calls when they moved to a repository of their own. ``vocabularies`` says
which are emitted, and ``places`` under which of the new names an old one is found.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial as _partial
from typing import Final, Literal

from genai_observability.signals.attributes import *
from genai_observability.signals.kinds import Attribute, Metric, Part, Place

Vocabulary = Literal["old", "new"]
"""Names of metrics: those of semantic-conventions 1.41, or of semantic-conventions-genai 0.1, which renamed them."""

_counter = _partial(Metric, kind="counter")
_gauge = _partial(Metric, kind="gauge")
_histogram = _partial(Metric, kind="histogram")

# As the table of attributes.
# fmt: off
# --- Metrics ---------------------------------------------------------------------------------------------------------
CALL_LABELS: Final = (
    OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, FEATURE, TEAM, TENANT, ENDPOINT,
)
"""The labels that every metric of a call carries."""

# 2, 5, 8 and 10 s are the usual alert thresholds: a bucket that ends exactly there makes the share of slower calls
# exact, where the conventions' powers of two would interpolate.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 30.0, 60.0, 120.0)
_TOKENS = (16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0)
_TOKENS_PER_SECOND = (5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 120.0, 200.0, 400.0)
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

CALL_DURATION: Final = _histogram("gen_ai.client.operation.duration", "s", (*CALL_LABELS, OUTCOME, ERROR_TYPE),
    "Duration of model calls; its count is the number of calls", _SECONDS)
CALL_TIME_TO_FIRST_TOKEN: Final = _histogram("genai_observability.time_to_first_token", "s", CALL_LABELS,
    "Time to the first token of streamed answers", _SECONDS)
CALL_OUTPUT_RATE: Final = _histogram("genai_observability.output_tokens", "{token}/s", CALL_LABELS,
    "Speed at which answers were written", _TOKENS_PER_SECOND)
CALL_TOKENS: Final = _histogram("gen_ai.client.token.usage", "{token}", (*CALL_LABELS, TOKEN_TYPE),
    "Tokens a call, by input and output; its sum is the number of tokens", _TOKENS)
CALL_TOKENS_DETAIL: Final = _counter("genai_observability.tokens.detail", "{token}", (*CALL_LABELS, TOKEN_TYPE),
    "Of the tokens above, those cached, spent on reasoning, of audio and so on; never add the two metrics")
# The same in the new names: https://github.com/open-telemetry/semantic-conventions-genai/tree/v0.1.0/docs/gen-ai,
# client-inference.md, gen-ai-token-metrics.md and client-embeddings.md. Their buckets stay ours, as objectives and
# thresholds are bounds of them. The answers to requests for images, speech or a moderation are inferences, too.

INFERENCE_DURATION: Final = replace(CALL_DURATION, name="gen_ai.client.inference.duration",
    meaning="Duration of model calls but for embeddings; its count is their number")
EMBEDDINGS_DURATION: Final = replace(CALL_DURATION, name="gen_ai.client.embeddings.duration",
    meaning="Duration of calls for embeddings; its count is their number")
INFERENCE_TIME_TO_FIRST_CHUNK: Final = _histogram("gen_ai.client.inference.time_to_first_chunk", "s", CALL_LABELS,
    "Time to the first chunk of streamed answers, which may carry nothing of them yet", _SECONDS)
_used = _partial(_counter, unit="{token}", labels=(*CALL_LABELS, TOKEN_MODALITY))
USED_INPUT: Final = _used("gen_ai.client.inference.usage.input_tokens",
    meaning="Tokens of prompts, cached ones included; not of calls for embeddings")
USED_OUTPUT: Final = _used("gen_ai.client.inference.usage.output_tokens",
    meaning="Tokens of answers, reasoning ones included")
USED_CACHED: Final = _used("gen_ai.client.inference.usage.cache_read.input_tokens",
    meaning="Of the input tokens, those read from the provider's cache")
USED_CACHE_WRITE: Final = _used("gen_ai.client.inference.usage.cache_write.input_tokens",
    meaning="Of the input tokens, those written to the provider's cache")
USED_REASONING: Final = _used("gen_ai.client.inference.usage.reasoning.output_tokens",
    meaning="Of the output tokens, those the model spent on reasoning")
INFERENCE_INPUT: Final = _histogram("gen_ai.client.inference.operation.input_tokens", "{token}", CALL_LABELS,
    "Tokens of the prompt of a call", _TOKENS)
INFERENCE_OUTPUT: Final = replace(INFERENCE_INPUT, name="gen_ai.client.inference.operation.output_tokens",
    meaning="Tokens of the answer of a call")
EMBEDDINGS_INPUT: Final = replace(INFERENCE_INPUT, name="gen_ai.client.embeddings.operation.input_tokens",
    meaning="Tokens of a call for embeddings; its sum is their number")
NEW_METRICS: Final = (
    INFERENCE_DURATION, EMBEDDINGS_DURATION, INFERENCE_TIME_TO_FIRST_CHUNK, USED_INPUT, USED_OUTPUT, USED_CACHED,
    USED_CACHE_WRITE, USED_REASONING, INFERENCE_INPUT, INFERENCE_OUTPUT, EMBEDDINGS_INPUT,
)
"""What is emitted in the new names alone."""
OF_EMBEDDINGS: Final = frozenset({EMBEDDINGS_DURATION, EMBEDDINGS_INPUT})
"""Of these the metrics of calls for embeddings alone, which no other one counts."""
CALL_COST: Final = _counter("genai_observability.cost.usd", "{USD}", CALL_LABELS,
    "Money spent on priced calls, in US dollars")
CALL_ESTIMATED_COST: Final = _counter("genai_observability.estimated.cost.usd", "{USD}", CALL_LABELS,
    "Estimated price of streams that reported no usage, in US dollars; not part of the cost above")
CALLS_UNPRICED: Final = _counter("genai_observability.calls.unpriced", "{call}", (*CALL_LABELS, UNPRICED),
    "Calls whose cost is not known; they are missing from the cost")
BATCH_CALLS: Final = _counter("genai_observability.batch.calls", "{call}", (*CALL_LABELS, OUTCOME, ERROR_TYPE),
    "Results of batches, when they are fetched; their cost and tokens are counted as of any call, but neither they "
    "nor the hours that they took are in the durations of calls")
CALL_PHASES: Final = _counter("genai_observability.phase", "s", (*CALL_LABELS, PHASE),
    "Where the time of calls went; divided by the number of calls, the mean of each phase")
CALL_RETRIES: Final = _counter("genai_observability.retries", "{attempt}", CALL_LABELS,
    "Attempts that the client library made again")
CALLS_IN_FLIGHT: Final = _gauge("genai_observability.calls.in_flight", "{call}", (PROVIDER, REQUEST_MODEL),
    "Calls that have begun and not ended")
QUOTA_LIMIT: Final = _gauge("genai_observability.quota.limit", "{item}", (PROVIDER, REQUEST_MODEL, QUOTA_KIND),
    "The provider's rate limit, in requests or tokens for each of its periods, as its last answer said")
QUOTA_REMAINING: Final = _gauge("genai_observability.quota.remaining", "{item}", (PROVIDER, REQUEST_MODEL, QUOTA_KIND),
    "What the provider's last answer left of the rate limit; the limit again, once its period is over")
QUOTA_USED: Final = _gauge("genai_observability.quota.used", "{share}", (PROVIDER, REQUEST_MODEL, QUOTA_KIND),
    "Share of the rate limit that is used up, 0 to 1")
PRICES_AGE: Final = _gauge("genai_observability.prices.age", "s", (),
    "Time since the newest date on which, by its own notes, a price of the price table was checked")
STEP_LABELS: Final = (OPERATION, STEP_NAME, FEATURE, TEAM)
STEP_DURATION: Final = _histogram("genai_observability.step.duration", "s", (*STEP_LABELS, OUTCOME, ERROR_TYPE),
    "Duration of the steps of chains; its count is their number. Steps are inside of each other: add up those of one "
    "kind only", _SECONDS)
STEP_COSTS: Final = _counter("genai_observability.step.cost.usd", "{USD}", STEP_LABELS,
    "Money spent on the model calls inside steps, in US dollars; never to be added up over steps that are inside of "
    "each other")
STEP_DOCUMENTS: Final = _histogram("genai_observability.step.documents", "{document}", STEP_LABELS,
    "Documents that a retrieval or a reranking found", (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0))
STEP_SCORES: Final = _histogram("genai_observability.step.best_score", "{score}", STEP_LABELS,
    "Highest score of the documents of a retrieval or a reranking; the buckets suit scales from 0 to 1", _SHARES)
CACHE_REQUESTS: Final = _counter("genai_observability.cache.requests", "{request}",
    (CACHE_NAME, CACHE_RESULT, FEATURE, TEAM), "Questions to a cache, by their result")
CACHE_SIMILARITY: Final = _histogram("genai_observability.cache.similarity", "{score}", (CACHE_NAME, CACHE_RESULT),
    "Similarity of a question to the one in the cache, 0 to 1: what another threshold would let through",
    (*_SHARES[:-1], 0.92, 0.94, 0.96, 0.98, 1.0))
CACHE_AGE: Final = _histogram("genai_observability.cache.age", "s", (CACHE_NAME,), "Age of the entry that was hit",
    (1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0, 604800.0))
CACHE_SAVED_COST: Final = _counter("genai_observability.cache.saved.usd", "{USD}", (CACHE_NAME, FEATURE, TEAM),
    "Money that hits saved, as the application says, in US dollars")
CACHE_SAVED_TIME: Final = _counter("genai_observability.cache.saved", "s", (CACHE_NAME, FEATURE, TEAM),
    "Time that hits saved, as the application says")
CACHE_EVICTIONS: Final = _counter("genai_observability.cache.evictions", "{entry}", (CACHE_NAME,),
    "Entries that a cache has thrown out")
CACHE_SIZE: Final = _gauge("genai_observability.cache.size", "{entry}", (CACHE_NAME,), "Entries of a cache")
FALLBACKS: Final = _counter(
    "genai_observability.fallbacks", "{fallback}",
    (
        FALLBACK_FROM_PROVIDER, FALLBACK_FROM_MODEL, FALLBACK_TO_PROVIDER, FALLBACK_TO_MODEL, FALLBACK_REASON,
        FEATURE, TEAM,
    ),
    "Calls that went to another model or provider than was meant",
)
BREAKERS: Final = _gauge("genai_observability.circuit_breaker", "{state}", (BREAKER_NAME, BREAKER_STATE),
    "1 for the state in which a circuit breaker is, 0 for the others")
QUEUE_DEPTH: Final = _gauge("genai_observability.queue.depth", "{item}", (QUEUE_NAME,), "What waits in a queue")
EVALUATIONS: Final = _histogram("gen_ai.evaluation.score", "{score}",
    (EVALUATION_NAME, FEATURE, TEAM, REQUEST_MODEL, PROMPT_NAME, PROMPT_VERSION),
    "Scores and user feedback, 0 (bad) to 1 (good)", _SHARES, settled="proposed")
_FEEDBACK_LABELS = (FEATURE, TEAM, REQUEST_MODEL, PROMPT_NAME, PROMPT_VERSION, VARIANT)
FEEDBACK: Final = _counter("genai_observability.feedback", "{sign}", (*_FEEDBACK_LABELS, EVALUATION_LABEL),
    "What users said of answers, or did with them: up, down, stars, report, regenerate, edit, copy, abandon")
FEEDBACK_WEIGHT: Final = _counter("genai_observability.feedback.weight", "{sign}", _FEEDBACK_LABELS,
    "The same, each with the weight of its kind")
FEEDBACK_SATISFACTION: Final = _counter("genai_observability.feedback.satisfaction", "{sign}", _FEEDBACK_LABELS,
    "The same, each with its weight times the satisfaction it stands for: over the weight, the satisfaction")
BUDGET_EXCEEDED: Final = _counter("genai_observability.budget.exceeded", "{call}", (BUDGET, BUDGET_ACTION),
    "Calls that came when a budget was used up; refused ones were never made and are in no other metric")
BUDGET_UNCHECKED: Final = _counter("genai_observability.budget.unchecked", "{call}", (BUDGET,),
    "Calls decided upon by what one process knew, as the store that budgets are shared in did not answer")
BUDGET_USED: Final = _gauge("genai_observability.budget.used", "1", (BUDGET, FEATURE, TEAM, TENANT),
    "Share of a budget that is spent or reserved; not of users' budgets, which are too many. With a store every "
    "process reports that of all: take the maximum, not the sum")
SECURITY_FINDINGS: Final = _counter("genai_observability.security.findings", "{call}",
    (SECURITY_KIND, SECURITY_DETAIL, SECURITY_SOURCE, FEATURE, TEAM, TENANT, REQUEST_MODEL),
    "Calls with a sign of an attack or a leak, by kind; a call with several counts for each")
DROPPED: Final = _counter("genai_observability.dropped", "{item}", (DROPPED_KIND,),
    "What this package had to leave out so that the application is not slowed down or filled up")

METRICS: Final = tuple(
    each for each in list(globals().values()) if isinstance(each, Metric) and each not in NEW_METRICS
)
"""All of the above but those."""
# fmt: on


_INPUT: Final = ((TOKEN_TYPE, "input"),)
_OUTPUT: Final = ((TOKEN_TYPE, "output"),)


def _detail(kind: str, metric: Metric, modality: str = "") -> Place:
    only = ((TOKEN_MODALITY, modality),) if modality else ()
    return Place(metric, only=only, means=((TOKEN_TYPE, kind),))


_RENAMED: Final[Mapping[tuple[Metric, Part], tuple[Place, ...]]] = {
    **{
        (CALL_DURATION, part): (Place(INFERENCE_DURATION, part), Place(EMBEDDINGS_DURATION, part))
        for part in CALL_DURATION.parts
    },
    (CALL_TOKENS, "sum"): (
        Place(USED_INPUT, means=_INPUT),
        Place(EMBEDDINGS_INPUT, "sum", means=_INPUT),
        Place(USED_OUTPUT, means=_OUTPUT),
    ),
    **{
        (CALL_TOKENS, part): (
            Place(INFERENCE_INPUT, part, means=_INPUT),
            Place(EMBEDDINGS_INPUT, part, means=_INPUT),
            Place(INFERENCE_OUTPUT, part, means=_OUTPUT),
        )
        for part in CALL_TOKENS.parts
        if part != "sum"
    },
    (CALL_TOKENS_DETAIL, ""): (
        _detail("cached", USED_CACHED),
        _detail("cache_write", USED_CACHE_WRITE),
        _detail("reasoning", USED_REASONING),
        _detail("audio_input", USED_INPUT, "audio"),
        _detail("audio_output", USED_OUTPUT, "audio"),
        _detail("image_input", USED_INPUT, "image"),
        _detail("image_output", USED_OUTPUT, "image"),
    ),
}
_OLD_METRICS: Final = frozenset(metric for metric, _ in _RENAMED)

OPT_IN_VARIABLE: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
"""``gen_ai_latest_experimental`` emits the metrics of calls in the new names of the conventions, with ``/dup`` behind
it in the old ones too: [names](catalogue.md#old-and-new-names). A list with commas; what else is in it is for others.
"""
_LATEST: Final = "gen_ai_latest_experimental"


def vocabularies(opt_in: str) -> tuple[Vocabulary, ...]:
    """Which names to emit, by the value of ``OTEL_SEMCONV_STABILITY_OPT_IN``."""
    asked = {each.strip() for each in opt_in.split(",")}
    if f"{_LATEST}/dup" in asked:
        return ("old", "new")
    return ("new",) if _LATEST in asked else ("old",)


def emitted(*vocabularies: Vocabulary) -> tuple[Metric, ...]:
    """All metrics that are emitted in these names."""
    found = METRICS if "old" in vocabularies else tuple(each for each in METRICS if each not in _OLD_METRICS)
    return (*found, *NEW_METRICS) if "new" in vocabularies else found


def attributes() -> tuple[Attribute, ...]:
    """Every attribute of the catalogue, once, ordered by name."""
    fields = (CALL_FIELDS, SPAN_FIELDS, STEP_FIELDS, EVALUATION_FIELDS, SECURITY_FIELDS, FLAG_FIELDS, CONTENT)
    labels = (metric.labels for metric in (*METRICS, *NEW_METRICS))
    return tuple(sorted({each for group in (*fields, *labels) for each in group}, key=lambda each: each.name))


def places(metric: Metric, part: Part, vocabulary: Vocabulary) -> tuple[Place, ...]:
    """Where the series of a metric, given by its old name, are in a vocabulary.

    Raises:
        ValueError: the metric does not have the part.
    """
    metric.series(part)
    itself = (Place(metric, part),)
    return _RENAMED.get((metric, part), itself) if vocabulary == "new" else itself
