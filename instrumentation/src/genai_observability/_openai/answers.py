"""What the answers of images, audio, moderations and legacy completions tell of their calls.

Each function gets the call's invocation, the arguments and the answer, which is a chunk where it is streamed, and
nothing where it was not parsed. Answers are read with care: compatible servers leave out what they like.
"""

from typing import Any

from opentelemetry.util.genai.invocation import InferenceInvocation

from genai_observability import signals


def images(invocation: InferenceInvocation, arguments: dict[str, Any], answer: Any) -> None:
    """https://platform.openai.com/docs/api-reference/images."""
    invocation.output_type = "image"
    invocation.request_choice_count = _count(arguments.get("n"))
    data = getattr(answer, "data", None)
    if isinstance(data, list):
        invocation.attributes[signals.IMAGES.name] = len(data)
    elif str(getattr(answer, "type", "")).endswith(".completed"):
        invocation.attributes[signals.IMAGES.name] = 1
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
