"""What is recorded survives the end of the stack, of a store, and of the Collector itself."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from stack.clients import Where, log_store
from stack.native import down, process, status, up
from stack.native.servers import servers
from stack.settings import Settings
from tests.end_to_end.live import eventually, without_otel
from tests.stores import settings_at

PROGRAM = """
import genai_observability, openai
genai_observability.instrument()
client = openai.OpenAI(api_key="test", max_retries=0)
for _ in range(20):
    client.embeddings.create(model="text-embedding-3-small", input="a")
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack that these tests may break."""
    settings = settings_at(tmp_path_factory.mktemp("broken"))
    up(settings)
    yield settings
    down(settings, volumes=True)


def make_calls(stack: Settings, provider: str, service: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=without_otel(
            OPENAI_BASE_URL=f"{provider}/v1", OTEL_EXPORTER_OTLP_ENDPOINT=stack.otlp_http_url, OTEL_SERVICE_NAME=service
        ),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def lines(stack: Settings, service: str) -> int:
    end = datetime.now(UTC) + timedelta(seconds=5)
    calls = Where("service.name", "=", service), Where("event.name", "=", "genai_observability.call")
    return log_store(stack).count(*calls, start=end - timedelta(minutes=10), end=end)


def kill(stack: Settings, server: str) -> None:
    """As a crash would end it."""
    found = process.find(server, state=stack.state)
    assert found
    psutil.Process(found.pid).kill()
    assert eventually(lambda: process.find(server, state=stack.state) is None)


def test_calls_made_while_a_store_is_gone_arrive_once_it_is_back(stack: Settings, provider: str) -> None:
    kill(stack, "victorialogs")
    make_calls(stack, provider, "without-logs")
    up(stack)
    assert eventually(lambda: lines(stack, "without-logs") == 20)


def test_calls_that_the_collector_has_taken_survive_its_crash(stack: Settings, provider: str) -> None:
    kill(stack, "victorialogs")
    make_calls(stack, provider, "without-both")
    kill(stack, "collector")
    up(stack)
    assert eventually(lambda: lines(stack, "without-both") == 20)


def test_data_survives_down_and_up_and_no_process_stays_behind(stack: Settings, provider: str) -> None:
    make_calls(stack, provider, "before")
    assert eventually(lambda: lines(stack, "before") == 20)
    pids = [state.pid for state in status(stack) if state.pid]
    down(stack)
    assert len(pids) == len(servers(stack))
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
    up(stack)
    assert eventually(lambda: lines(stack, "before") == 20)


def test_up_a_second_time_changes_nothing(stack: Settings) -> None:
    before = {state.name: state.pid for state in status(stack)}
    up(stack)
    assert {state.name: state.pid for state in status(stack)} == before
