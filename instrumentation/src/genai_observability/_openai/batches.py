"""The results of batches, when the application fetches them: https://platform.openai.com/docs/guides/batch.

``batches.retrieve`` says which files hold whose results, and ``files.content`` brings them. The application's thread
only notes which file it was; the lines are read later (``batch_results``).
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Final

from openai.resources.batches import AsyncBatches, Batches
from openai.resources.files import AsyncFiles, Files

from genai_observability._calls.batches import Results
from genai_observability._openai.batch_results import Batch, calls
from genai_observability._patching import harmless, replace

_MOST: Final = 10_000  # batches and files that are remembered

_Function = Callable[..., Any]


def watch(fetched: Callable[[Results], None]) -> list[Callable[[], None]]:
    """Give the results of each batch to ``fetched``, once; returns what ends that."""
    seen = _Seen(fetched)
    return [
        replace(Batches, "retrieve", _noting(seen.batch)),
        replace(AsyncBatches, "retrieve", _noting_later(seen.batch)),
        replace(Files, "content", _noting(seen.file)),
        replace(AsyncFiles, "content", _noting_later(seen.file)),
    ]


def _noting(note: Callable[[Any, Any, Any], None]) -> Callable[[_Function], _Function]:
    def noting(original: _Function) -> _Function:
        def call(resource: Any, *args: Any, **kwargs: Any) -> Any:
            answer = original(resource, *args, **kwargs)
            note(resource, args[0] if args else kwargs.get("file_id"), answer)
            return answer

        return call

    return noting


def _noting_later(note: Callable[[Any, Any, Any], None]) -> Callable[[_Function], _Function]:
    def noting(original: _Function) -> _Function:
        async def call(resource: Any, *args: Any, **kwargs: Any) -> Any:
            answer = await original(resource, *args, **kwargs)
            note(resource, args[0] if args else kwargs.get("file_id"), answer)
            return answer

        return call

    return noting


class _Seen:
    """The files of results that this process knows of, and those whose results it has counted."""

    def __init__(self, fetched: Callable[[Results], None]) -> None:
        self._fetched = fetched
        self._lock = threading.Lock()
        self._files: OrderedDict[Hashable, Batch] = OrderedDict()
        self._counted: OrderedDict[Hashable, None] = OrderedDict()
        self.batch = harmless(self._batch)
        self.file = harmless(self._file)

    def _batch(self, resource: Any, _: Any, answer: Any) -> None:
        batch = answer.parse() if hasattr(answer, "http_response") and hasattr(answer, "content") else answer
        found = Batch(
            id=batch.id,
            endpoint=batch.endpoint,
            created=float(batch.created_at),
            server_address=resource._client.base_url.host,  # noqa: SLF001 - the client has no public way
        )
        with self._lock:
            for file in (batch.output_file_id, batch.error_file_id):
                if file:
                    self._files[file] = found
            _forget_oldest(self._files)

    def _file(self, _: Any, file: Hashable, answer: Any) -> None:
        content = getattr(answer, "content", None)  # the bytes that were read; a streamed answer has none
        with self._lock:
            batch = self._files.get(file)
            if batch is None or file in self._counted or not isinstance(content, bytes):
                return
            self._counted[file] = None
            _forget_oldest(self._counted)
        results = partial(calls, batch, content, now=time.time())
        self._fetched(Results(batch=batch.id, size=len(content), calls=results))


def _forget_oldest(remembered: OrderedDict[Hashable, Any]) -> None:
    while len(remembered) > _MOST:
        remembered.popitem(last=False)
