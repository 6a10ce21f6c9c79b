"""``make clients`` says of each client what the provider and the telemetry say, and no more."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from instrumentation.clients import __main__ as command
from instrumentation.clients.checking import Checked, check
from instrumentation.clients.clients import CLIENTS, Client

ROOT = Path(__file__).parents[2]
KNOWN = Client(packages=("openai",), program="instrumentation.tests.clients.known")


def checked(**environment: str) -> Checked:
    return check(replace(KNOWN, environment=environment), Path(sys.executable))


def test_calls_that_are_recorded_exactly_once_have_no_differences() -> None:
    assert checked() == Checked(made=2, recorded=2, differences=[], warnings=[])


def test_calls_that_are_not_recorded_are_named_and_missed_in_every_place() -> None:
    found = checked(OTEL_SDK_DISABLED="true")
    assert (found.made, found.recorded) == (2, 0)
    calls, streamed, *sums = found.differences
    assert calls == "plain: 1 made, 0 in call records, 0 in spans"
    assert streamed == "streamed: 1 made, 0 in call records, 0 in spans"
    assert [line.partition(":")[0] for line in sums] == ["calls", "input tokens", "output tokens", "cost"]
    assert all(line.endswith(" made, 0 in call records, 0 in spans, 0 in metrics") for line in sums)


def test_what_another_instrumentation_adds_to_a_metric_is_a_difference() -> None:
    found = checked(SPOILED="twice")
    assert found.recorded == 2
    assert found.differences == ["calls: 2 made, 2 in call records, 2 in spans, 3 in metrics"]


def test_a_call_that_fails_is_named_and_the_others_are_counted() -> None:
    found = checked(SPOILED="raises")
    assert (found.made, found.recorded) == (2, 2)
    assert found.differences == [
        "failing failed: LookupError: no such model",
        "failing: 1 made, 0 in call records, 0 in spans",
        "2 calls arrived at the provider, 3 are known",
    ]


def test_a_call_that_is_not_known_is_found() -> None:
    assert checked(SPOILED="unknown").differences == [
        "None: 0 made, 1 in call records, 1 in spans",
        "3 calls arrived at the provider, 2 are known",
    ]


def test_a_program_that_makes_no_call_is_no_success() -> None:
    found = check(replace(KNOWN, program="this"), Path(sys.executable))
    assert found.differences == ["its program made no call"]


def test_a_program_that_cannot_start_says_why() -> None:
    found = check(replace(KNOWN, program="nowhere"), Path(sys.executable))
    assert found.differences[0].endswith("No module named nowhere")


def test_what_cannot_be_installed_is_one_sentence_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENAI_STACK_DIR", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setattr(sys, "argv", ["clients", "--only", "openai"])
    assert command.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[-2:] for line in said if "not installed" in line] == [["not", "installed"]]
    assert said[-1].startswith("openai: its packages cannot be installed: ")
    assert sum(line.startswith("openai: its packages") for line in said) == 1


def test_a_wrong_name_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["clients", "--only", "nope"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert "invalid choice: 'nope' (choose from" in capsys.readouterr().err


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_every_client_is_in_the_guide_with_what_pip_installs(client: Client) -> None:
    guide = (ROOT / "docs" / "clients.md").read_text()
    assert all(f"`{package}`" in guide for package in client.packages)
