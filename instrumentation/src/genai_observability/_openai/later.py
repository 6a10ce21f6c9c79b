"""What OpenTelemetry's wrappers know of a call that succeeded is put on its span later, on the worker.

At the end of each call they turn it into attributes, and the SDK checks those, before the caller gets its answer: some
40 µs. As a call's span is copied anyway before it is exported, the copy gets them instead. Not where anybody else may
look at the span: the application's own tracer provider, or another span processor.
"""

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import get_value
from opentelemetry.util.genai._inference_invocation import CLIENT_INFERENCE_CONTEXT_KEY, InferenceData
from opentelemetry.util.genai.completion_hook import _NoOpCompletionHook
from opentelemetry.util.genai.invocation import InferenceInvocation
from opentelemetry.util.genai.types import ContentCapturingMode

from genai_observability._calls.open_calls import OpenCalls
from genai_observability._patching import replace

_NOTHING: Final = vars(InferenceData())
"""What a call's context holds where no other wrapper has seen the same call."""
_PLAIN: Final = frozenset((str, int, float, bool))


def watch(open_calls: OpenCalls, alone: Callable[[], bool]) -> list[Callable[[], None]]:
    """Put it off from now on; returns what ends that.

    Args:
        open_calls: The calls that have begun and not ended.
        alone: Whether nobody else sees the spans.
    """

    def put_off(original: Callable[..., None]) -> Callable[..., None]:
        def apply_finish(invocation: Any, error: Any = None) -> None:
            try:
                later = error is None and take(invocation)
            except Exception:  # the wrapper is not as it was expected; nothing has been taken from it yet
                later = False
            if not later:
                original(invocation, error)

        return apply_finish

    def take(invocation: Any) -> bool:
        call = open_calls.of(invocation.span)
        if call is None or not alone() or _more_to_do(invocation):
            return False
        call.told = _told(invocation)
        call.response_id = call.told.response_id
        call.late = _attributes
        return True

    return [replace(InferenceInvocation, "_apply_finish", put_off)]


def _more_to_do(invocation: Any) -> bool:
    """Whether the wrapper is to record content, or another one has told it something."""
    return (
        invocation._content_capturing_mode is not ContentCapturingMode.NO_CONTENT  # noqa: SLF001 - it has no public way
        or type(invocation._completion_hook) is not _NoOpCompletionHook  # noqa: SLF001
        or vars(get_value(CLIENT_INFERENCE_CONTEXT_KEY, invocation.context)) != _NOTHING
    )


def _told(invocation: Any) -> InferenceData:
    """What the wrapper knows, and nothing else: whatever waits is gone through by Python's garbage collector."""
    data: InferenceData = invocation.data
    data.conversation_id = invocation.conversation_id or data.conversation_id
    if invocation._request_stream is not None:  # noqa: SLF001
        data.request_stream = invocation._request_stream  # noqa: SLF001
    if data.output_messages:
        data.response_finish_reasons = invocation._get_finish_reasons()  # noqa: SLF001
    data.input_messages = data.output_messages = data.system_instructions = None
    return data


def _attributes(data: InferenceData) -> dict[str, Any]:
    """What the wrapper would have put on the span."""
    given = {}
    for field, value in [item for item in vars(data).items() if item[1] is not None]:
        name, also_zero = _NAMES.get(field, _NOWHERE)
        if name is None or not (value or also_zero):
            continue
        if type(value) in _PLAIN:
            given[name] = value
        elif type(value) is list and all(type(item) is str for item in value):  # finish reasons, nearly always
            given[name] = tuple(value)
        else:
            given.update(BoundedAttributes(attributes={name: value}))  # nothing, where it cannot be an attribute
    return {**given, **BoundedAttributes(attributes=data.attributes)} if data.attributes else given


def _names() -> dict[str, tuple[str | None, bool]]:
    """By field of the data: the attribute that the wrapper makes of it, and whether it makes one of a zero.

    Raises whatever comes of it where the wrapper is not as it is expected here: then nothing is put off.
    """
    list(_reader()._get_attributes())  # noqa: SLF001
    names: dict[str, tuple[str | None, bool]] = {}
    for field in _NOTHING:
        if (made := _made(field, "something")) and len(made) == 1:
            names[field] = (made[0], bool(_made(field, 0)))
    return names


def _made(field: str, value: object) -> list[str]:
    reader = _reader()
    setattr(reader.data, field, value)
    try:
        return list(reader._get_attributes())  # noqa: SLF001
    except (AttributeError, TypeError):  # messages: they have no attribute here, as their content is not recorded
        return []


def _reader() -> Any:
    reader: Any = InferenceInvocation.__new__(InferenceInvocation)
    reader.data, reader.conversation_id, reader._request_stream = InferenceData(), None, None  # noqa: SLF001
    return reader


_NAMES: Final = _names()
_NOWHERE: Final = (None, False)
