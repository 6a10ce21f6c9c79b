"""An application whose model declines to answer, whose provider filters content, and whose reader leaves in midstream.

It logs an error of its own, too.

The simulated provider does none of this. The client is the real one, over a transport that answers at once.
"""

import json
import logging

import genai_observability
import httpx2
import openai

_ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
_USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def _message(*, refusal: str | None, reason: str) -> dict[str, object]:
    message = {"role": "assistant", "content": None, "refusal": refusal}
    return _ANSWER | {"choices": [{"index": 0, "finish_reason": reason, "message": message}], "usage": _USAGE}


def _stream() -> bytes:
    chunk = _ANSWER | {"object": "chat.completion.chunk"}
    delta = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
    return f"data: {json.dumps(chunk | {'choices': [delta]})}\n\n".encode() * 20 + b"data: [DONE]\n\n"


def _respond(request: httpx2.Request) -> httpx2.Response:
    body = json.loads(request.content)
    if body.get("stream"):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=_stream())
    asked = body["messages"][0]["content"]
    if asked == "refused":
        return httpx2.Response(200, json=_message(refusal="I cannot help with that.", reason="stop"))
    return httpx2.Response(200, json=_message(refusal=None, reason="content_filter"))


def main() -> None:
    """Make each call, and deliver what was recorded."""
    genai_observability.instrument(service_name="unusual", logs=True)
    client = openai.OpenAI(
        api_key="none", http_client=openai.DefaultHttpxClient(transport=httpx2.MockTransport(_respond))
    )
    attributed = genai_observability.attributed_to(feature="search", team="growth", user="ada@example.com")
    with client, attributed, genai_observability.workflow("unusual"):
        for asked in ("refused", "filtered"):
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": asked}])
        chunks = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "long"}], stream=True
        )
        next(iter(chunks))
        chunks.close()
        logging.getLogger("unusual").error("nobody waited for the answer")


if __name__ == "__main__":
    main()
