"""The comparison of ``make bench`` compares like with like, and says what it could not measure."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from instrumentation.benchmarks import __main__ as benchmark
from instrumentation.benchmarks import environments, instructions
from instrumentation.benchmarks.comparison import Comparison
from instrumentation.benchmarks.environments import ROOT
from instrumentation.benchmarks.instructions import Counts
from instrumentation.benchmarks.processes import Worker, WorkerError, require_recording
from instrumentation.benchmarks.variants import BY_NAME, CALLS, VARIANTS, Variant, chosen

BENCHMARKS = ROOT / "instrumentation" / "benchmarks"
OURS = BY_NAME["ours"]
FOUND = {"network": [], "calls": 60, "spans": 60, "content": False}


def pins(name: str) -> dict[str, str]:
    """The versions that an environment is made of, those shared with the project included."""
    text = (BENCHMARKS / "requirements" / f"{name}.txt").read_text()
    if "constraints.txt" in text:
        text += (ROOT / "constraints.txt").read_text()
    return {package.lower(): version for package, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_is_held_against_the_same_version_of_openai(variant: Variant) -> None:
    assert (BENCHMARKS / "setups" / f"{variant.setup}.py").exists()
    assert pins(variant.environment)["openai"] == pins(BY_NAME[variant.baseline].environment)["openai"]


def test_every_line_of_requirements_is_pinned() -> None:
    for path in (BENCHMARKS / "requirements").glob("*.txt"):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        shared = "-c ../../../constraints.txt" in lines
        assert shared or all("==" in line for line in lines), path.name


@pytest.mark.parametrize("name", ["ours", "ours-application"])
def test_a_worker_finds_that_ours_records_every_call_without_content(name: str) -> None:
    worker = Worker(BY_NAME[name], Path(sys.executable))
    found, turn = worker.check(), worker.run("streamed", 0.1)
    worker.repeat("plain", 3)
    worker.end()
    assert found["spans"] == found["logs"] == found["calls"] > 0
    assert found["content"] is False
    assert turn["spans"] == 1
    assert 0 < turn["latency"] <= turn["p99"]
    assert turn["cpu"] > 0


def test_instructions_are_told_apart_by_thread_and_dump(tmp_path: Path) -> None:
    for name, number in (("1-01", 900), ("1-02", 30), ("1-13", 4), ("2-01", 500)):
        (tmp_path / f"counts.{name}").write_text(f"# callgrind format\nsummary: {number}\ntotals: {number}\n")
    (tmp_path / "counts").touch()  # it writes this one too, and leaves it empty
    assert instructions.counted(tmp_path) == {1: Counts(900, 34), 2: Counts(500, 0)}


def test_what_a_call_adds_is_shown_as_a_share_of_what_upstream_adds(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"none": Counts(5e6, 0), "upstream": Counts(7e6, 1e5), "ours": Counts(6e6, 8e5)}
    instructions.show({name: dict.fromkeys(CALLS, each) for name, each in counts.items()})
    none, _, ours = capsys.readouterr().out.splitlines()[-3:]
    assert none.split()[2:] == ["5.00", "0.00", "5.00", "0.00"]
    assert ours.split()[-6:] == ["1.00", "0.50", "0.80"] * 2


def test_without_valgrind_its_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"no valgrind; Debian has it in the package valgrind\.$"):
        instructions.main()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"spans": 59}, "59 spans of 60 calls"),
        ({"content": True}, "content"),
        ({"network": ["example.com"]}, "connect to example.com"),
    ],
)
def test_a_variant_that_records_too_little_or_too_much_is_refused(found: dict[str, object], said: str) -> None:
    require_recording(OURS, FOUND)
    with pytest.raises(WorkerError, match=said):
        require_recording(OURS, FOUND | found)


def test_a_worker_that_cannot_start_says_why() -> None:
    with pytest.raises(WorkerError, match="No module named 'nowhere'"):
        Worker(replace(OURS, module="nowhere"), Path(sys.executable))


def test_what_cannot_be_installed_is_named_and_so_is_what_is_held_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none.txt").write_text("./nowhere\n")
    monkeypatch.setattr(environments, "_REQUIREMENTS", tmp_path)
    (tmp_path / "openlit.txt").write_text("./nowhere\n")
    comparison = Comparison(chosen(["openlit", "none"]), tmp_path / "environments")
    comparison.run(1, 0.1)
    assert comparison.results() == {}
    assert [variant.name for variant in comparison.failures] == ["none", "none-openlit", "openlit"]
    assert all("cannot be installed" in reason and "nowhere" in reason for reason in comparison.failures.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--variants", "nope"], "There is no variant 'nope'; there are: none, upstream"),
        (["--seconds", "0"], "--seconds between 0.1 and 60"),
        (["--rounds", "0"], "--rounds must be at least 1"),
    ],
)
def test_a_wrong_flag_is_one_sentence(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
