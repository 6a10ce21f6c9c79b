"""Answers that aimock does not give, as https://platform.openai.com/docs/api-reference documents them."""

import json
from typing import Any

from instrumentation.tests.wire import Answer


def as_json(body: Any, **more: Any) -> Answer:
    return Answer(json.dumps(body).encode(), **more)


def as_events(*events: Any, **more: Any) -> Answer:
    """Server-sent events, named after their type where they have one, and the end of the stream."""
    lines = [
        (f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else "")
        + f"data: {json.dumps(event)}"
        for event in events
    ]
    return Answer("".join(f"{line}\n\n" for line in [*lines, "data: [DONE]"]).encode(), "text/event-stream", **more)


IMAGE_USAGE = {
    "input_tokens": 60,
    "input_tokens_details": {"text_tokens": 20, "image_tokens": 40},
    "output_tokens": 4160,
    "total_tokens": 4220,
}
IMAGES = as_json(
    {"created": 1790000000, "data": [{"b64_json": "aW1hZ2U="}, {"b64_json": "aW1hZ2Uy"}], "usage": IMAGE_USAGE}
)
IMAGE_EVENTS_WITHOUT_USAGE = as_events(
    {"type": "image_generation.completed", "b64_json": "aW1hZ2U=", "created_at": 1790000000}
)
TRANSCRIPT_EVENTS_WITHOUT_USAGE = as_events(
    {"type": "transcript.text.delta", "delta": "What is"}, {"type": "transcript.text.done", "text": "What is a trace?"}
)
IMAGE_EVENTS = as_events(
    {"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": "aW0=", "created_at": 1790000000},
    {"type": "image_generation.completed", "b64_json": "aW1hZ2U=", "created_at": 1790000000, "usage": IMAGE_USAGE},
)
EMBEDDINGS = as_json(
    {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": index, "embedding": [0.5, -0.25]} for index in range(2)],
        "usage": {"prompt_tokens": 5000, "total_tokens": 5000},
    }
)


def completion(**more: Any) -> dict[str, Any]:
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1790000000,
        "model": "gpt-3.5-turbo-instruct",
        "choices": [{"index": 0, "text": " a tree of spans.", "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 3000, "completion_tokens": 400, "total_tokens": 3400},
        **more,
    }


COMPLETION = as_json(completion())
COMPLETION_EVENTS = as_events(
    completion(usage=None, choices=[{"index": 0, "text": " a tree", "finish_reason": None, "logprobs": None}]),
    completion(usage=None, choices=[{"index": 0, "text": " of spans.", "finish_reason": "stop", "logprobs": None}]),
    completion(choices=[]),
)


def chat(**more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes.", "refusal": None}}
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
        **more,
    }


def chunk(**more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": "Yes."}}],
        **more,
    }


def response(**more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1790000000,
        "model": "gpt-4o-mini-2024-07-18",
        "status": "completed",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Yes.", "annotations": []}],
            }
        ],
        "usage": {
            "input_tokens": 1000,
            "input_tokens_details": {"cached_tokens": 400},
            "output_tokens": 200,
            "output_tokens_details": {"reasoning_tokens": 150},
            "total_tokens": 1200,
        },
        **more,
    }
