"""The HTTP requests of a call: when each attempt left, what refused it, when the answer came, and its headers.

The client's ``_build_request`` runs once an attempt, ``_should_retry`` for each refused one, ``_process_response`` for
the answer and ``_make_status_error_from_response`` for a refusal that is final. They have been there, under these
names, since version 1 of the client; they belong to its base classes, so that those of Azure are seen as well.
"""

from collections.abc import Callable
from time import time_ns
from typing import Any, Final

from openai._base_client import AsyncAPIClient, BaseClient, SyncAPIClient

from genai_observability._calls.open_calls import OpenCall, OpenCalls
from genai_observability._openai.usage import asking_for_usage
from genai_observability._patching import harmless, replace

KEY: Final = "genai_observability"
"""Under this name a response carries its open call, for the stream that is made from it."""


def watch(
    open_calls: OpenCalls, *, attribute: Callable[[Any, Any, OpenCall], Any] | None = None
) -> list[Callable[[], None]]:
    """Note the requests of each open call; returns what ends that.

    Args:
        open_calls: The calls that have begun.
        attribute: Makes the options of a request from the client, its options and the call, where the provider is to
            be told of the attribution.
    """

    def build_request(original: Callable[..., Any]) -> Callable[..., Any]:
        def build(self: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
            call = open_calls.current()
            if call is None:
                return original(self, options, *args, **kwargs)
            options = asking_for_usage(self, options, call)
            if attribute is not None:
                options = attribute(self, options, call)
            request = original(self, options, *args, **kwargs)
            if call.streams:
                _note_size(call, request)
            call.sent += (time_ns(),)
            return request

        return build

    def on_response(note: Callable[[OpenCall, Any], None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def noting(original: Callable[..., Any]) -> Callable[..., Any]:
            def with_response(self: Any, *args: Any, **kwargs: Any) -> Any:
                if (call := open_calls.current()) is not None:
                    note(call, kwargs["response"] if "response" in kwargs else args[0] if args else None)
                return original(self, *args, **kwargs)

            return with_response

        return noting

    return [
        replace(BaseClient, "_build_request", build_request),
        replace(BaseClient, "_should_retry", on_response(_note_refusal)),
        replace(BaseClient, "_make_status_error_from_response", on_response(_note_refused)),
        replace(SyncAPIClient, "_process_response", on_response(_note_answer)),
        replace(AsyncAPIClient, "_process_response", on_response(_note_answer)),
    ]


@harmless
def _note_size(call: OpenCall, request: Any) -> None:
    try:
        call.prompt_bytes = len(request.content)
    except Exception:  # files, which are read while they are sent; looking a header up takes ten times as long
        call.prompt_bytes = int(request.headers.get("content-length") or 0)


@harmless
def _note_refusal(call: OpenCall, response: Any) -> None:
    call.refusals += (response.status_code,)
    call.headers = response.headers


@harmless
def _note_refused(call: OpenCall, response: Any) -> None:
    call.answered = time_ns()
    call.headers = response.headers


@harmless
def _note_answer(call: OpenCall, response: Any) -> None:
    call.answered = time_ns()
    call.headers = response.headers
    response.extensions[KEY] = call
