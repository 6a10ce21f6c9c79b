"""The rules in the new names of metrics do what those in the old names do: their tests, with the series renamed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from genai_observability import signals

from stack.replay.rules import names_in, needed
from stack.rules.__main__ import main
from stack.vocabulary import stored, translated
from tests.configuration.test_rules import TEST_FILES, promtool
from tests.vocabulary import new_names

_RENAMED = {
    metric.series(part): (metric, part)
    for metric in (signals.CALL_DURATION, signals.CALL_TOKENS, signals.CALL_TOKENS_DETAIL)
    for part in metric.parts
}
_CONCERNED = [file for file in TEST_FILES if set(_RENAMED) & names_in(file.read_text())]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the rules, generated in the new names, which are the chosen ones meanwhile."""
    folder = tmp_path_factory.mktemp("rules")
    with new_names():
        assert main(["--directory", str(folder)]) == 0
        yield folder


_SERIES = re.compile(rf"({'|'.join(_RENAMED)})(?:{{([^}}]*)}})?(?=[ ']|$)")


def renamed(series: re.Match[str]) -> str:
    """A series of a test, as an application with the new names would have it."""
    metric, part = _RENAMED[series[1]]
    labels = stored(metric, dict(re.findall(r'(\w+)="([^"]*)"', series[2] or "")), part)
    name = labels.pop("__name__")
    selected = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{selected}}}"


def test_promtool_finds_nothing_to_complain_about(rules: Path) -> None:
    result = promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(rules.glob("*.yaml")))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in _CONCERNED])
def test_the_rules_behave_as_with_the_old_names(file: Path, rules: Path, tmp_path: Path) -> None:
    lines = file.read_text().splitlines()
    text = "\n".join(_SERIES.sub(renamed, line) if "series:" in line else translated(line) for line in lines)
    assert not set(_RENAMED) & names_in(text)
    copied = [rules / Path(name).name for name in yaml.safe_load(text)["rule_files"]]
    copies = [str(path) for path in needed(copied, tmp_path, also=names_in(text))]
    copy = tmp_path / "tests" / file.name
    copy.parent.mkdir()
    copy.write_text(
        re.sub(r"^rule_files: .*$", lambda _: f"rule_files: {json.dumps(copies)}", text, flags=re.MULTILINE)
    )
    result = promtool("test", "rules", copy)
    assert result.returncode == 0, result.stdout + result.stderr
