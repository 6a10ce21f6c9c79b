"""Responses that are worked on in the background: what they used is known once they are fetched, finished.

https://platform.openai.com/docs/guides/background. The call that submits one ends without usage. The first fetch in
this process that finds it finished is recorded with its usage, and for whom it was submitted; those before and after
are not calls of a model.
"""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.instrumentation.genai.openai.response_extractors import extract_usage_tokens

from genai_observability import signals
from genai_observability._calls.call import Value
from genai_observability._context import attribution as _attribution
from genai_observability._openai.answers import parsed_response, response_attributes

_MOST: Final = 10_000  # responses that are remembered
_submitted: dict[str, Mapping[str, Value]] = {}
_recorded: dict[str, None] = {}


def submitted(invocation: Any, answer: Any) -> None:
    """Note the answer to a call that may have submitted one, or the end of its stream."""
    answer = parsed_response(answer)
    if getattr(answer, "background", None) is not True:
        return
    if answer.usage is not None:
        _keep(_recorded, answer.id, None)
    elif answer.status in ("queued", "in_progress"):
        invocation.attributes[signals.BACKGROUND.name] = True
        _keep(_submitted, answer.id, _attribution.current())


def fetched(invocation: Any, answer: Any) -> None:
    """Note a response that was fetched."""
    answer = parsed_response(answer)
    if getattr(answer, "background", None) is not True or answer.usage is None or answer.id in _recorded:
        return
    _keep(_recorded, answer.id, None)
    tokens = extract_usage_tokens(answer.usage)
    counts = {
        signals.INPUT_TOKENS: tokens.input_tokens,
        signals.OUTPUT_TOKENS: tokens.output_tokens,
        signals.CACHED_TOKENS: tokens.cache_read_input_tokens,
        signals.CACHE_WRITE_TOKENS: tokens.cache_write_input_tokens,
        signals.REASONING_TOKENS: tokens.thinking_tokens,
    }
    invocation.attributes.update({attribute.name: count for attribute, count in counts.items() if count is not None})
    invocation.attributes.update(response_attributes(answer))
    invocation.attributes.update(_submitted.pop(answer.id, {}))


def _keep(kept: dict[str, Any], key: str, value: Any) -> None:
    if len(kept) >= _MOST:
        kept.pop(next(iter(kept)), None)
    kept[key] = value
