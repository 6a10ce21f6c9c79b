"""The real client, a recording of its calls, and programs that run as applications of their own."""

from collections.abc import Iterator

import openai
import pytest

from instrumentation.tests.otlp_capture import Capture
from instrumentation.tests.recording import Recording


@pytest.fixture(autouse=True)
def _user_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_OBSERVABILITY_USER_KEY", "the key of the tests")


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
