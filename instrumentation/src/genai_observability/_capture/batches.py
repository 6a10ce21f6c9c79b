"""The results of batches, when the application fetches them: https://platform.openai.com/docs/guides/batch.

The answer to ``GET /batches/…`` says which files hold whose results, and ``GET /files/…/content`` brings them. The
application's thread only notes which file it was; the lines are read later (``batch_results``).
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Final

from genai_observability._capture.answers import get, plain
from genai_observability._capture.batch_results import Batch, Results, calls

_MOST: Final = 10_000  # batches and files that are remembered
_BATCH: Final = re.compile(r"/batches/[^/]+/?$")
_CONTENT: Final = re.compile(r"/files/([^/]+)/content/?$")


class BatchFiles:
    """The files of results that this process knows of, and those whose results it has counted."""

    def __init__(self, fetched: Callable[[Results], None]) -> None:
        """``fetched`` gets the results of each batch, once."""
        self._fetched = fetched
        self._lock = threading.Lock()
        self._files: OrderedDict[Hashable, Batch] = OrderedDict()
        self._counted: OrderedDict[Hashable, None] = OrderedDict()

    def look(self, client: Any, method: str, url: str, answer: Any) -> None:
        """Look at an answer that is none of a model: whether it tells of a batch, or brings results of one."""
        if method.lower() != "get":
            return
        path = url.partition("?")[0]
        if _BATCH.search(path):
            self._batch(client.base_url.host, plain(answer))
        elif found := _CONTENT.search(path):
            self._file(found[1], answer)

    def _batch(self, host: str, batch: Any) -> None:
        found = Batch(
            id=get(batch, "id"),
            endpoint=get(batch, "endpoint"),
            created=float(get(batch, "created_at")),
            server_address=host,
        )
        with self._lock:
            for file in (get(batch, "output_file_id"), get(batch, "error_file_id")):
                if file:
                    self._files[file] = found
            _forget_oldest(self._files)

    def _file(self, file: Hashable, answer: Any) -> None:
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
