"""The real client, a recording of its calls, and programs that run as applications of their own."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from genai_observability._context import identity as _identity

from instrumentation.tests.aimock_process import aimock
from instrumentation.tests.otlp_capture import Capture
from instrumentation.tests.programs import Run
from instrumentation.tests.recording import Recording


@pytest.fixture(autouse=True)
def _user_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_USER_KEY", "the key of the tests")
    _identity._key.cache_clear()
    _identity.user_hash.cache_clear()


@pytest.fixture
def recording() -> Iterator[Recording]:
    recording = Recording()
    yield recording
    recording.close()


@pytest.fixture
def client(provider: str, recording: Recording) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
        yield client


@pytest.fixture
def capture() -> Iterator[Capture]:
    """An OTLP endpoint that keeps what it is sent."""
    with Capture() as capture:
        yield capture


@pytest.fixture
def environment(provider: str, capture: Capture, tmp_path: Path) -> dict[str, str]:
    """What a program is given: this provider and this endpoint, and none of the settings of this process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))}
    return clean | {
        "PROVIDER": provider,
        "OTEL_EXPORTER_OTLP_ENDPOINT": capture.url,
        "XDG_CONFIG_HOME": str(tmp_path),
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "httpx,httpx2",  # a span of an HTTP request is no call of a model
        "TMPDIR": str(tmp_path),  # where names of instances are taken, so that other tests have none of them
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs a command in a directory of its own, in which ``app.py`` is a program."""

    def run(*command: str, program: str = "", stdin: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "app.py").write_text(program)
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment | more,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def other_provider() -> Iterator[str]:
    """The address of a provider that was written elsewhere."""
    with aimock() as url:
        yield url
