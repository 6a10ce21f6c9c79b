"""Starting and ending the demo's two programs, for real, without the rest of the stack."""

import fcntl
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo import services
from stack.native import StackError, process
from stack.settings import Settings
from tests.stores import settings_at


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path)


def alive(settings: Settings) -> list[bool]:
    return [process.is_healthy(f"{url}/healthz") for url in (settings.provider_url, settings.demo_url)]


def test_both_programs_run_inside_the_block_and_end_with_it_also_when_interrupted(settings: Settings) -> None:
    told: list[str] = []

    def run() -> None:
        with services.running(settings, simulated=True, keep=False, report=told.append):
            assert alive(settings) == [True, True]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert alive(settings) == [False, False]
    assert told == ["demo-provider is ready", "demo-app is ready", "ending the demo's programs"]


def test_kept_programs_are_ended_before_the_next_run_begins(settings: Settings) -> None:
    before = datetime.now(UTC)
    with services.running(settings, simulated=True, keep=True, report=lambda _: None) as first:
        pass
    assert alive(settings) == [True, True]
    told: list[str] = []
    with services.running(settings, simulated=True, keep=False, report=told.append) as second:
        assert alive(settings) == [True, True]
    assert told[:2] == ["ending demo-app of an earlier run", "ending demo-provider of an earlier run"]
    assert before <= first < second
    assert alive(settings) == [False, False]


def test_a_second_demonstration_at_the_same_time_is_refused(settings: Settings) -> None:
    (settings.state / "run").mkdir()
    with (settings.state / "run" / "demo.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(StackError, match="Another demonstration is running"),
            services.running(settings, simulated=True, keep=False, report=lambda _: None),
        ):
            pytest.fail("must not get here")


def test_a_port_in_use_is_named_and_nothing_is_started(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.demo_port)),
        pytest.raises(StackError, match=rf"^Port {settings.demo_port} of demo-app \(DEMO_PORT\) is in use by "),
        services.running(settings, simulated=True, keep=False, report=lambda _: None),
    ):
        pytest.fail("must not get here")
    assert process.find_all(state=settings.state) == []
