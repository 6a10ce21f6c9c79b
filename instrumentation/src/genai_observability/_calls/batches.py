"""The answers of a batch are calls too: they are recorded when they are fetched, in the background.

A file of results may hold 50,000 of them. They are read one by one on the worker, from the bytes that the application
was given; in between, other threads get their turn, and the log records are sent before their queue overflows.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from opentelemetry.context import Context

from genai_observability._calls.call import Call
from genai_observability._calls.spans import context_of
from genai_observability._capture.batch_results import Results
from genai_observability._content.messages import scrubbed
from genai_observability._context import attribution as _attribution
from genai_observability._feedback.receipt import Answer
from genai_observability._process.worker import Worker

_MOST_WAITING: Final = 256 * 2**20  # bytes of results that are kept for reading; one file may have more
_AT_A_TIME: Final = 500  # log records: the SDK's queue holds 2,048
_SLOW: Final = 2.0  # seconds for that many records, of a Collector that is slow or gone: other calls must not wait
_END: Final = 10.0  # seconds that the end of the process may wait for results: the time for some 50,000

_sleep: Final = time.sleep  # an application may put something else in its place
_logger = logging.getLogger("genai_observability")


class Batches:
    """Records the results of batches.

    Args:
        worker: Where they are read.
        submission: What is known of a batch's submission, by its id.
        record: Records one call, in the context of the submission.
        send: Sends the log records that wait.
        on_dropped: Called for results for which there is no room.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        submission: Callable[[str], Answer],
        record: Callable[[Call, Context], object],
        send: Callable[[], object],
        on_dropped: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._submission = submission
        self._record = record
        self._send = send
        self._on_dropped = on_dropped
        self._lock = threading.Lock()
        self._waiting = 0

    def fetched(self, results: Results) -> None:
        """Queue results, for whom the batch was submitted; where that is not known, for whom they are fetched."""
        submission = self._submission(results.batch)
        attribution = submission.attributes or _attribution.current()
        context = context_of(submission.span)

        def read() -> None:
            try:
                self._read(
                    (
                        replace(call, attribution=attribution, error_message=scrubbed(call.error_message))
                        for call in results.calls()
                    ),
                    context,
                )
            finally:
                self._take(-results.size)

        if not self._take(results.size):
            _logger.warning("The results of batch %s are not recorded: others that wait fill the room.", results.batch)
            self._on_dropped()
        elif not self._worker.submit(read):
            self._take(-results.size)
            self._on_dropped()

    def _take(self, size: int) -> bool:
        """Take room, or give it back; ``False`` where there is not enough."""
        with self._lock:
            if self._waiting and 0 < size > _MOST_WAITING - self._waiting:
                return False
            self._waiting += size
            return True

    def _read(self, calls: Iterable[Call], context: Context) -> None:
        slow = False
        for number, call in enumerate(calls, start=1):
            self._record(call, context)
            _sleep(0)  # whoever waits for the interpreter's lock gets it now
            if number % _AT_A_TIME == 0 and not slow:
                begun = time.monotonic()
                self._send()
                slow = time.monotonic() - begun > _SLOW

    def wait(self) -> None:
        """Wait until all results are read, but not for ever."""
        if self._waiting:
            self._worker.run(lambda: None, timeout=_END)

    def forget(self) -> None:
        """In a child made by fork: the results that wait are the parent's."""
        self._lock = threading.Lock()
        self._waiting = 0
