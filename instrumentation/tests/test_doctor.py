"""The doctor names what is wrong and how to right it, and says so with its exit code."""

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from genai_observability._commands.doctor import doctor

from instrumentation.tests.otlp_capture import Capture
from instrumentation.tests.programs import COMMAND, Run
from tests.serving import free_port, serving


@pytest.fixture
def guarded_collector() -> Iterator[str]:
    """Takes what comes with the header that it asks for, as long as that is empty."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            self.rfile.read(length)
            self.send_response((400 if length else 200) if self.headers["x-key"] == "secret" else 401)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_where_all_is_well_it_says_so(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", capture.url)
    assert doctor() == 0
    report = capsys.readouterr().out
    assert "WRONG" not in report
    assert "its calls are recorded" in report
    assert set(capture.bodies) == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert capture.everything == b""


def test_a_collector_that_does_not_answer_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    assert doctor() == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert len(wrong) == 3
    assert all("does not answer" in line and "Connection refused" in line for line in wrong)


def test_a_wrong_address_and_a_switch_that_is_off_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert doctor() == 1
    report = capsys.readouterr().out
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4318 is no address" in report
    assert "OTEL_SDK_DISABLED=true; unset it" in report


def test_telemetry_that_is_not_to_be_sent_is_not_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    assert doctor() == 0
    assert capsys.readouterr().out.count("not sent") == 3


def test_a_name_that_the_client_no_longer_has_is_told_with_what_is_not_recorded(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", capture.url)
    monkeypatch.delattr("openai._base_client.BaseClient._should_retry")
    assert doctor() == 1
    assert "not recorded: which attempts were refused" in capsys.readouterr().out


def test_content_that_is_not_recorded_as_asked_is_wrong_with_what_to_install(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", capture.url)
    monkeypatch.setenv("GENAI_OBSERVABILITY_CONTENT", "preview")
    monkeypatch.setenv("GENAI_OBSERVABILITY_REDACT", "ORD-[0-9]+")
    assert doctor() == 0
    monkeypatch.setitem(sys.modules, "re2", None)
    assert doctor() == 1
    (wrong,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert "content" in wrong
    assert "pip install 'genai-observability[redaction]'" in wrong


def test_content_that_no_span_could_carry_is_not_said_to_be_recorded(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", capture.url)
    monkeypatch.setenv("GENAI_OBSERVABILITY_CONTENT", "preview")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert doctor() == 1
    assert "not recorded: it is part of the spans, and OTEL_TRACES_EXPORTER=none" in capsys.readouterr().out


def test_a_collector_that_asks_for_a_header_is_given_the_configured_one(
    guarded_collector: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", guarded_collector)
    assert doctor() == 1
    assert "HTTP 401: set OTEL_EXPORTER_OTLP_HEADERS as it asks for" in capsys.readouterr().out
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
    assert doctor() == 0


def test_a_test_call_that_the_collector_does_not_take_is_not_looked_for(run: Run, guarded_collector: str) -> None:
    key = {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=secret", "OTEL_EXPORTER_OTLP_ENDPOINT": guarded_collector}
    done = run(COMMAND, "doctor", "--check", **key)
    assert (done.returncode, done.stderr) == (1, "")
    last = done.stdout.splitlines()[-1]
    assert last.startswith("WRONG  test call           the Collector did not take it: ")
    assert "400" in last


def test_no_test_call_is_sent_where_it_could_not_arrive(run: Run) -> None:
    done = run(COMMAND, "doctor", "--check", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stderr) == (1, "")
    last = done.stdout.splitlines()[-1]
    assert last == "WRONG  test call           not sent: right what is WRONG above first"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--check", "--logs", "localhost:3100"], "localhost:3100 is no address such as http://localhost:9090"),
        (["--logs", "http://localhost:3100"], "the addresses of stores are for --check"),
    ],
)
def test_options_that_cannot_be_used_are_refused_in_a_sentence(run: Run, options: list[str], sentence: str) -> None:
    done = run(COMMAND, "doctor", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
