"""The APIs of the OpenAI client that OpenTelemetry's wrapper of it leaves out, as spans of its own building blocks.

What an answer of each API tells is in ``answers``; here is what they have in common.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from openai import AsyncStream, Stream
from openai._legacy_response import LegacyAPIResponse
from openai._response import BaseAPIResponse
from opentelemetry.instrumentation.genai.openai._raw_response import wrap_stream_result
from opentelemetry.instrumentation.genai.openai.utils import get_server_address_and_port
from opentelemetry.trace import TracerProvider
from opentelemetry.util.genai.handler import TelemetryHandler
from opentelemetry.util.genai.invocation import InferenceInvocation
from opentelemetry.util.genai.stream import AsyncStreamWrapper, SyncStreamWrapper

from genai_observability._clients import OWN_SCOPE
from genai_observability._export.providers import no_logs, no_metrics
from genai_observability._openai import answers
from genai_observability._patching import harmless, replace

_Function = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A method of the client, and what notes the answers to its calls.

    Attributes:
        resource: Module and class of the method; the asynchronous class has the same name behind ``Async``.
        method: Its name.
        operation: ``gen_ai.operation.name`` of its calls.
        note: Notes the arguments and the answer, or a chunk of it.
    """

    resource: str
    method: str
    operation: str
    note: Callable[[InferenceInvocation, dict[str, Any], Any], None]


APIS: Final = (
    Api(resource="images:Images", method="generate", operation="image_generation", note=answers.images),
    Api(resource="images:Images", method="edit", operation="image_generation", note=answers.images),
    Api(resource="images:Images", method="create_variation", operation="image_generation", note=answers.images),
    Api(resource="audio.speech:Speech", method="create", operation="speech", note=answers.speech),
    Api(
        resource="audio.transcriptions:Transcriptions",
        method="create",
        operation="transcription",
        note=answers.transcription,
    ),
    Api(
        resource="audio.translations:Translations", method="create", operation="translation", note=answers.transcription
    ),
    Api(resource="moderations:Moderations", method="create", operation="moderation", note=answers.moderation),
    Api(resource="batches:Batches", method="create", operation="batch", note=answers.batch),
    Api(resource="completions:Completions", method="create", operation="text_completion", note=answers.completion),
)


def watch(tracer_provider: TracerProvider) -> list[Callable[[], None]]:
    """Wrap the methods of these APIs; returns what unwraps them."""
    handler = TelemetryHandler(
        tracer_provider=tracer_provider,
        meter_provider=no_metrics(),
        logger_provider=no_logs(),
        instrumentation_scope_name=OWN_SCOPE,
    )
    active = [True]  # the client keeps methods for raw answers, with our functions in them, beyond their unwrapping
    undo: list[Callable[[], None]] = [active.clear]
    for api in APIS:
        module, _, name = api.resource.partition(":")
        resources = importlib.import_module(f"openai.resources.{module}")
        calls = _Calls(api, handler, active)
        undo.append(replace(getattr(resources, name, None), api.method, calls.plain))
        undo.append(replace(getattr(resources, f"Async{name}", None), api.method, calls.asynchronous))
    return undo


class _Calls:
    """The functions that take the place of an API's method."""

    def __init__(self, api: Api, handler: TelemetryHandler, active: list[bool]) -> None:
        self._api = api
        self._handler = handler
        self._active = active
        self._note = harmless(api.note)

    def plain(self, original: _Function) -> _Function:
        def call(resource: Any, *args: Any, **kwargs: Any) -> Any:
            invocation = self._begin(resource, kwargs)
            if invocation is None:
                return original(resource, *args, **kwargs)
            try:
                answer = original(resource, *args, **kwargs)
            except BaseException as error:
                invocation.fail(error)
                raise
            return self._end(invocation, kwargs, answer)

        return call

    def asynchronous(self, original: _Function) -> _Function:
        async def call(resource: Any, *args: Any, **kwargs: Any) -> Any:
            invocation = self._begin(resource, kwargs)
            if invocation is None:
                return await original(resource, *args, **kwargs)
            try:
                answer = await original(resource, *args, **kwargs)
            except BaseException as error:
                invocation.fail(error)
                raise
            return self._end(invocation, kwargs, answer)

        return call

    def _begin(self, resource: Any, arguments: dict[str, Any]) -> InferenceInvocation | None:
        """The call's span, started; ``None`` where that is not to be, or fails."""
        if not self._active:
            return None
        try:
            address, port = get_server_address_and_port(resource)
            model = arguments.get("model")
            return self._handler.inference(
                "openai",
                request_model=model if isinstance(model, str) else None,
                server_address=address,
                server_port=port,
                operation_name=self._api.operation,
            )
        except Exception:  # the call comes first
            return None

    def _end(self, invocation: InferenceInvocation, arguments: dict[str, Any], answer: Any) -> Any:
        if arguments.get("stream") and isinstance(answer, (Stream, AsyncStream, BaseAPIResponse, LegacyAPIResponse)):
            note = partial(self._note, invocation, arguments)
            raw: Any = answer
            return wrap_stream_result(partial(_chunks, note), raw, invocation, capture_content=False)
        self._note(invocation, arguments, _parsed(answer))
        invocation.stop()
        return answer


def _parsed(answer: Any) -> Any:
    """What a raw answer holds. One whose body has not been read is left to the application to read."""
    if not isinstance(answer, LegacyAPIResponse):
        return answer
    try:
        return answer.parse()
    except Exception:  # the application, which asked for the raw answer, will see why
        return None


def _chunks(note: Callable[[Any], None], stream: Any, invocation: InferenceInvocation, _content: bool) -> Any:  # noqa: FBT001
    return (_AsyncChunks if isinstance(stream, AsyncStream) else _Chunks)(stream, invocation, note)


class _Noting:
    """What is done with each chunk, and at the end."""

    _self_invocation: Any
    _self_note: Callable[[Any], None]

    def _process_chunk(self, chunk: Any) -> None:
        self._self_note(chunk)

    def _on_stream_end(self) -> None:
        self._self_invocation.stop()

    def _on_stream_error(self, error: BaseException) -> None:
        self._self_invocation.fail(error)


class _Chunks(_Noting, SyncStreamWrapper[Any]):
    def __init__(self, stream: Any, invocation: InferenceInvocation, note: Callable[[Any], None]) -> None:
        super().__init__(stream, invocation=invocation)
        self._self_note = note
        invocation.suspend()


class _AsyncChunks(_Noting, AsyncStreamWrapper[Any]):
    def __init__(self, stream: Any, invocation: InferenceInvocation, note: Callable[[Any], None]) -> None:
        super().__init__(stream, invocation=invocation)
        self._self_note = note
        invocation.suspend()
