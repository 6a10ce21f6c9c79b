"""From the lines of a file of results to calls: https://platform.openai.com/docs/api-reference/batch/request-output."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from genai_observability import signals
from genai_observability._calls.attributes import Attributes
from genai_observability._calls.call import Call, Exchange, Outcome, utc
from genai_observability._calls.provider_names import provider_name
from genai_observability._capture.apis import api_of

_OUTCOMES: Final[Mapping[str, Outcome]] = {
    "429": "rate_limited",
    "408": "timeout",
    "batch_expired": "timeout",
    "batch_cancelled": "cancelled",
}
_LONGEST_LINE: Final = 32 * 2**20  # bytes; reading a longer one would hold up the application's threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch whose results are known by their files; ``created`` is in seconds since the epoch."""

    id: str
    endpoint: str
    created: float
    server_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The results of a batch that were fetched: its id, their size in bytes, and the calls in them."""

    batch: str
    size: int
    calls: Callable[[], Iterable[Call]]


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
    api = api_of("post", batch.endpoint)
    said = Attributes(api.read(body) if api else {})
    model = said.text(signals.RESPONSE_MODEL.name)
    return Call(
        operation=api.operation if api else "chat",
        provider=provider_name({signals.PROVIDER.name: "openai", signals.SERVER_ADDRESS.name: batch.server_address}),
        started=utc(round(batch.created * 1e9)),
        duration=max(now - batch.created, 0.0),
        batch=batch.id,
        outcome=_OUTCOMES.get(str(status), _OUTCOMES.get(error_type, "error")) if error_type else "success",
        request_model=model,  # the model that was asked for is in the file of requests only
        response_model=model,
        response_id=said.text(signals.RESPONSE_ID.name),
        finish_reasons=said.texts(signals.FINISH_REASONS.name),
        server_address=batch.server_address,
        tokens=said.tokens(),
        usage=said.usage(),
        service_tier="batch",
        error_type=error_type,
        error_message=error["message"] if isinstance(error.get("message"), str) else None,
        exchange=Exchange(request_id=Attributes(response).text("request_id")),
    )


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and ("response" in found or "error" in found) else {}


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}
