"""The file of thresholds: a fault in it is named by line and key."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from genai_observability.signals import CALL_DURATION

from stack.rules.__main__ import main
from stack.thresholds import FILE, Thresholds, ThresholdsError, UserLimits

TEXT = FILE.read_text()
UNREACHABLE = f"latency_of.{{}}.above must be below {CALL_DURATION.buckets[-1]:.15g} s: longer times are not told apart"


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def error(tmp_path: Path, text: str) -> str:
    path = tmp_path / "thresholds.yaml"
    path.write_text(text)
    with pytest.raises(ThresholdsError) as raised:
        Thresholds.load(path)
    return str(raised.value).replace(str(path), "FILE")


def test_the_shipped_values_are_those_of_the_requirements() -> None:
    thresholds = Thresholds.load()
    assert (thresholds.error_ratio.warning.above, thresholds.error_ratio.warning.for_) == (0.02, "15m")
    assert (thresholds.error_ratio.critical.above, thresholds.error_ratio.critical.for_) == (0.05, "5m")
    assert (thresholds.latency.p95.warning.above, thresholds.latency.p95.warning.for_) == (5, "15m")
    assert (thresholds.latency.p50.warning.above, thresholds.latency.p50.critical.above) == (2, 5)
    assert thresholds.latency.p99.critical.above == 10
    assert (thresholds.latency.p95.critical.above, thresholds.latency.p95.critical.for_) == (8, "10m")
    assert (thresholds.rate_limited.warning.above, thresholds.rate_limited.critical.above) == (0.01, 0.05)
    assert thresholds.provider_down.within_minute == 0.5
    assert (thresholds.quota.warning.above, thresholds.quota.critical.above) == (0.8, 0.95)
    assert thresholds.token_spike.warning.above == 1.5
    assert thresholds.hourly_tokens.info.above == 1_000_000
    assert (thresholds.daily_cost.warning.above, thresholds.daily_cost.critical.above) == (50, 100)
    assert (thresholds.daily_budget.warning.above, thresholds.daily_budget.critical.above) == (0.8, 0.95)
    assert (thresholds.budget_rate.warning.above, thresholds.budget_rate.critical.above) == (1.2, 1.5)
    assert (thresholds.cost_spike.warning.above, thresholds.cost_spike.critical.above) == (1.5, 2)
    assert thresholds.cost_surge.critical.above == 10
    assert thresholds.expensive_request.warning.above == 0.1
    assert thresholds.user_limits == UserLimits(usd_a_day=5, requests_a_minute=60, tokens_an_hour=100_000)
    assert (thresholds.hourly_cost.warning.above, thresholds.hourly_cost.critical.above) == (50, 100)
    assert (thresholds.escalation.first, thresholds.escalation.second) == ("15m", "30m")


def test_every_key_is_explained_above_it() -> None:
    lines = TEXT.splitlines()
    for number, line in enumerate(lines):
        if line and not line.startswith((" ", "#")):
            assert lines[number - 1].startswith("#"), line


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("above: 50,", "above: fifty,", "hourly_cost.warning.above must be a number of 0 or more, but is 'fifty'"),
        ("above: 50,", "above: -1,", "hourly_cost.warning.above must be a number of 0 or more, but is '-1'"),
        ("above: 50,", "above: .nan,", "hourly_cost.warning.above must be a number of 0 or more, but is '.nan'"),
        ("above: 50,", "above: [50],", "must be a number of 0 or more, but is a list or a group of keys"),
        ("above: 50,", "abov: 50,", "hourly_cost.warning.abov is unknown; known here: above, for"),
        ("above: 50,", "", "hourly_cost.warning.above is missing"),
        ("budgets: {}", "budgets: {shop: {}}", "budgets.shop needs a month, a day or both"),
        ("budgets: {}", "budgets: {shop: {month: 0}}", "budgets.shop.month must be more than 0"),
        ("budgets: {}", "budgets: {shop: {week: 9}}", "budgets.shop.week is unknown; known here: month, day"),
        ("budgets: {}", "budgets: {'a\"b': {day: 9}}", "must be a name of letters, digits"),
        ("above: 0.80, for: 0s", "above: 0.96, for: 0s", "daily_budget must warn below the value that is critical"),
        ("info: {above: 0.2, for: 30m}", "info: {above: 0.6, for: 30m}", "must be for the record below the value that"),
        ("above: 50,", "above: 200,", "hourly_cost must warn below the value that is critical"),
        ("above: 0.10,", "above: 10,", "error_burst.critical.above is a share and must be below 1 (5 % is 0.05)"),
        (
            "for: 20s",
            "for: 20 sec",
            'for must be a duration such as "15s", "10m" or "1h", up to "168h", but is \'20 sec\'',
        ),
        ("for: 20s", "for: 20s\n  for: 30s", "server_down.for is given twice"),
        (
            "for: 20s",
            "for: 9999h",
            'for must be a duration such as "15s", "10m" or "1h", up to "168h", but is \'9999h\'',
        ),
        ("usd_a_day: 5", "usd_a_day: 0", "user_limits.usd_a_day must be more than 0"),
        (
            "critical: {above: 100, for: 10m}}",
            "critical: {above: 120, for: 10m}}",
            UNREACHABLE.format("media.p95.critical"),
        ),
        (
            "critical: {above: 100, for: 10m}}",
            "critical: {above: 900, for: 10m}}",
            UNREACHABLE.format("media.p95.critical"),
        ),
        ("min_calls: 20", "min_calls: 0", "latency.min_calls must be a whole number of 1 or more, but is '0'"),
        ("min_calls: 20", "min_calls: 2.5", "latency.min_calls must be a whole number of 1 or more, but is '2.5'"),
        ("p50: {warning: {above: 2,", "p50: {warning: {above: 6,", "latency.p50 must warn below the value"),
        (
            "  media:",
            "  interactive:",
            "latency_of must not have a group named interactive: that is what `latency` is for",
        ),
        (
            "operations: [image_generation, speech, transcription, translation]",
            "operations: []",
            "latency_of.media must say which services, features or operations it is for",
        ),
        (
            "operations: [image_generation,",
            "operations: ['.*',",
            "latency_of.media.operations must be a name of letters",
        ),
        (
            "above: 1.5,",
            "above: 0.5,",
            "token_spike.warning.above is a multiple of the usual tokens and must be 1 or more",
        ),
        (
            "info: {above: 1000000,",
            "info: {above: 30000000,",
            "hourly_tokens must inform below the value that is a warning",
        ),
        ("at_once: 0.80", "at_once: 80", "provider_down.at_once is a share and must be below 1"),
        (
            "owner: platform",
            "owner: ''",
            "owner must be a name of letters, digits, blanks, dots, dashes and underscores",
        ),
        ("owner: platform", "owner: '{{ $value }}'", "but is '{{ $value }}'"),
        ("http://localhost:8093", "javascript:x", "links.inbox must be an http or https address"),
        ("first: 15m", "first: 1h", "escalation.second must be longer than the first, and that longer than 0s"),
        ("first: 15m", "first: 0s", "escalation.second must be longer than the first, and that longer than 0s"),
        ("warning: {above: 50, for: 0s}", "warning: 50", "hourly_cost.warning must have keys below it"),
    ],
)
def test_a_faulty_value_is_named_with_its_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    assert message in error(tmp_path, TEXT.replace(old, new, 1))


def test_a_faulty_value_is_named_with_its_line(tmp_path: Path) -> None:
    text = TEXT.replace("above: 50,", "above: fifty,")
    assert error(tmp_path, text).startswith(f"FILE, line {line_of(text, 'fifty')}: ")


def test_an_unknown_subject_is_named_with_its_line(tmp_path: Path) -> None:
    text = TEXT + "speed:\n  above: 1\n"
    assert error(tmp_path, text).startswith(
        f"FILE, line {line_of(text, 'speed:')}: speed is unknown; known here: owner, "
    )


def test_broken_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    text = TEXT.replace("owner: platform", "owner: 'platform")
    assert error(tmp_path, text).startswith("FILE, line ")
    assert error(tmp_path, "owner: [\n").startswith("FILE, line 2: not valid YAML: ")


@pytest.mark.parametrize(
    ("text", "message"), [("", "FILE is empty."), ("- a\n", "FILE, line 1: the file must have keys below it.")]
)
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert error(tmp_path, text) == message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsError, match=r"missing\.yaml cannot be read"):
        Thresholds.load(tmp_path / "missing.yaml")


def test_nothing_is_written_with_faulty_thresholds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = tmp_path / "thresholds.yaml"
    faulty.write_text(TEXT.replace("for: 20s", "for: soon"))
    rules = tmp_path / "rules"
    assert main(["--thresholds", str(faulty), "--directory", str(rules)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not rules.exists()


NAMED = re.compile(
    r"`([\w.]+)`(?: \([^)]*\))? (?:in|into) \[?`?stack/thresholds\.yaml|`([\w.]+)` in\s`stack/thresholds\.yaml"
)


def test_every_key_that_the_guides_name_is_in_the_file() -> None:
    pages = [path.read_text() for path in (FILE.parents[1] / "docs").rglob("*.md")]
    named = {one or other for page in pages for one, other in NAMED.findall(page)}
    assert len(named) > 10
    assert {key for key in named if not has(yaml.safe_load(TEXT), key)} == set()


def has(values: Any, key: str) -> bool:
    first, _, rest = key.partition(".")
    return isinstance(values, dict) and first in values and (not rest or has(values[first], rest))
