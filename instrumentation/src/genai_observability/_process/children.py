"""Child processes that end without Python's own end, as those of multiprocessing and Celery do, deliver before that."""

import sys
from typing import Any, Protocol


class Recording(Protocol):
    """What is to be delivered."""

    def deliver(self, **details: Any) -> None:
        """Export what was recorded, within a bounded time; the details are those of Celery's signal."""


def deliver_at_end(recording: Recording, *, forked: bool) -> None:
    """Deliver at the end of this process, where it is a child of these libraries.

    Args:
        recording: What to deliver.
        forked: Whether the process was forked just now, and its library has yet to set it up; else it is running.
    """
    if util := sys.modules.get("multiprocessing.util"):
        multiprocessing = sys.modules["multiprocessing"]
        if forked:
            util.register_after_fork(recording, _before_exit)
        # A child by "spawn" ends as every program does.
        elif multiprocessing.parent_process() is not None and multiprocessing.get_start_method() != "spawn":
            _before_exit(recording)
    if celery := sys.modules.get("celery.signals"):  # whose pool is not of multiprocessing
        celery.worker_process_shutdown.connect(recording.deliver)  # weakly, and only once


def _before_exit(recording: Recording) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, recording.deliver, exitpriority=0)
