"""Which column of the warehouse has which signal of the catalogue, and what else a row has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from genai_observability import signals
from genai_observability.signals import Attribute

Type = Literal["text", "text[]", "bigint", "double precision", "numeric", "boolean"]

_TYPES: Final[dict[str, Type]] = {
    "string": "text",
    "string[]": "text[]",
    "int": "bigint",
    "double": "double precision",
    "boolean": "boolean",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column that has the value of a signal."""

    name: str
    signal: Attribute
    required: bool = False
    """Whether a record without it is none."""

    @property
    def type(self) -> Type:
        """Money is exact; all else as the catalogue says."""
        return "numeric" if self.signal.unit == "{USD}" else _TYPES[self.signal.type]


SERVICE: Final = Attribute(name="service.name", type="string", settled="stable", meaning="The application")
ENVIRONMENT: Final = Attribute(
    name="deployment.environment.name", type="string", settled="stable", meaning="Where the application runs"
)
SERVICE_VERSION: Final = Attribute(
    name="service.version", type="string", settled="stable", meaning="Version of the application"
)
RESOURCE: Final = (
    Column("service", SERVICE),
    Column("environment", ENVIRONMENT),
    Column("service_version", SERVICE_VERSION),
)
"""What all records of a process have in common."""

_ATTRIBUTION: Final = (
    Column("feature", signals.FEATURE),
    Column("team", signals.TEAM),
    Column("tenant", signals.TENANT),
    Column("endpoint", signals.ENDPOINT),
    Column("user_hash", signals.USER_HASH),
    Column("user_tier", signals.USER_TIER),
    Column("session_id", signals.SESSION),
    Column("conversation_id", signals.CONVERSATION),
    Column("request_id", signals.REQUEST),
    Column("prompt_name", signals.PROMPT_NAME),
    Column("prompt_version", signals.PROMPT_VERSION),
    Column("experiment", signals.EXPERIMENT),
    Column("variant", signals.VARIANT),
)

_CALL: Final = (
    *_ATTRIBUTION,
    Column("operation", signals.OPERATION),
    Column("provider", signals.PROVIDER),
    Column("request_model", signals.REQUEST_MODEL),
    Column("response_model", signals.RESPONSE_MODEL),
    Column("response_id", signals.RESPONSE_ID),
    Column("provider_request_id", signals.PROVIDER_REQUEST_ID),
    Column("batch_id", signals.BATCH),
    Column("server_address", signals.SERVER_ADDRESS),
    Column("service_tier", signals.SERVICE_TIER),
    Column("temperature", signals.TEMPERATURE),
    Column("top_p", signals.TOP_P),
    Column("max_tokens", signals.MAX_TOKENS),
    Column("streamed", signals.STREAM),
    Column("background", signals.BACKGROUND),
    Column("outcome", signals.OUTCOME, required=True),
    Column("error_type", signals.ERROR_TYPE),
    Column("error_message", signals.ERROR_MESSAGE),
    Column("finish_reasons", signals.FINISH_REASONS),
    Column("refused", signals.REFUSED),
    Column("stream_end", signals.STREAM_END),
    Column("retries", signals.RETRIES),
    Column("duration", signals.DURATION),
    Column("time_to_first_token", signals.TIME_TO_FIRST_TOKEN),
    Column("time_per_output_token", signals.TIME_PER_TOKEN),
    Column("output_tokens_per_second", signals.OUTPUT_RATE),
    *(Column(f"seconds_{phase}", signal) for phase, signal in signals.PHASE_SECONDS.items()),
    Column("input_tokens", signals.INPUT_TOKENS),
    Column("output_tokens", signals.OUTPUT_TOKENS),
    Column("cached_tokens", signals.CACHED_TOKENS),
    Column("cache_write_tokens", signals.CACHE_WRITE_TOKENS),
    Column("reasoning_tokens", signals.REASONING_TOKENS),
    Column("audio_input_tokens", signals.AUDIO_INPUT_TOKENS),
    Column("audio_output_tokens", signals.AUDIO_OUTPUT_TOKENS),
    Column("image_input_tokens", signals.IMAGE_INPUT_TOKENS),
    Column("image_output_tokens", signals.IMAGE_OUTPUT_TOKENS),
    Column("text_cached_tokens", signals.TEXT_CACHED_TOKENS),
    Column("audio_cached_tokens", signals.AUDIO_CACHED_TOKENS),
    Column("image_cached_tokens", signals.IMAGE_CACHED_TOKENS),
    Column("characters", signals.CHARACTERS),
    Column("audio_seconds", signals.AUDIO_SECONDS),
    Column("images", signals.IMAGES),
    Column("web_searches", signals.WEB_SEARCHES),
    Column("file_searches", signals.FILE_SEARCHES),
    Column("cost", signals.COST),
    Column("currency", signals.COST_CURRENCY),
    Column("cost_source", signals.COST_SOURCE),
    Column("price_age_days", signals.PRICE_AGE),
    Column("cache_saved", signals.CACHE_SAVED),
    Column("unpriced_reason", signals.UNPRICED),
    Column("estimated_input_tokens", signals.ESTIMATED_INPUT),
    Column("estimated_output_tokens", signals.ESTIMATED_OUTPUT),
    Column("estimated_cost", signals.ESTIMATED_COST),
)

_SCORE: Final = (
    *_ATTRIBUTION,
    Column("response_id", signals.RESPONSE_ID),
    Column("request_model", signals.REQUEST_MODEL),
    Column("name", signals.EVALUATION_NAME, required=True),
    Column("score", signals.EVALUATION_SCORE),
    Column("label", signals.EVALUATION_LABEL),
    Column("explanation", signals.EVALUATION_EXPLANATION),
    Column("category", signals.FEEDBACK_CATEGORY),
)

_FINDING: Final = (
    *_ATTRIBUTION,
    Column("response_id", signals.RESPONSE_ID),
    Column("request_model", signals.REQUEST_MODEL),
    Column("kind", signals.SECURITY_KIND, required=True),
    Column("detail", signals.SECURITY_DETAIL),
    Column("source", signals.SECURITY_SOURCE),
    Column("matches", signals.SECURITY_COUNT),
)

OWN: Final = {
    "id": "The record's own id, by which one that is sent twice is stored once",
    "ended_at": "When the call ended, by the application's clock: what every time range goes by",
    "scored_at": "When the score was given, by the application's clock",
    "found_at": "When the call with the sign was recorded, by the application's clock",
    "started_at": "When the call began; absent for results of batches, whose duration says nothing",
    "trace_id": "The trace that the call is in, as 32 hexadecimal digits",
    "span_id": "The call's span, as 16 hexadecimal digits",
    "metadata": "Free metadata of the application, and fields that this version of the warehouse has no column for",
}
"""Columns that are no signal of the catalogue, with their meaning."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of records. ``time`` is its column with the record's time, ``fields`` what the records carry."""

    name: str
    event: str
    time: str
    columns: tuple[Column, ...]
    fields: tuple[Attribute, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every column, in the order in which rows have their values."""
        started = ("started_at",) if self.time == "ended_at" else ()
        signals_ = (column.name for column in (*RESOURCE, *self.columns))
        return ("id", self.time, *started, "trace_id", "span_id", *signals_, "metadata")


CALLS: Final = Table("calls", signals.CALL_EVENT, "ended_at", _CALL, signals.CALL_FIELDS)
SCORES: Final = Table("scores", signals.EVALUATION_EVENT, "scored_at", _SCORE, signals.EVALUATION_FIELDS)
FINDINGS: Final = Table("findings", signals.SECURITY_EVENT, "found_at", _FINDING, signals.SECURITY_FIELDS)
TABLES: Final = (CALLS, SCORES, FINDINGS)


def missing() -> Iterator[str]:
    """A sentence for each field of a record in the catalogue that the record's table has no column for."""
    for table in TABLES:
        known = {column.signal.name for column in table.columns}
        for field in table.fields:
            if field not in signals.RECORD_FIELDS and field.name not in known:
                yield f"{table.name} has no column for {field.name}: add it in postgres/ and stack/usage/columns.py."
