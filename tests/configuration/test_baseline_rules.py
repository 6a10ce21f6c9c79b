"""Baselines, drift and quality: the limits that a user changes reach the rules, and faulty ones are refused."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from genai_observability._record.scores import FEEDBACK

from stack.reader import Name
from stack.rules.__main__ import render
from stack.rules.quality import FROM_USERS
from stack.thresholds import FILE, RiskLimits, ScoreLimits, Thresholds, ThresholdsError

TEXT = FILE.read_text()


def rules(thresholds: Thresholds, subject: str, alert: str) -> dict[str, str]:
    """The expressions of an alert by their severity."""
    return {
        rule["labels"]["severity"]: rule["expr"]
        for group in yaml.safe_load(render(thresholds)[f"{subject}.yaml"])["groups"]
        for rule in group["rules"]
        if rule.get("alert") == alert
    }


def test_the_shipped_values_are_those_of_the_requirements() -> None:
    thresholds = Thresholds.load()
    quality, feedback, unusual = thresholds.quality, thresholds.feedback, thresholds.unusual
    assert (quality.other.warning, quality.other.critical) == (0.7, 0.5)
    assert (quality.drop.warning, quality.drop.critical) == (0.1, 0.2)
    assert quality.scores[Name("similarity")].warning == 0.8
    assert quality.scores[Name("consistency")].warning == 0.7
    assert (feedback.thumbs_down, feedback.satisfaction, feedback.worse) == (0.2, 0.7, 0.1)
    assert (unusual.latency.times, unusual.spend.times) == (2, 3)
    assert (unusual.z, quality.drop.z, thresholds.drift.z) == (3, 3, 2)


def test_an_evaluation_can_have_limits_of_its_own() -> None:
    default = Thresholds.load()
    quality = replace(default.quality, scores={Name("on.topic"): ScoreLimits(warning=0.9, critical=0.85)})
    low = rules(replace(default, quality=quality), "quality", "GenAIQualityLow")
    assert '{gen_ai_evaluation_name="on.topic"} < 0.9\n' in low["warning"]
    assert '{gen_ai_evaluation_name="on.topic"} < 0.85\n' in low["critical"]
    [others] = re.findall(r'!~"(.*)"} < 0\.7', low["warning"])
    assert re.fullmatch(others, "on.topic")
    assert not re.fullmatch(others, "on-topic")


def test_limits_without_a_critical_one_only_warn() -> None:
    default = Thresholds.load()
    quality = replace(default.quality, risks={Name("bias"): RiskLimits(warning=0.2)})
    assert list(rules(replace(default, quality=quality), "quality", "GenAIHallucinationRisk")) == ["warning"]


def test_without_any_risk_there_is_no_alert_on_risks() -> None:
    default = Thresholds.load()
    quality = replace(default.quality, risks={})
    assert not rules(replace(default, quality=quality), "quality", "GenAIHallucinationRisk")


def test_what_users_say_is_left_out_of_the_scores_under_the_name_that_it_is_recorded_with() -> None:
    assert FROM_USERS == FEEDBACK
    assert f'!~"{FEEDBACK}|' in rules(Thresholds.load(), "quality", "GenAIQualityLow")["warning"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("min_days: 4", "min_days: 8", "learning.min_days counts among the last 7 days and must be 7 or less"),
        ("times: 2,", "times: 1,", "unusual.latency.times must be more than 1, which is the usual value"),
        ("least_share: 0.01", "least_share: 0", "unusual.errors.least_share must be above 0"),
        ("thumbs_down: 0.2", "thumbs_down: 20", "feedback.thumbs_down must be above 0 and below 1 (5 % is 0.05)"),
        ("length: 0.25", "length: 25", "drift.length must be above 0 and below 1"),
        ("share: 0.3", "share: 30", "change.share must be above 0 and below 1"),
        ("other: {warning: 0.7,", "other: {warning: 0.4,", "quality.other must warn above the score that is critical"),
        (
            "hallucination: {warning: 0.1,",
            "hallucination: {warning: 0.4,",
            "quality.risks.hallucination must warn below the score that is critical",
        ),
        ("drop: {warning: 0.1,", "drop: {warning: 0.3,", "quality.drop must warn below the value that is critical"),
        ("    toxicity:", "    similarity:", "quality.risks lists similarity, which is among the scores too"),
    ],
)
def test_a_faulty_value_is_named_with_its_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    path = tmp_path / "thresholds.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ThresholdsError, match=re.escape(message)):
        Thresholds.load(path)
