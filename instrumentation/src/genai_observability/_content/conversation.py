"""What was asked and answered as plain values, in the form of the semantic conventions' messages.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-input-messages.json and its neighbours. Nothing is copied or
cut here but the number of messages; media are replaced by notes of their type and size.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from genai_observability import signals
from genai_observability._capture.answers import get
from genai_observability._capture.open_calls import Dialogue

Part = dict[str, Any]
Message = dict[str, Any]

_MOST_MESSAGES: Final = 200  # of a long conversation, the newest; and the system prompt, which comes first
_LONGEST_JSON: Final = 50_000  # characters of a tool call's arguments that are parsed …
_LONGEST_ATTRIBUTE: Final = 1_000_000  # … and of another instrumentation's attribute
_LONGEST_NAME: Final = 40
_LARGEST: Final = 10**30  # a number with more digits is left out
_SYSTEM: Final = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Conversation:
    """One call's system instructions (parts), messages in and out, and tools."""

    system: list[Part] = field(default_factory=list)
    inputs: list[Message] = field(default_factory=list)
    outputs: list[Message] = field(default_factory=list)
    tools: list[Any] = field(default_factory=list)

    def new_inputs(self) -> list[Message]:
        """The messages since the last answer: those before it were there in an earlier call."""
        news = [*takewhile(lambda message: message["role"] != "assistant", reversed(self.inputs))]
        return [message for message in reversed(news) if message["role"] not in _SYSTEM]

    def instructions(self) -> str:
        """The system prompt, wherever it was given."""
        given = [message["parts"] for message in self.inputs if message["role"] in _SYSTEM]
        return "\n".join(text for parts in (self.system, *given) for part in parts for text in texts(part))


def of_dialogue(dialogue: Dialogue) -> Conversation:
    """What an OpenAI client was asked and answered. Parts of unknown shape are left out, never an error."""
    return {"chat": _chat, "responses": _responses, "completions": _completions}[dialogue.api](dialogue)


def of_attributes(attributes: Mapping[str, AttributeValue]) -> Conversation | None:
    """What another instrumentation put on its span; ``None`` where it put nothing."""
    inputs, outputs, system, tools = found = [_json_list(attributes.get(each.name)) for each in signals.CONTENT]
    if not any(found):
        return None
    instructions = [part for part in system if isinstance(part, dict)]
    return Conversation(instructions, _messages(inputs), _messages(outputs), tools)


def texts(part: Part) -> Iterator[str]:
    """The texts of a part: what was said, or a tool's arguments or results, whatever their shape."""
    for name in ("content", "arguments", "response"):
        yield from _strings(part.get(name), depth=10)


def _strings(value: Any, *, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, dict):
        for name, inner in value.items():
            for text in _strings(inner, depth=depth - 1):
                yield f"{name}: {text}" if isinstance(name, str) and len(name) <= _LONGEST_NAME else text
    elif depth and isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner, depth=depth - 1)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value) if abs(value) < _LARGEST else ""


def _chat(dialogue: Dialogue) -> Conversation:
    messages = _list(dialogue.body.get("messages"))
    system = [message for message in messages[:-_MOST_MESSAGES][:5] if get(message, "role") in _SYSTEM]
    inputs = [_chat_message(message) for message in (*system, *messages[-_MOST_MESSAGES:])]
    outputs = [_chat_message(get(choice, "message"), choice) for choice in _list(get(dialogue.answer, "choices"))]
    if dialogue.answer is None and (dialogue.pieces or dialogue.choices):
        outputs = _streamed(dialogue)
    return Conversation([], inputs, outputs, [_tool(tool) for tool in _list(dialogue.body.get("tools"))])


def _chat_message(message: Any, choice: Any = None) -> Message:
    role, content, refusal = (get(message, name) for name in ("role", "content", "refusal"))
    parts = [_response(get(message, "tool_call_id"), content)] if role == "tool" else _parts(content)
    if isinstance(refusal, str):
        parts.append(_text(refusal))
    for call in _list(get(message, "tool_calls")):
        function = get(call, "function") or get(call, "custom")
        given = get(function, "arguments") or get(function, "input")
        parts.append(_request(get(call, "id"), get(function, "name"), given))
    made: Message = {"role": role if isinstance(role, str) else "user", "parts": parts}
    if choice is not None:
        made["finish_reason"] = _string(get(choice, "finish_reason"))
    return made


def _streamed(dialogue: Dialogue) -> list[Message]:
    """The choices of a stream, from the text of the first and the other chunks of all."""
    outputs: dict[int, tuple[list[str], dict[int, Any], list[str | None]]] = {0: ([*dialogue.pieces], {}, [])}
    for choice in dialogue.choices:
        said, calls, ends = outputs.setdefault(choice.index, ([], {}, []))
        said += [text for text in (choice.delta.content if choice.index else None, choice.delta.refusal) if text]
        ends += [choice.finish_reason] if choice.finish_reason else []
        for call in choice.delta.tool_calls or ():
            known = calls.setdefault(call.index, {"id": call.id, "name": None, "arguments": []})
            known["id"] = known["id"] or call.id
            if call.function:
                known["name"] = known["name"] or call.function.name
                known["arguments"].append(call.function.arguments or "")
    made = []
    for said, calls, ends in outputs.values():
        parts = [_text("".join(said))] if said else []
        parts += [_request(call["id"], call["name"], "".join(call["arguments"])) for call in calls.values()]
        made.append({"role": "assistant", "parts": parts, "finish_reason": ends[-1] if ends else None})
    return made


def _completions(dialogue: Dialogue) -> Conversation:
    prompt = dialogue.body.get("prompt")
    given = [prompt] if isinstance(prompt, str) else [text for text in _list(prompt) if isinstance(text, str)]
    answers = [get(choice, "text") for choice in _list(get(dialogue.answer, "choices"))]
    if dialogue.pieces:
        answers = ["".join(dialogue.pieces)]
    return Conversation(
        inputs=[{"role": "user", "parts": [_text(text)]} for text in given[-_MOST_MESSAGES:]],
        outputs=[{"role": "assistant", "parts": [_text(text)]} for text in answers if isinstance(text, str)],
    )


def _responses(dialogue: Dialogue) -> Conversation:
    given = dialogue.body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else _list(given)
    instructions = dialogue.body.get("instructions")
    outputs = [_item(item) for item in _list(get(dialogue.answer, "output"))]
    if not outputs and dialogue.pieces:  # of a stream that was not read to its end
        outputs = [{"role": "assistant", "parts": [_text("".join(dialogue.pieces))]}]
    return Conversation(
        [_text(instructions)] if isinstance(instructions, str) else [],
        [_item(item) for item in items[-_MOST_MESSAGES:]],
        outputs,
        [_tool(tool) for tool in _list(dialogue.body.get("tools"))],
    )


def _item(item: Any) -> Message:
    kind = _string(get(item, "type")) or "message"
    if kind.endswith("_output"):
        return {"role": "tool", "parts": [_response(get(item, "call_id"), get(item, "output"))]}
    if kind.endswith("_call"):
        given = get(item, "arguments") or get(item, "input")
        return {"role": "assistant", "parts": [_request(get(item, "call_id"), get(item, "name") or kind, given)]}
    if kind == "reasoning":
        said = [get(part, "text") for part in _list(get(item, "summary"))]
        parts = [{"type": kind, "content": text} for text in said if isinstance(text, str)]
        return {"role": "assistant", "parts": parts}
    return {"role": _string(get(item, "role")) or "user", "parts": _parts(get(item, "content"))}


def _parts(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [_text(content)]
    return [_part(item) for item in _list(content)[:_MOST_MESSAGES]]


def _part(item: Any) -> Part:
    if isinstance(item, str):
        return _text(item)
    kind = _string(get(item, "type")) or "unknown"
    for name in ("text", "refusal"):
        if isinstance(text := get(item, name), str):
            return _text(text)
    if kind in ("image_url", "input_image"):
        image = get(item, "image_url")
        return _media("image", image if isinstance(image, str) else get(image, "url"), get(item, "file_id"))
    if kind == "input_audio":
        audio = get(item, "input_audio")
        return _media("audio", get(audio, "data"), None, _string(get(audio, "format")))
    if kind in ("file", "input_file"):
        file = get(item, "file") or item
        return _media("document", get(file, "file_data"), get(file, "file_id"))
    return {"type": kind}


def _media(modality: str, data: Any, file_id: Any, subtype: str | None = None) -> Part:
    """A note in place of an image, sound or file: its type and size, or where it is."""
    if not isinstance(data, str):
        return {"type": "file", "modality": modality, "file_id": _string(file_id)}
    if data.startswith(("http://", "https://")):
        return {"type": "uri", "modality": modality, "uri": data[:_LONGEST_JSON].split("?", 1)[0].split("#", 1)[0]}
    head = data[:200].partition(",")[0] if data.startswith("data:") else ""
    mime_type = head[len("data:") :].partition(";")[0] or (f"{modality}/{subtype}" if subtype else modality)
    size = (len(data) - len(head)) * 3 // 4  # base64: four characters are three bytes
    return {"type": "blob", "modality": modality, "content": f"[{mime_type}, {size:,} bytes]"}


def _text(text: str) -> Part:
    return {"type": "text", "content": text}


def _request(call_id: Any, name: Any, arguments: Any) -> Part:
    return {"type": "tool_call", "id": _string(call_id), "name": _string(name), "arguments": parsed(arguments)}


def _response(call_id: Any, result: Any) -> Part:
    said = result if isinstance(result, str) else [part.get("content", part["type"]) for part in _parts(result)]
    return {"type": "tool_call_response", "id": _string(call_id), "response": parsed(said)}


def parsed(value: Any, *, longest: int = _LONGEST_JSON) -> Any:
    """The values in a text that is JSON: in it, quotes and other characters are written differently."""
    if isinstance(value, str) and len(value) <= longest and value.lstrip()[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _tool(tool: Any) -> Any:
    function = get(tool, "function") or tool
    names = ("name", "description", "parameters")
    return {"type": _string(get(tool, "type")), **{name: get(function, name) for name in names}}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _json_list(value: AttributeValue | None) -> list[Any]:
    read = parsed(value, longest=_LONGEST_ATTRIBUTE)
    return [_text(read)] if isinstance(read, str) else _list(read)


def _messages(items: Iterable[Any]) -> list[Message]:
    """Messages as another instrumentation wrote them."""
    made = []
    for item in items:
        if isinstance(item, dict):
            parts = [_noted(part) for part in _list(item.get("parts")) if isinstance(part, dict)]
            parts = parts or _parts(item.get("content"))
            made.append({**item, "role": _string(item.get("role")) or "user", "parts": parts})
    return made


def _noted(part: Part) -> Part:
    if part.get("type") != "blob":
        return part
    mime_type = _string(part.get("mime_type"))
    return _media(mime_type or _string(part.get("modality")) or "data", part.get("content"), None)
