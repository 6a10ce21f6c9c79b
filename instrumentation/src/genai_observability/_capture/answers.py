"""What an answer tells of its call, as attributes of the semantic conventions: live, streamed, or of a batch.

An answer is an object of the client or, where a raw answer was asked for and of a batch, the plain data of its JSON.
Compatible servers leave out what they like: what is not there, or of another type, is left out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from genai_observability import signals
from genai_observability._capture.attributes import count, text, texts

Attributes = dict[str, Any]

_MOST_DOLLARS: Final = 1e6  # what claims to cost more is nonsense
_NO_FIELDS: Final[dict[str, Any]] = {}
_DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
_ENDED: Final = {"completed": "stop", "failed": "error", "cancelled": "error"}


def get(value: Any, name: str) -> Any:
    """A field of an answer, or of one that is plain data; ``None`` for one that is not there."""
    if isinstance(value, dict):
        return value.get(name)
    fields = getattr(value, "__dict__", _NO_FIELDS)
    if name in fields:
        return fields[name]
    # Not by getattr at once: asking the client's objects for a field that is not there takes 3 µs.
    others = getattr(value, "model_extra", None)
    return others.get(name) if isinstance(others, dict) else getattr(value, name, None)


def _fields(value: Any) -> Mapping[str, Any]:
    """All fields of a part of an answer, also those that the client does not know."""
    if isinstance(value, dict):
        return value
    return {**getattr(value, "__dict__", _NO_FIELDS), **(getattr(value, "model_extra", None) or _NO_FIELDS)}


def plain(answer: Any) -> Any:
    """The answer in a raw one. ``None`` where its body has not been read: reading is left to the application."""
    is_response = "status_code" in getattr(answer, "__dict__", _NO_FIELDS)  # which the client was asked for
    response = answer if is_response else get(answer, "http_response")
    if response is None and not isinstance(answer, str):
        return answer
    try:
        return json.loads(answer if response is None else response.content)
    except Exception:  # not read yet, or no JSON: the application, which asked for the raw answer, will see
        return None


# --- Chat, and legacy completions ------------------------------------------------------------------------------------


def chat(answer: Any) -> Attributes:
    """https://platform.openai.com/docs/api-reference/chat/object."""
    refused = any(get(get(choice, "message"), "refusal") for choice in _list(get(answer, "choices")))
    return {**chunks([answer]), **present({signals.REFUSED.name: refused})}


def completion(answer: Any) -> Attributes:
    """https://platform.openai.com/docs/api-reference/completions."""
    return chunks([answer])


def chunks(pieces: Sequence[Any]) -> Attributes:
    """The chunks of a streamed answer of either kind, without those that bring text alone, or a whole answer."""
    reasons = {
        (get(choice, "index") or place): reason
        for piece in pieces
        for place, choice in enumerate(_list(get(piece, "choices")))
        if (reason := get(choice, "finish_reason") or ("error" if get(choice, "message") else None))
    }
    usage = next((found for piece in reversed(pieces) if (found := get(piece, "usage"))), None)
    return {
        **_identity(pieces),
        **_finished(reasons.values()),
        **_usage(usage, "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"),
    }


def embeddings(answer: Any) -> Attributes:
    """https://platform.openai.com/docs/api-reference/embeddings."""
    data = get(answer, "data")
    vector = get(data[0], "embedding") if isinstance(data, list) and data else None
    return {
        **present({signals.RESPONSE_MODEL.name: text(get(answer, "model"))}),
        **present({_DIMENSIONS: len(vector) if isinstance(vector, list) else None}),
        **_usage(get(answer, "usage"), "prompt_tokens", "", "", ""),
    }


def named(answer: Any) -> Attributes:
    """https://platform.openai.com/docs/api-reference/moderations, and the submission of a batch: without usage."""
    return _identity([answer])


# --- Responses -------------------------------------------------------------------------------------------------------


def response(answer: Any) -> Attributes:
    """https://platform.openai.com/docs/api-reference/responses/object.

    Tools that run at the provider are billed by the call; of those on the web, only the searches are:
    https://platform.openai.com/docs/pricing#built-in-tools.
    """
    items = _list(get(answer, "output"))
    parts = [part for item in items for part in _list(get(item, "content"))]
    error = get(answer, "error")
    return {
        **_identity([answer]),
        **_finished(_ends_of_response(answer, items)),
        **_usage(get(answer, "usage"), *_OF_RESPONSES),
        **present({
            signals.WEB_SEARCHES.name: sum(map(_is_search, items)),
            signals.FILE_SEARCHES.name: sum(get(item, "type") == "file_search_call" for item in items),
            signals.REFUSED.name: any(get(part, "type") == "refusal" for part in parts),
            signals.ERROR_TYPE.name: text(get(error, "code")) if error else None,
        }),
    }  # fmt: skip


def events(seen: Sequence[Any]) -> Attributes:
    """The events of a streamed response that are more than text: the last whole response, or an error."""
    for event in reversed(seen):
        kind, answer = get(event, "type"), get(event, "response")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            failed = {signals.ERROR_TYPE.name: kind} if kind == "response.failed" else {}
            return {**failed, **response(answer)}
        if kind == "error":
            return {signals.ERROR_TYPE.name: text(get(event, "code")) or "error"}
        if answer is not None:  # that it has begun, or waits
            return _identity([answer])
    return {}


def _is_search(item: Any) -> bool:
    return get(item, "type") == "web_search_call" and get(get(item, "action"), "type") in (None, "search")


def _ends_of_response(answer: Any, items: Iterable[Any]) -> Iterable[str]:
    status = get(answer, "status")
    if status == "incomplete":
        reason = text(get(get(answer, "incomplete_details"), "reason")) or status
        return ["length" if reason == "max_output_tokens" else reason]
    if status in ("failed", "cancelled"):
        return [_ENDED[status]]
    if status in ("queued", "in_progress"):
        return ()
    ends = [
        "tool_calls" if get(item, "type") in _TOOL_CALLS else _ENDED.get(str(get(item, "status")))
        for item in items
        if get(item, "type") in ("message", *_TOOL_CALLS)
    ]
    return [*dict.fromkeys(end for end in ends if end)] or ([_ENDED[status]] if status in _ENDED else ())


_TOOL_CALLS: Final = ("function_call", "custom_tool_call", "computer_call")


# --- Images and sound ------------------------------------------------------------------------------------------------


def images(answer: Any) -> Attributes:
    """https://platform.openai.com/docs/api-reference/images; of a stream, its last event."""
    data, usage = get(answer, "data"), get(answer, "usage")
    found = _usage(usage, *_OF_RESPONSES)
    if usage is not None and get(usage, "output_tokens_details") is None:
        # Models that do not tell them apart write images alone.
        found |= present({signals.IMAGE_OUTPUT_TOKENS.name: count(get(usage, "output_tokens"))})
    completed = str(get(answer, "type")).endswith(".completed")
    made = len(data) if isinstance(data, list) else int(completed)
    return {**found, **present({signals.IMAGES.name: made}), **(_finished(["stop"]) if completed else {})}


def sound(answer: Any) -> Attributes:
    """https://platform.openai.com/docs/api-reference/audio/createTranscription, and of translations."""
    usage = get(answer, "usage")
    seconds = get(usage, "seconds") or get(answer, "duration")
    done = get(answer, "type") == "transcript.text.done"
    return {
        **_usage(usage, "input_tokens", "output_tokens", "input_token_details", ""),
        **({signals.AUDIO_SECONDS.name: float(seconds)} if isinstance(seconds, (int, float)) and seconds > 0 else {}),
        **(_finished(["stop"]) if done else {}),
    }


def last(read: Any) -> Any:
    """A reader of a stream whose last event tells all."""
    return lambda events: read(events[-1]) if events else {}


def nothing(_: Any) -> Attributes:
    """Of what tells nothing, such as speech."""
    return {}


# --- What they have in common ----------------------------------------------------------------------------------------


def _identity(pieces: Sequence[Any]) -> Attributes:
    """Id, model and tier: of a stream, each from the first chunk that has it."""
    found = {}
    for field, attribute in _IDENTITY.items():
        for piece in pieces:
            if value := text(get(piece, field)):
                found[attribute] = value
                break
    return found


_IDENTITY: Final = {
    "id": signals.RESPONSE_ID.name,
    "model": signals.RESPONSE_MODEL.name,
    "service_tier": signals.SERVICE_TIER.name,
    "system_fingerprint": "openai.response.system_fingerprint",
}


def _finished(reasons: Iterable[Any]) -> Attributes:
    return present({signals.FINISH_REASONS.name: texts([*reasons])})


_OF_RESPONSES: Final = ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")


def _usage(usage: Any, read: str, written: str, details_read: str, details_written: str) -> Attributes:
    """Tokens by kind, by the names that an API has for them, and what the provider says that they cost."""
    if usage is None:
        return {}
    used = _fields(usage)
    asked, answered = _fields(used.get(details_read)), _fields(used.get(details_written))
    cache_write = count(asked.get("cache_write_tokens")) or count(asked.get("cache_creation_input_tokens"))
    whole = {signals.INPUT_TOKENS.name: count(used.get(read)), signals.OUTPUT_TOKENS.name: count(used.get(written))}
    parts = {
        signals.CACHED_TOKENS.name: count(asked.get("cached_tokens")),
        signals.CACHE_WRITE_TOKENS.name: cache_write,
        signals.REASONING_TOKENS.name: count(answered.get("reasoning_tokens")),
        signals.AUDIO_INPUT_TOKENS.name: count(asked.get("audio_tokens")),
        signals.IMAGE_INPUT_TOKENS.name: count(asked.get("image_tokens")),
        signals.AUDIO_OUTPUT_TOKENS.name: count(answered.get("audio_tokens")),
        signals.IMAGE_OUTPUT_TOKENS.name: count(answered.get("image_tokens")),
    }
    known = {name: number for name, number in whole.items() if number is not None}
    return {**known, **present(parts), **_cost(used)}


def _cost(fields: Mapping[str, Any]) -> Attributes:
    """What a router says that it charged, in US dollars: https://openrouter.ai/docs/use-cases/usage-accounting.

    Where the user pays the provider directly, its charge is in a field of its own.
    """
    cost: Any = fields.get("cost")
    if not _is_amount(cost):
        return {}
    if fields.get("is_byok") is True and _is_amount(paid := get(fields.get("cost_details"), "upstream_inference_cost")):
        cost += paid
    return {signals.COST.name: float(cost), signals.COST_SOURCE.name: "provider"}


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST_DOLLARS


def present(values: Attributes) -> Attributes:
    """Those that are not empty."""
    return {name: value for name, value in values.items() if value}


def _list(value: Any) -> list[Any]:
    return [item for item in value if item is not None] if isinstance(value, list) else []
