"""The simulated provider over HTTP, for the tests of the package and for those of the stack."""

from collections.abc import Iterator

import pytest

from tests.provider import running_provider


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The address of a simulated provider that answers fifty times faster than a real one."""
    with running_provider(latency=0.02) as url:
        yield url
