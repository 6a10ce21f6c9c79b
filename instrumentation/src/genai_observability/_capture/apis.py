"""The APIs whose requests are calls of a model, known by method and path: what is asked, and who reads the answer."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from genai_observability import signals
from genai_observability._capture import answers
from genai_observability._capture.answers import Attributes, get, present
from genai_observability._capture.attributes import count, text, texts

FETCH: Final = "fetch_response"

_Body = Mapping[str, Any]
_OUTPUT_TYPE: Final = "gen_ai.output.type"
_NUMBERS: Final = {
    "temperature": signals.TEMPERATURE.name,
    "top_p": signals.TOP_P.name,
    "max_tokens": signals.MAX_TOKENS.name,  # the older name: of two the later one counts
    "max_output_tokens": signals.MAX_TOKENS.name,
    "max_completion_tokens": signals.MAX_TOKENS.name,
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "dimensions": "gen_ai.embeddings.dimension.count",
}
"""Numbers of a request's body: https://opentelemetry.io/docs/specs/semconv/gen-ai/openai/."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One kind of request."""

    operation: str  # ``gen_ai.operation.name`` of its calls
    read: Callable[[Any], Attributes]  # reads an answer
    read_stream: Callable[[Sequence[Any]], Attributes] = answers.nothing  # reads the chunks that are more than text
    asked: Callable[[_Body], Attributes] = answers.nothing  # reads what is particular about a request
    output: str | None = None  # what the answers are, where they are always the same
    content: Literal["chat", "responses", "completions"] | None = None  # how questions and answers of text are read


def _chat(body: _Body) -> Attributes:
    stop, choices, format_ = body.get("stop"), body.get("n"), body.get("response_format")
    return present({
        "gen_ai.request.stop_sequences": (stop,) if isinstance(stop, str) else texts(stop),
        "gen_ai.request.choice.count": choices if isinstance(choices, int) and choices != 1 else None,
        _OUTPUT_TYPE: _output_type(get(format_, "type") if format_ else None),
    })  # fmt: skip


def _responses(body: _Body) -> Attributes:
    conversation = body.get("conversation")
    return present({
        "openai.api.type": "responses",
        signals.CONVERSATION.name: text(conversation) or text(get(conversation, "id")),
        _OUTPUT_TYPE: _output_type(get(get(body.get("text"), "format"), "type")),
    })  # fmt: skip


def _images(body: _Body) -> Attributes:
    return present({"gen_ai.request.choice.count": count(body.get("n"))})


def _speech(body: _Body) -> Attributes:
    """Priced by characters, or by tokens untold: https://platform.openai.com/docs/api-reference/audio/createSpeech."""
    return present({signals.CHARACTERS.name: len(text(body.get("input")) or "")})


_IMAGES: Final = Api(
    operation="image_generation",
    asked=_images,
    output="image",
    read=answers.images,
    read_stream=answers.last(answers.images),
)
_POSTED: Final = {
    "/chat/completions": Api(
        operation="chat", asked=_chat, read=answers.chat, read_stream=answers.chunks, content="chat"
    ),
    "/responses": Api(
        operation="chat", asked=_responses, read=answers.response, read_stream=answers.events, content="responses"
    ),
    "/responses/compact": Api(operation="chat", asked=_responses, read=answers.response),
    "/embeddings": Api(operation="embeddings", read=answers.embeddings),
    "/completions": Api(
        operation="text_completion", read=answers.completion, read_stream=answers.chunks, content="completions"
    ),
    "/images/generations": _IMAGES,
    "/images/edits": _IMAGES,
    "/images/variations": _IMAGES,
    "/audio/speech": Api(operation="speech", asked=_speech, output="speech", read=answers.nothing),
    "/audio/transcriptions": Api(
        operation="transcription", output="text", read=answers.sound, read_stream=answers.last(answers.sound)
    ),
    "/audio/translations": Api(operation="translation", output="text", read=answers.sound),
    "/moderations": Api(operation="moderation", output="json", read=answers.named),
    "/batches": Api(operation="batch", read=answers.named),
}
_FETCHED: Final = Api(operation=FETCH, read=answers.nothing)
_RESPONSE: Final = re.compile(r"/responses/[^/]+")


@functools.lru_cache(maxsize=512)
def api_of(method: str, url: str) -> Api | None:
    """The API of a request; ``None`` for one that is no call of a model. The path may have anything before it."""
    path = url.partition("?")[0].rstrip("/")
    if method.lower() == "get":
        return _FETCHED if _RESPONSE.search(path) and "/" not in path.rpartition("/responses/")[2] else None
    return next((api for ending, api in _POSTED.items() if path.endswith(ending)), None)


def request_attributes(api: Api, body: _Body) -> Attributes:
    """What a call's span says of its request."""
    tier = body.get("service_tier")
    numbers = {
        name: value
        for field, name in _NUMBERS.items()
        if field in body and isinstance(value := body[field], (int, float)) and not isinstance(value, bool)
    }
    named = {
        "openai.request.service_tier": tier if isinstance(tier, str) and tier != "auto" else None,
        _OUTPUT_TYPE: api.output,
    }
    return {**numbers, **present(named), **api.asked(body)}


def _output_type(kind: Any) -> str | None:
    return "json" if kind in ("json_object", "json_schema") else kind if isinstance(kind, str) else None
