"""What all tests of the stack share."""

from collections.abc import Iterator

import pytest

from stack.native import postgres


@pytest.fixture(scope="session", autouse=True)
def nothing_left_by_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Deletes root's data of PostgreSQL, also those that a command under test rightly keeps.

    They lie outside of the temporary folders, which only root can enter, and so pytest never deletes them.
    """
    yield
    for note in tmp_path_factory.getbasetemp().rglob("data/postgres.place"):
        postgres.delete(note.parents[1])
