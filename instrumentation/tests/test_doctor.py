"""The doctor names what is wrong and how to right it, and says so with its exit code."""

import sys

import pytest
from genai_observability._doctor import doctor

from instrumentation.tests.otlp_capture import Capture, free_port


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


def test_a_missing_wrapper_is_named_with_what_to_install(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", capture.url)
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.genai.openai", None)
    assert doctor() == 1
    assert "pip install 'genai-observability[openai]'" in capsys.readouterr().out
