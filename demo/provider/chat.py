"""The wire format of /v1/chat/completions: https://platform.openai.com/docs/api-reference/chat."""

from collections.abc import Iterator, Mapping
from typing import Any

from demo.provider.answers import Answer, BadRequestError, Prompt
from demo.provider.requests import forced_tool, limit, required, text_of
from demo.provider.usage import Usage


def read(body: Mapping[str, Any]) -> Prompt:
    """The prompt of a request.

    Raises:
        BadRequestError: a parameter is missing or not supported.
    """
    messages = required(body, "messages", list)
    if not messages or not all(isinstance(message, Mapping) for message in messages):
        raise BadRequestError("Invalid 'messages': expected at least one message object.")
    if body.get("n") not in (None, 1):
        raise BadRequestError("Invalid 'n': this provider answers with one choice only.")
    tools = {
        tool["function"]["name"]: tool["function"].get("parameters") or {}
        for tool in body.get("tools") or ()
        if tool.get("type") == "function"
    }
    asked = [text_of(message.get("content")) for message in messages if message.get("role") == "user"]
    answered = messages[-1].get("role") == "tool"
    return Prompt(
        model=required(body, "model", str),
        texts=[text_of(message.get("content")) for message in messages],
        question=asked[-1] if asked else "",
        tools={} if answered else forced_tool(tools, body.get("tool_choice")),
        most_tokens=limit(body, "max_completion_tokens", "max_tokens"),
        stream=bool(body.get("stream")),
    )


def whole(answer: Answer, body: Mapping[str, Any], *, unique: str, created: int) -> dict[str, Any]:
    """The plain answer; ``unique`` makes its ids unique."""
    del body
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
    if answer.tool:
        function = {"name": answer.tool.name, "arguments": answer.tool.arguments}
        message |= {
            "content": None,
            "tool_calls": [{"id": f"call_{unique}", "type": "function", "function": function}],
        }
    return {
        "id": f"chatcmpl-{unique}",
        "object": "chat.completion",
        "created": created,
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}],
        "usage": _usage(answer.usage),
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def chunks(answer: Answer, body: Mapping[str, Any], *, unique: str, created: int) -> Iterator[tuple[str | None, Any]]:
    """The streamed answer: pairs of event name (chat streams have none) and data.

    Usage comes in a chunk of its own, without choices, and only where ``stream_options.include_usage`` asks for it.
    """
    include_usage = bool((body.get("stream_options") or {}).get("include_usage"))

    def chunk(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> tuple[None, dict[str, Any]]:
        data = {
            "id": f"chatcmpl-{unique}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": answer.model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
            "choices": choices,
        }
        return None, data | ({"usage": usage} if include_usage else {})

    def delta(content: dict[str, Any], finish: str | None = None) -> tuple[None, dict[str, Any]]:
        return chunk([{"index": 0, "delta": content, "logprobs": None, "finish_reason": finish}])

    if answer.tool:
        function = {"name": answer.tool.name, "arguments": ""}
        call = {"index": 0, "id": f"call_{unique}", "type": "function", "function": function}
        yield delta({"role": "assistant", "content": None, "tool_calls": [call], "refusal": None})
        for piece in answer.pieces:
            yield delta({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    else:
        yield delta({"role": "assistant", "content": "", "refusal": None})
        for piece in answer.pieces:
            yield delta({"content": piece})
    yield delta({}, _finish(answer))
    if include_usage:
        yield chunk([], _usage(answer.usage))
    yield None, "[DONE]"


def _finish(answer: Answer) -> str:
    if answer.tool:
        return "tool_calls"
    return "length" if answer.cut else "stop"


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
