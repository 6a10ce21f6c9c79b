"""The provider: a transport in memory that answers at once, and the two calls that are measured."""

import importlib
import json
from collections.abc import Iterator
from typing import Any, Final

MARKER: Final = "xylophone"
"""Occurs in the prompt and in the answers: where it is found, content was recorded."""
CHUNKS: Final = 200

Request = dict[str, Any]
_MESSAGES: Final = [{"role": "user", "content": f"Where is my {MARKER}?"}]
PLAIN: Final[Request] = {"model": "gpt-4o-mini", "messages": _MESSAGES}
STREAMED: Final[Request] = {**PLAIN, "stream": True, "stream_options": {"include_usage": True}}


def client() -> Any:
    """A client of the installed version of openai, on the in-memory transport of the HTTP library that it uses."""
    import openai

    httpx: Any = importlib.import_module("httpx2" if int(openai.__version__.split(".")[0]) >= 3 else "httpx")

    def answer(request: Any) -> Any:
        if json.loads(request.content).get("stream"):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=_STREAM)
        return httpx.Response(200, headers={"content-type": "application/json"}, content=_ANSWER)

    http_client = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(api_key="benchmark", http_client=http_client, max_retries=0)


_USAGE: Final = {
    "prompt_tokens": 1000,
    "completion_tokens": CHUNKS,
    "total_tokens": 1000 + CHUNKS,
    "prompt_tokens_details": {"cached_tokens": 512},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_MODEL: Final = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
_MESSAGE: Final = {"role": "assistant", "content": f"{MARKER} " * CHUNKS}
_ANSWER: Final = json.dumps(
    _MODEL
    | {
        "object": "chat.completion",
        "usage": _USAGE,
        "choices": [{"index": 0, "finish_reason": "stop", "message": _MESSAGE}],
    }
).encode()


def _events() -> Iterator[str]:
    chunk = _MODEL | {"object": "chat.completion.chunk"}
    for number in range(CHUNKS):
        reason = "stop" if number == CHUNKS - 1 else None
        delta = {"content": f"{MARKER} "}
        yield json.dumps(chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    yield json.dumps(chunk | {"choices": [], "usage": _USAGE})
    yield "[DONE]"


_STREAM: Final = "".join(f"data: {event}\n\n" for event in _events()).encode()
