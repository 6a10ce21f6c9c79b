"""From the lines of a file of results to calls: https://platform.openai.com/docs/api-reference/batch/request-output."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from genai_observability import signals
from genai_observability._calls.call import Call, Exchange, Outcome, Tokens
from genai_observability._calls.outcome import scrubbed
from genai_observability._calls.provider_names import provider_name

_OPERATIONS: Final = {
    "/v1/embeddings": "embeddings",
    "/v1/completions": "text_completion",
    "/v1/moderations": "moderation",
    "/v1/images/generations": "image_generation",
    "/v1/images/edits": "image_generation",
}
_OUTCOMES: Final[Mapping[str, Outcome]] = {
    "429": "rate_limited",
    "408": "timeout",
    "batch_expired": "timeout",
    "batch_cancelled": "cancelled",
}
_LONGEST_LINE: Final = 32 * 2**20  # bytes; reading a longer one would hold up the application's threads
_KINDS: Final = (
    ("audio_tokens", signals.AUDIO_INPUT_TOKENS, signals.AUDIO_OUTPUT_TOKENS),
    ("image_tokens", signals.IMAGE_INPUT_TOKENS, signals.IMAGE_OUTPUT_TOKENS),
)
_SEARCHES: Final = {"web_search_call": signals.WEB_SEARCHES.name, "file_search_call": signals.FILE_SEARCHES.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch whose results are known by their files; ``created`` is in seconds since the epoch."""

    id: str
    endpoint: str
    created: float
    server_address: str


def calls(batch: Batch, content: bytes, *, now: float) -> Iterator[Call]:
    """The calls of a file of results, one by one; what is no result is left out.

    Their price is that of the day on which the batch was created, in the tier ``batch``.
    """
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        if end - start <= _LONGEST_LINE and (result := _object(content[start:end])):
            yield _call(batch, result, now)
        start = end + 1


def _call(batch: Batch, result: Mapping[str, Any], now: float) -> Call:
    response = _mapping(result, "response")
    body = _mapping(response, "body")
    status = response.get("status_code")
    failed = status != 200
    error = (_mapping(result, "error") or _mapping(body, "error")) if failed else {}
    error_type = str(error.get("code") or error.get("type") or status or "_OTHER") if failed else None
    model, operation = _text(body, "model"), _OPERATIONS.get(batch.endpoint, "chat")
    attributes = {signals.PROVIDER.name: "openai", signals.SERVER_ADDRESS.name: batch.server_address}
    return Call(
        operation=operation,
        provider=provider_name(attributes),
        started=datetime.fromtimestamp(batch.created, tz=UTC),
        duration=max(now - batch.created, 0.0),
        batch=batch.id,
        outcome=_OUTCOMES.get(str(status), _OUTCOMES.get(error_type, "error")) if error_type else "success",
        request_model=model,  # the model that was asked for is in the file of requests only
        response_model=model,
        response_id=_text(body, "id"),
        finish_reasons=_finish_reasons(body),
        server_address=batch.server_address,
        tokens=_tokens(_mapping(body, "usage")),
        usage=_usage(body, operation),
        service_tier="batch",
        error_type=error_type,
        error_message=scrubbed(_text(error, "message")),
        exchange=Exchange(request_id=_text(response, "request_id")),
    )


def _tokens(usage: Mapping[str, Any]) -> Tokens:
    asked, answered = _details(usage)
    return Tokens(
        input=_count(usage, "prompt_tokens", "input_tokens"),
        output=_count(usage, "completion_tokens", "output_tokens"),
        cached=_count(asked, "cached_tokens") or 0,
        cache_write=_count(asked, "cache_write_tokens") or 0,
        reasoning=_count(answered, "reasoning_tokens") or 0,
    )


def _usage(body: Mapping[str, Any], operation: str) -> dict[str, int | float]:
    usage = _mapping(body, "usage")
    asked, answered = _details(usage)
    found: dict[str, int | float] = {}
    for key, read, written in _KINDS:
        found[read.name] = _count(asked, key) or 0
        found[written.name] = _count(answered, key) or 0
    for item in _list(body, "output"):
        if isinstance(item, dict) and (name := _SEARCHES.get(str(item.get("type")))):
            found[name] = found.get(name, 0) + 1
    if operation == "image_generation":
        found[signals.IMAGES.name] = len(_list(body, "data"))
        if not answered:  # models that do not tell them apart write images alone
            found[signals.IMAGE_OUTPUT_TOKENS.name] = _count(usage, "output_tokens") or 0
    return {name: count for name, count in found.items() if count}


def _details(usage: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    asked = _mapping(usage, "prompt_tokens_details") or _mapping(usage, "input_tokens_details")
    return asked, _mapping(usage, "completion_tokens_details") or _mapping(usage, "output_tokens_details")


def _finish_reasons(body: Mapping[str, Any]) -> tuple[str, ...]:
    reasons = [choice.get("finish_reason") for choice in _list(body, "choices") if isinstance(choice, dict)]
    return tuple(reason for reason in reasons if isinstance(reason, str))


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and ("response" in found or "error" in found) else {}


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _list(values: Mapping[str, Any], key: str) -> list[Any]:
    found = values.get(key)
    return found if isinstance(found, list) else []


def _text(values: Mapping[str, Any], key: str) -> str | None:
    found = values.get(key)
    return found if isinstance(found, str) and found else None


def _count(values: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        found = values.get(key)
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            return found
    return None
