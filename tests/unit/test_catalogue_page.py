"""The page of the catalogue: everything that the package emits, where it says."""

import re
from pathlib import Path

import pytest
from genai_observability import signals

from stack.catalogue_page import main, page


def row(name: str) -> list[str]:
    (line,) = re.findall(rf"^\| `{re.escape(name)}` \|.*\|$", page().partition("## Attributes")[2], re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_metric_and_every_attribute_has_a_row_of_whole_cells() -> None:
    metrics, _, attributes = page().partition("## Attributes and log fields")
    for metric in signals.emitted("old", "new"):
        assert metrics.count(f"| `{metric.name}` | `{metric.prometheus}` | {metric.kind} | {metric.unit} |") == 1
        assert metric.meaning in metrics
    assert re.findall(r"^\| `([^`]+)`", attributes, re.MULTILINE) == [each.name for each in signals.attributes()]
    for table in re.findall(r"(?:^\|.*\|\n)+", page(), re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_users_are_on_spans_and_in_the_logs_and_features_on_metrics_too() -> None:
    assert row("user.hash")[3:5] == ["no", "span, step, log, score, finding, flag"]
    assert row("app.feature")[3:5] == ["yes", "span, step, log, score, finding, flag, metric"]
    assert row("genai_observability.duration")[4] == "log"
    assert row("gen_ai.token.type")[4] == "metric"


def test_nothing_unbounded_is_on_a_metric_and_everything_is_on_something() -> None:
    for attribute in signals.attributes():
        bounded, carriers = row(attribute.name)[3:5]
        assert carriers
        assert bounded == "yes" or "metric" not in carriers


def test_a_stale_page_is_named_with_what_to_run_and_is_not_changed_by_a_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "catalogue.md"
    path.write_text("old")
    assert main(["--check", "--output", str(path)]) == 1
    assert capsys.readouterr().err == f"{path} is not up to date: run `make generate`.\n"
    assert path.read_text() == "old"
    assert main(["--output", str(path)]) == 0
    assert main(["--check", "--output", str(path)]) == 0
    assert path.read_text() == page()
