"""What the answers of each API tell of their calls, beyond what OpenTelemetry's wrapper reads.

Each function gets the call's invocation and the answer; those of images, audio, moderations and legacy completions, of
which the wrapper reads nothing, also the arguments, and a chunk where the answer is streamed, and nothing where it was
not parsed. Answers are read with care: compatible servers leave out what they like.
"""

from typing import Any

from openai._legacy_response import LegacyAPIResponse
from opentelemetry.instrumentation.genai.openai.response_extractors import _parse_raw_response
from opentelemetry.instrumentation.genai.openai.utils import set_chat_usage
from opentelemetry.util.genai.invocation import InferenceInvocation

from genai_observability import signals
from genai_observability._openai.reported_cost import cost_attributes


def chat(invocation: InferenceInvocation, answer: Any) -> None:
    """https://platform.openai.com/docs/api-reference/chat/object."""
    if isinstance(answer, LegacyAPIResponse):
        answer = answer.parse()
    if invocation.input_tokens is None and (usage := getattr(answer, "usage", None)):
        _identity(invocation, answer)  # something before it was malformed, and nothing of the answer has been read
        set_chat_usage(invocation=invocation, usage=usage)
        reported_cost(invocation, usage)
    if any(choice.message.refusal for choice in answer.choices):
        invocation.attributes[signals.REFUSED.name] = True


def response(invocation: InferenceInvocation, answer: Any) -> None:
    """https://platform.openai.com/docs/api-reference/responses/object."""
    invocation.attributes.update(response_attributes(parsed_response(answer)))


def parsed_response(answer: Any) -> Any:
    """A response, also where a raw answer was asked for."""
    return _parse_raw_response(answer, None) if isinstance(answer, LegacyAPIResponse) else answer


def response_attributes(answer: Any) -> dict[str, Any]:
    """What a response says besides its tokens: searches, a refusal, its cost.

    Tools that run at the provider are billed by the call; of those on the web, only the searches are:
    https://platform.openai.com/docs/pricing#built-in-tools.
    """
    items = [item for item in getattr(answer, "output", None) or () if item is not None]
    searches = [_get(_get(item, "action"), "type") for item in items if _get(item, "type") == "web_search_call"]
    parts = [part for item in items for part in _get(item, "content") or ()]
    found = {
        signals.WEB_SEARCHES.name: sum(1 for action in searches if action in (None, "search")),
        signals.FILE_SEARCHES.name: sum(1 for item in items if _get(item, "type") == "file_search_call"),
        signals.REFUSED.name: any(_get(part, "type") == "refusal" for part in parts),
    }
    return {**{name: value for name, value in found.items() if value}, **cost_attributes(_get(answer, "usage"))}


def reported_cost(invocation: InferenceInvocation, usage: Any) -> None:
    """What a router says that it charged, in US dollars: https://openrouter.ai/docs/use-cases/usage-accounting."""
    invocation.attributes.update(cost_attributes(usage))


def _get(value: Any, name: str) -> Any:
    """A field of an answer, or of one that was left as plain data."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def images(invocation: InferenceInvocation, arguments: dict[str, Any], answer: Any) -> None:
    """https://platform.openai.com/docs/api-reference/images."""
    invocation.output_type = "image"
    invocation.request_choice_count = _count(arguments.get("n"))
    data = getattr(answer, "data", None)
    if isinstance(data, list):
        invocation.attributes[signals.IMAGES.name] = len(data)
    elif str(getattr(answer, "type", "")).endswith(".completed"):
        invocation.attributes[signals.IMAGES.name] = 1
        invocation.finish_reasons = ["stop"]
    if (usage := getattr(answer, "usage", None)) is not None:
        _tokens(invocation, usage)
        written = getattr(usage, "output_tokens_details", None)
        invocation.set_output_tokens(
            [("image", written.image_tokens), ("text", written.text_tokens)]
            if written
            else [("image", usage.output_tokens)]  # models that do not tell them apart write images alone
        )


def speech(invocation: InferenceInvocation, arguments: dict[str, Any], answer: Any) -> None:
    """https://platform.openai.com/docs/api-reference/audio/createSpeech: priced by characters, or by tokens untold."""
    del answer  # it is sound
    invocation.output_type = "speech"
    if isinstance(text := arguments.get("input"), str):
        invocation.attributes[signals.CHARACTERS.name] = len(text)


def transcription(invocation: InferenceInvocation, arguments: dict[str, Any], answer: Any) -> None:
    """https://platform.openai.com/docs/api-reference/audio/createTranscription, and of translations."""
    del arguments
    invocation.output_type = "text"
    if getattr(answer, "type", None) == "transcript.text.done":
        invocation.finish_reasons = ["stop"]
    usage = getattr(answer, "usage", None)
    if getattr(usage, "type", None) == "tokens" or hasattr(usage, "input_tokens"):
        _tokens(invocation, usage)
    seconds = getattr(usage, "seconds", None) or getattr(answer, "duration", None)
    if isinstance(seconds, (int, float)) and seconds > 0:
        invocation.attributes[signals.AUDIO_SECONDS.name] = float(seconds)


def moderation(invocation: InferenceInvocation, arguments: dict[str, Any], answer: Any) -> None:
    """https://platform.openai.com/docs/api-reference/moderations."""
    del arguments
    invocation.output_type = "json"
    _identity(invocation, answer)


def batch(invocation: InferenceInvocation, arguments: dict[str, Any], answer: Any) -> None:
    """https://platform.openai.com/docs/api-reference/batch/create: the submission, whose results come later."""
    del arguments
    _identity(invocation, answer)


def completion(invocation: InferenceInvocation, arguments: dict[str, Any], answer: Any) -> None:
    """https://platform.openai.com/docs/api-reference/completions: an answer or, streamed, a part of one."""
    invocation.temperature = arguments.get("temperature") or None
    invocation.top_p = arguments.get("top_p") or None
    invocation.max_tokens = _count(arguments.get("max_tokens"))
    _identity(invocation, answer)
    reasons = [choice.finish_reason for choice in getattr(answer, "choices", None) or () if choice.finish_reason]
    if reasons:
        invocation.finish_reasons = reasons
    if (usage := getattr(answer, "usage", None)) is not None:
        invocation.input_tokens = _count(usage.prompt_tokens)
        invocation.output_tokens = _count(usage.completion_tokens)


def _identity(invocation: InferenceInvocation, answer: Any) -> None:
    if isinstance(model := getattr(answer, "model", None), str):
        invocation.response_model_name = model
    if isinstance(unique := getattr(answer, "id", None), str):
        invocation.response_id = unique


def _tokens(invocation: InferenceInvocation, usage: Any) -> None:
    invocation.input_tokens = _count(usage.input_tokens)
    invocation.output_tokens = _count(usage.output_tokens)
    read = getattr(usage, "input_tokens_details", None) or getattr(usage, "input_token_details", None)
    kinds = ((kind, getattr(read, f"{kind}_tokens", None)) for kind in ("text", "image", "audio"))
    invocation.set_input_tokens([(kind, count) for kind, count in kinds if isinstance(count, int)])


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
