"""Where OpenTelemetry's wrapper of the OpenAI client reads answers: what it leaves out there is read as well.

The wrapper expects well-formed answers. What compatible servers send may be anything, and an error of the wrapper's
over it would be the application's: here it ends.
"""

from collections.abc import Callable
from typing import Any, Final

from openai._legacy_response import LegacyAPIResponse
from openai._response import BaseAPIResponse
from opentelemetry.instrumentation.genai.openai import chat_wrappers, patch, patch_responses, response_wrappers
from opentelemetry.util.genai.invocation import InferenceInvocation

from genai_observability._openai import answers, background
from genai_observability._patching import harmless, replace

_MOST_PARTS: Final = 10_000
"""Choices, or tool calls, of an answer: the wrapper keeps a place for each number up to the highest."""


def watch() -> list[Callable[[], None]]:
    """Read more, and take no harm; returns what ends that."""
    readings = (
        (patch, "_set_response_properties", (answers.chat,)),
        (patch, "set_chat_usage", (answers.reported_cost,)),
        (chat_wrappers, "set_chat_usage", (answers.reported_cost,)),
        (patch_responses, "set_invocation_response_attributes", (answers.response, background.submitted)),
        (response_wrappers, "set_invocation_response_attributes", (answers.response, background.submitted)),
        (patch_responses, "set_fetch_response_attributes", (background.fetched,)),
        (response_wrappers, "set_fetch_response_attributes", (background.fetched,)),
    )
    safe = (
        (patch_responses, "apply_request_attributes"),
        (patch_responses, "get_response_error"),
        (response_wrappers, "get_response_error"),
        (chat_wrappers._ChatStreamMixin, "_process_chunk"),  # noqa: SLF001 - both kinds of stream
        (chat_wrappers._ChatStreamMixin, "_set_output_messages"),  # noqa: SLF001
        (response_wrappers._ResponseStreamMixin, "process_event"),  # noqa: SLF001
    )
    return [
        *(replace(owner, name, _reading(*more)) for owner, name, more in readings),
        *(replace(owner, name, harmless) for owner, name in safe),
        replace(patch, "create_chat_invocation", _begun),
        replace(patch, "_set_embeddings_response_properties", _parsed),
        replace(chat_wrappers._ChatStreamMixin, "_build_streaming_response", _bounded),  # noqa: SLF001
    ]


def _reading(*more: Callable[[InferenceInvocation, Any], None]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def reading(original: Callable[..., None]) -> Callable[..., None]:
        read = harmless(original)
        read_more = [harmless(each) for each in more]

        def reads(invocation: Any = None, answer: Any = None, *args: Any, **kwargs: Any) -> None:
            invocation, answer = kwargs.pop("invocation", invocation), kwargs.pop("usage", answer)
            if isinstance(answer, BaseAPIResponse):
                return  # its body has not been read yet: that is left to the application
            read(invocation, answer, *args, **kwargs)
            for each in read_more:
                each(invocation, answer)

        return reads

    return reading


def _parsed(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def read(invocation: Any, answer: Any) -> None:
        if not isinstance(answer, BaseAPIResponse):  # the body of such a one is left to the application to read
            original(invocation, answer.parse() if isinstance(answer, LegacyAPIResponse) else answer)

    return read


def _begun(original: Callable[..., Any]) -> Callable[..., Any]:
    def begin(handler: Any, *args: Any, **kwargs: Any) -> Any:
        watched = _Watched(handler)
        try:
            return original(watched, *args, **kwargs)
        except Exception:  # an argument that cannot be noted; that the call has begun must not be forgotten
            if watched.begun is None:
                raise
            return watched.begun

    return begin


class _Watched:
    """A telemetry handler, and the call that it has begun."""

    __slots__ = ("_handler", "begun")

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self.begun: Any = None

    def inference(self, *args: Any, **kwargs: Any) -> Any:
        self.begun = self._handler.inference(*args, **kwargs)
        return self.begun


def _bounded(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    @harmless
    def build(stream: Any, chunk: Any) -> None:
        parts = [*chunk.choices, *(call for choice in chunk.choices for call in choice.delta.tool_calls or ())]
        if all(0 <= part.index < _MOST_PARTS for part in parts):
            original(stream, chunk)

    return build
