"""What the tests of the package and those of the stack share: Ctrl-C, workers, the simulated provider over HTTP."""

import signal
from collections.abc import Iterator

import pytest

from tests.provider import running_provider


def pytest_configure() -> None:
    """Commands under test take Ctrl-C: a job in the background, as in CI, starts its programs with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all tests of a file, which share servers; and all of the demonstration, which then runs once."""
    demonstrated = {item.path for item in items if "demonstration" in getattr(item, "fixturenames", ())}
    for item in items:
        group = "demonstration" if item.path in demonstrated else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The address of a simulated provider that answers fifty times faster than a real one."""
    with running_provider(latency=0.02) as url:
        yield url
