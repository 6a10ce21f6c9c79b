"""What the tests of the package and those of the stack share: Ctrl-C, workers, the simulated provider over HTTP."""

import signal
from collections.abc import Iterator
from typing import Any, Final

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from stack.native import ports
from tests.provider import running_provider


def pytest_configure(config: pytest.Config) -> None:
    """Commands under test take Ctrl-C: a job in the background, as in CI, starts its programs with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker:  # between the choice of a free port and the start of its server, another worker must not take the port
        workers, mine = int(worker["workercount"]), int(worker["workerid"].removeprefix("gw"))
        ports.choice = ports.choice[mine * len(ports.choice) // workers : (mine + 1) * len(ports.choice) // workers]


class _Files(LoadFileScheduling):  # type: ignore[misc]  # untyped
    """All tests of a file run on one worker; and all of the demonstration's, which then runs once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "demonstration" if file in _DEMONSTRATED else file


_DEMONSTRATED: Final = [f"tests/end_to_end/test_{name}.py" for name in ("dashboards", "demo", "server_metrics")]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Decides which worker runs which tests."""
    return _Files(config, log)


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The address of a simulated provider that answers fifty times faster than a real one."""
    with running_provider(latency=0.02) as url:
        yield url
