"""The examples, installed and run by the commands of their README, held against the provider's own books."""

import contextlib
import itertools
import json
import os
import re
import shlex
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from genai_observability import signals

from instrumentation.tests.otlp_capture import Capture
from stack.clients import Jaeger, Prometheus, Where, log_store
from stack.settings import Settings
from tests.end_to_end.books import Books
from tests.end_to_end.live import ROOT, eventually, without_otel
from tests.environments import environment
from tests.serving import free_port

EXAMPLES = ROOT / "examples"
CLIENTS = ("openai_client", "litellm_client")
README = (EXAMPLES / "README.md").read_text()
COMMANDS = {
    name: command.replace(r"\|", "|")
    for name, command in re.findall(r"^\| `(\w+)\.py` \|.*\| `(.+)` \|$", README, re.MULTILINE)
}
QUESTION = {"text": "Do you ship to Norway?"}


class Examples:
    """The examples for one client, which send what they record to ``endpoint``."""

    def __init__(self, programs: Path, *, provider: str, endpoint: str) -> None:
        """``programs`` is the folder of the programs that the client's requirements were installed with."""
        self.folder = EXAMPLES / programs.parent.name
        self._variables = without_otel(
            PATH=f"{programs}:{os.environ['PATH']}",
            OPENAI_BASE_URL=f"{provider}/v1",
            OPENAI_API_KEY="test",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            GENAI_OBSERVABILITY_USER_KEY="key",
            LITELLM_LOCAL_MODEL_COST_MAP="True",
        )

    def run(self, *names: str) -> None:
        """Runs examples by their commands, side by side; each succeeds and complains of nothing."""
        processes = {name: self.start(COMMANDS[name]) for name in names}
        try:
            ends = {name: process.communicate(timeout=120) for name, process in processes.items()}
        finally:
            for process in processes.values():
                process.kill()
        assert {(processes[name].returncode, errors) for name, (_, errors) in ends.items()} == {(0, "")}, ends

    def start(self, command: str) -> "subprocess.Popen[str]":
        """Starts a command where the examples are."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            f"exec {command}",
            shell=True,
            cwd=self.folder,
            env=self._variables,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    @contextlib.contextmanager
    def service(self) -> Iterator[str]:
        """The address of the web service while it runs; it is ended as an orchestrator does."""
        port = free_port()
        process = self.start(f"{COMMANDS['fastapi_service']} --port {port}")
        try:
            assert eventually(lambda: listens(port)), "the service does not listen"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate(timeout=20)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module", params=CLIENTS)
def programs(request: pytest.FixtureRequest) -> Path:
    """The programs of an environment in which the README's command for a client has been run."""
    (command,) = re.findall(rf"^ +pip install (.* examples/{request.param}/requirements\.txt)$", README, re.MULTILINE)
    return environment(request.param, shlex.split(command))


@pytest.fixture(scope="module")
def scripts(programs: Path, provider: str) -> Iterator[Books]:
    """The books on all examples that end by themselves."""
    with Capture() as capture:
        books = Books(provider, capture)
        examples = Examples(programs, provider=provider, endpoint=capture.url)
        examples.run("plain_script", "streaming", "langchain_chain", "openai_agent")
        yield books


@pytest.fixture
def books(provider: str) -> Iterator[Books]:
    with Capture() as capture:
        yield Books(provider, capture)


@pytest.fixture
def examples(programs: Path, provider: str, books: Books) -> Examples:
    return Examples(programs, provider=provider, endpoint=books.capture.url)


def test_the_readme_has_a_command_for_every_example_of_either_client() -> None:
    for client in CLIENTS:
        assert {path.stem for path in (EXAMPLES / client).glob("*.py")} == set(COMMANDS)


def test_every_call_is_in_the_spans_the_request_log_and_the_metrics_once(scripts: Books) -> None:
    scripts.hold()
    assert scripts.counted("calls") == sum(len(scripts.calls(of)) for of in ("faq", "chat", "assistant", "orders"))


def test_the_calls_of_a_plain_script_are_attributed(scripts: Books) -> None:
    assert [call["app.team"] for call in scripts.calls("faq")] == ["support", "support"]


def test_a_stream_has_its_first_token_and_feedback(scripts: Books) -> None:
    (call,) = scripts.calls("chat")
    assert call[signals.TIME_TO_FIRST_TOKEN.name] > 0
    assert call["gen_ai.conversation.id"] == "c-1"
    (feedback,) = scripts.logged(signals.EVALUATION_EVENT)
    assert feedback["trace"] == call["trace"]


def test_a_chain_is_one_trace(scripts: Books, programs: Path) -> None:
    operations = Counter(call[signals.OPERATION.name] for call in scripts.calls("assistant"))
    assert operations["chat"] == 2
    assert operations["embeddings"] == (3 if programs.parent.name == "openai_client" else 0)
    assert len({span["trace"] for span in scripts.spans("assistant")}) == 1
    assert {call["gen_ai.prompt.name"] for call in scripts.calls("assistant")} == {"answer"}


def test_an_agent_and_its_tool_are_one_trace_without_content(scripts: Books) -> None:
    spans = scripts.spans("orders")
    operations = sorted(span[signals.OPERATION.name] for span in spans)
    assert operations == ["chat", "chat", "execute_tool", "invoke_agent", "invoke_workflow"]
    assert {span["session.id"] for span in spans} == {"s-1"}
    assert len({span["trace"] for span in spans}) == 1
    assert b"my order 17" not in scripts.capture.everything
    assert b"was handed to the carrier" not in scripts.capture.everything


def test_a_worker_outlives_failures_and_finishes_the_jobs_it_has_when_it_is_ended(
    examples: Examples, books: Books, provider: str
) -> None:
    echo, _, command = COMMANDS["queue_worker"].partition("|")
    job = json.loads(shlex.split(echo)[1])
    jobs = [job | {"id": f"j-{number}", "user": f"user {number}"} for number in range(12)]
    httpx.put(f"{provider}/control/faults", json={"bad_request": 0.5})
    worker = examples.start(command)
    try:
        assert worker.stdin
        worker.stdin.writelines(json.dumps(job) + "\n" for job in jobs)
        worker.stdin.flush()
        assert eventually(lambda: books.counted("calls") >= 6)  # by then it has taken all of them
        worker.terminate()
        _, errors = worker.communicate(timeout=30)
    finally:
        worker.kill()
        httpx.put(f"{provider}/control/faults", json={})
    assert worker.returncode == 0
    outcomes = [call[signals.OUTCOME.name] for call in books.calls()]
    answers = books.counted("answers")
    assert 0 < answers < len(outcomes) == books.counted("calls") == len(jobs)
    assert (outcomes.count("success"), outcomes.count("error")) == (answers, len(outcomes) - answers)
    assert errors.count(" failed\nTraceback") == outcomes.count("error")
    assert {call["app.feature"] for call in books.calls()} == {"summaries"}
    assert len({(call["app.request.id"], call["user.hash"]) for call in books.calls()}) == len(outcomes)


def test_a_web_services_calls_are_attributed_to_their_requests_even_when_the_reader_goes_away(
    examples: Examples, books: Books
) -> None:
    endless = {"text": "word " * 20_000 + "."}
    with examples.service() as url, httpx.Client(base_url=url, timeout=30) as client:
        for user in ("alice", "bob"):
            sender = {"X-User": user, "Cookie": f"session=s-{user}"}
            assert client.post("/answers", json=QUESTION, headers=sender).json()["answer"]
            assert client.post("/answers/stream", json=QUESTION, headers=sender).text
        with client.stream("POST", "/answers/stream", json=endless, headers={"X-User": "carol"}) as answer:
            next(answer.iter_text())
        assert eventually(lambda: books.counted("unfinished") == 1)
    assert {call["app.feature"] for call in books.calls()} == {"answers"}
    calls = {(call["app.endpoint"], call.get("session.id")): call for call in books.calls()}
    assert len(books.calls()) == books.counted("calls") == 5
    abandoned = calls.pop(("/answers/stream", None))
    assert abandoned[signals.OUTCOME.name] == "cancelled"
    assert calls.keys() == set(itertools.product(("/answers", "/answers/stream"), ("s-alice", "s-bob")))
    assert {call[signals.OUTCOME.name] for call in calls.values()} == {"success"}
    assert len({call["user.hash"] for call in books.calls()}) == 3
    requests = {span.trace_id: span.name for span in books.capture.spans if not span.parent_span_id}
    assert all(requests[call["trace"]] == f"POST {endpoint}" for (endpoint, _), call in calls.items())


@pytest.mark.parametrize("programs", ["openai_client"], indirect=True)
def test_a_stream_is_the_same_in_every_store(stack: Settings, programs: Path, provider: str, books: Books) -> None:
    began = datetime.now(UTC)
    Examples(programs, provider=provider, endpoint=stack.otlp_http_url).run("streaming")
    cost = pytest.approx(books.cost)

    prometheus = Prometheus(stack.prometheus_url)
    calls = f'increase({signals.CALL_DURATION.prometheus}_count{{job="chat",app_feature="chat"}}[5m] anchored)'
    (counted,) = eventually(lambda: prometheus.query(calls))
    assert counted.value == books.counted("calls") == 1
    (spent,) = prometheus.query(f'increase({signals.CALL_COST.prometheus}{{job="chat"}}[5m] anchored)')
    assert spent.value == cost

    later = datetime.now(UTC) + timedelta(seconds=5)
    its_calls = Where("service.name", "=", "chat"), Where(signals.EVENT_NAME.name, "=", signals.CALL_EVENT)
    (line,) = eventually(lambda: list(log_store(stack).lines(*its_calls, start=began, end=later)))
    assert float(line.fields[signals.COST.name]) == cost
    (span,) = eventually(lambda: Jaeger(stack.jaeger_url).spans("chat", start=began, end=later))
    assert span.attributes[signals.COST.name] == cost
    assert span.trace_id == line.fields["trace_id"]
