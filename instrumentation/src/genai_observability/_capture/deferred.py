"""Answers that come later than the call that asks for them: of responses in the background, and of batches.

https://platform.openai.com/docs/guides/background. The call that submits a response ends without usage. The first fetch
in this process that finds it finished is recorded with its usage, and for whom it was submitted; those before and after
are not calls of a model.

https://platform.openai.com/docs/guides/batch. The answer to ``GET /batches/…`` says which files hold whose results, and
``GET /files/…/content`` brings them. The application's thread only notes which file it was; the lines are read by the
worker: https://platform.openai.com/docs/api-reference/batch/request-output.
"""

import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from genai_observability import signals
from genai_observability._call import Call, Exchange, Outcome, Value, utc
from genai_observability._capture import answers
from genai_observability._capture.answers import get, plain
from genai_observability._capture.apis import api_of
from genai_observability._capture.attributes import provider_name, text, texts, tokens, usage

_MOST: Final = 10_000  # responses, batches and files that are remembered
_submitted: OrderedDict[str, Mapping[str, Value]] = OrderedDict()
_recorded: OrderedDict[str, object] = OrderedDict()


def submitted(answer: Any, attribution: Mapping[str, Value]) -> dict[str, Any]:
    """What the answer to a call says, or the end of its stream, where it may have submitted a response."""
    if get(answer, "background") is not True or not isinstance(key := get(answer, "id"), str):
        return {}
    if get(answer, "usage") is not None:
        _keep(_recorded, key, None)
    elif get(answer, "status") in ("queued", "in_progress"):
        _keep(_submitted, key, attribution)
        return {signals.BACKGROUND.name: True}
    return {}


def fetched(answer: Any) -> dict[str, Any]:
    """What a fetched response says, where it is the first to be fetched with its usage: of two at once, one is."""
    key = get(answer, "id")
    if get(answer, "background") is not True or get(answer, "usage") is None or not isinstance(key, str):
        return {}
    this = object()
    if _recorded.setdefault(key, this) is not this:
        return {}
    _keep(_recorded, key, this)
    return {**answers.response(answer), **_submitted.pop(key, {})}


def _keep(kept: OrderedDict[str, Any], key: str, value: Any) -> None:
    kept[key] = value
    while len(kept) > _MOST:
        kept.popitem(last=False)


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
    said = api.read(body) if api else {}
    model = text(said.get(signals.RESPONSE_MODEL.name))
    return Call(
        operation=api.operation if api else "chat",
        provider=provider_name({signals.PROVIDER.name: "openai", signals.SERVER_ADDRESS.name: batch.server_address}),
        started=utc(round(batch.created * 1e9)),
        duration=max(now - batch.created, 0.0),
        batch=batch.id,
        outcome=_OUTCOMES.get(str(status), _OUTCOMES.get(error_type, "error")) if error_type else "success",
        request_model=model,  # the model that was asked for is in the file of requests only
        response_model=model,
        response_id=text(said.get(signals.RESPONSE_ID.name)),
        finish_reasons=texts(said.get(signals.FINISH_REASONS.name)),
        server_address=batch.server_address,
        tokens=tokens(said),
        usage=usage(said),
        service_tier="batch",
        error_type=error_type,
        error_message=text(error.get("message")),
        exchange=Exchange(request_id=text(response.get("request_id"))),
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


_BATCH: Final = re.compile(r"/batches/[^/]+/?$")
_CONTENT: Final = re.compile(r"/files/([^/]+)/content/?$")


@dataclass
class BatchFiles:
    """The files of results that this process knows of, and those whose results it has counted."""

    fetched: Callable[[Results], None]  # gets the results of each batch, once
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _files: OrderedDict[str, Batch] = field(default_factory=OrderedDict)
    _counted: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def look(self, client: Any, method: str, url: str, answer: Any) -> None:
        """Look at an answer that is none of a model: whether it tells of a batch, or brings results of one."""
        if method.lower() != "get":
            return
        path = url.partition("?")[0]
        if _BATCH.search(path):
            self._batch(client.base_url.host, plain(answer))
        elif found := _CONTENT.search(path):
            self._file(found[1], answer)

    def _batch(self, host: str, batch: Any) -> None:
        created = float(get(batch, "created_at"))
        found = Batch(id=get(batch, "id"), endpoint=get(batch, "endpoint"), created=created, server_address=host)
        with self._lock:
            for file in (get(batch, "output_file_id"), get(batch, "error_file_id")):
                if file:
                    _keep(self._files, file, found)

    def _file(self, file: str, answer: Any) -> None:
        content = getattr(answer, "content", None)  # the bytes that were read; a streamed answer has none
        with self._lock:
            batch = self._files.get(file)
            if batch is None or file in self._counted or not isinstance(content, bytes):
                return
            _keep(self._counted, file, None)
        results = partial(calls, batch, content, now=time.time())
        self.fetched(Results(batch=batch.id, size=len(content), calls=results))
