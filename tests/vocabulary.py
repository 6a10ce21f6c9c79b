"""The stack as it is with the new names of metrics chosen."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from genai_observability.signals import OPT_IN_VARIABLE

from stack import vocabulary

LATEST = "gen_ai_latest_experimental"


@contextmanager
def new_names() -> Iterator[None]:
    """All that is generated and asked in this process meanwhile is in the new names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OPT_IN_VARIABLE, LATEST)
        vocabulary.chosen.cache_clear()
        yield
    vocabulary.chosen.cache_clear()
