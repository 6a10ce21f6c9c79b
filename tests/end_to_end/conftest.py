"""One whole stack on ports of its own, and one run of the demonstration in it, for all end-to-end tests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from stack.native import down, up
from stack.settings import Settings
from tests.end_to_end.live import ROOT, Demonstration
from tests.stores import settings_at


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The running stack."""
    settings = settings_at(tmp_path_factory.mktemp("stack"))
    up(settings)
    yield settings
    down(settings, volumes=True)


@pytest.fixture(scope="session")
def demonstration(stack: Settings) -> Demonstration:
    """The demonstration as a user runs it, against the running stack."""
    began = datetime.now(UTC)
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env=os.environ | stack.variables(),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Demonstration(began, datetime.now(UTC), done.stdout)
