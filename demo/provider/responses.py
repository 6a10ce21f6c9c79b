"""The wire format of /v1/responses: https://platform.openai.com/docs/api-reference/responses."""

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
    given = required(body, "input", str, list)
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not items or not all(isinstance(item, Mapping) for item in items):
        raise BadRequestError("Invalid 'input': expected a text or at least one item object.")
    tools = {
        tool["name"]: tool.get("parameters") or {} for tool in body.get("tools") or () if tool.get("type") == "function"
    }
    asked = [text_of(item.get("content")) for item in items if item.get("role") == "user"]
    answered = items[-1].get("type") == "function_call_output"
    texts = [text_of(item.get("content", item.get("output"))) for item in items]
    return Prompt(
        model=required(body, "model", str),
        texts=[body.get("instructions") or "", *texts],
        question=asked[-1] if asked else "",
        tools={} if answered else forced_tool(tools, body.get("tool_choice")),
        most_tokens=limit(body, "max_output_tokens"),
        stream=bool(body.get("stream")),
    )


def whole(answer: Answer, body: Mapping[str, Any], *, unique: str, created: int) -> dict[str, Any]:
    """The plain answer; ``unique`` makes its ids unique."""
    return _envelope(answer, body, unique, created) | {
        "status": "incomplete" if answer.cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if answer.cut else None,
        "output": [*_reasoning(answer, unique), _item(answer, unique)],
        "usage": _usage(answer.usage),
    }


def chunks(answer: Answer, body: Mapping[str, Any], *, unique: str, created: int) -> Iterator[tuple[str | None, Any]]:
    """The streamed answer: pairs of event name and data, in the order of the real stream."""
    for number, event in enumerate(_events(answer, body, unique, created)):
        yield event["type"], {**event, "sequence_number": number}


def _events(answer: Answer, body: Mapping[str, Any], unique: str, created: int) -> Iterator[dict[str, Any]]:
    started = _envelope(answer, body, unique, created)
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    index = 0
    for item in _reasoning(answer, unique):
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
        index += 1
    yield from _tool_events(answer, unique, index) if answer.tool else _text_events(answer, unique, index)
    last = "response.incomplete" if answer.cut else "response.completed"
    yield {"type": last, "response": whole(answer, body, unique=unique, created=created)}


def _text_events(answer: Answer, unique: str, index: int) -> Iterator[dict[str, Any]]:
    item = _item(answer, unique)
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    yield _added(item | {"status": "in_progress", "content": []}, index)
    yield {"type": "response.content_part.added", **place, "part": part | {"text": ""}}
    for piece in answer.pieces:
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": answer.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _tool_events(answer: Answer, unique: str, index: int) -> Iterator[dict[str, Any]]:
    item = _item(answer, unique)
    place = {"item_id": item["id"], "output_index": index}
    yield _added(item | {"status": "in_progress", "arguments": ""}, index)
    for piece in answer.pieces:
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    done = {"name": item["name"], "arguments": item["arguments"]}
    yield {"type": "response.function_call_arguments.done", **place, **done}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _added(item: dict[str, Any], index: int) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _envelope(answer: Answer, body: Mapping[str, Any], unique: str, created: int) -> dict[str, Any]:
    return {
        "id": f"resp_{unique}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": answer.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }


def _reasoning(answer: Answer, unique: str) -> list[dict[str, Any]]:
    return [{"id": f"rs_{unique}", "type": "reasoning", "summary": []}] if answer.usage.reasoning_tokens else []


def _item(answer: Answer, unique: str) -> dict[str, Any]:
    if answer.tool:
        return {
            "id": f"fc_{unique}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{unique}",
            "name": answer.tool.name,
            "arguments": answer.tool.arguments,
        }
    return {
        "id": f"msg_{unique}",
        "type": "message",
        "status": "incomplete" if answer.cut else "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}],
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
