"""Commands that must not run twice at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.native.process import StackError


@contextmanager
def alone(path: Path, *, otherwise: str) -> Iterator[None]:
    """Hold the lock in the file; it ends with its process, however that ends.

    Raises:
        StackError: another process holds it; ``otherwise`` is what it says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(otherwise) from None
        yield
