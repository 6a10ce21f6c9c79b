"""Where the seam is in the client library openai."""

from contextlib import ExitStack

import openai

from genai_observability._capture import seam as _seam
from genai_observability._capture import streams as _streams
from genai_observability._capture.patching import replace
from genai_observability._capture.seam import Seam


def watch(seam: Seam, undo: ExitStack) -> None:
    """See every request of every client from now on, until ``undo`` is closed."""
    undo.callback(seam.end)  # also where somebody else has replaced ``request`` since, and keeps ours
    replace(openai.OpenAI, "request", seam.request, undo)
    replace(openai.AsyncOpenAI, "request", seam.request_async, undo)
    replace(openai.OpenAI, "_build_request", _seam.attempt, undo)
    replace(openai.OpenAI, "_should_retry", _seam.refusal, undo)
    for client in (openai.OpenAI, openai.AsyncOpenAI):
        replace(client, "_process_response", _seam.answer, undo)
    replace(openai.Stream, "__stream__", _streams.observed, undo)
    replace(openai.AsyncStream, "__stream__", _streams.observed_async, undo)
    replace(openai.Stream, "close", _streams.closed, undo)
    replace(openai.AsyncStream, "close", _streams.closed_async, undo)
