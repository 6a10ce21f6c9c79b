"""The file of objectives: a fault in it is named by line and key, and what it says is what the rules count."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from genai_observability.signals import CALL_DURATION, CALL_TIME_TO_FIRST_TOKEN, Metric
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from stack.clients.prometheus import Prometheus
from stack.native import down, up
from stack.rules.__main__ import main
from stack.rules.promql import at_most
from stack.settings import Settings
from stack.slos import FILE, METRICS, Slos, SlosError
from tests.stores import settings_at

SETTINGS = Settings.load()
TEXT = FILE.read_text(encoding="utf-8")
GUIDE = SETTINGS.root / "docs" / "slos.md"
EXAMPLE = re.findall(r"^```yaml\n(slos:.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[0]


def load(tmp_path: Path, text: str) -> Slos:
    path = tmp_path / "slos.yaml"
    path.write_text(text, encoding="utf-8")
    return Slos.load(path)


def rules(tmp_path: Path, text: str) -> Path:
    """The rules that `make generate` would write with these objectives."""
    (tmp_path / "slos.yaml").write_text(text, encoding="utf-8")
    assert main(["--slos", str(tmp_path / "slos.yaml"), "--directory", str(tmp_path / "rules")]) == 0
    result = promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / "rules" / "slo.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    return tmp_path / "rules"


def alerts(directory: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((directory / "slo.yaml").read_text())["groups"] or []
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [SETTINGS.binaries / "promtool", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def expect(directory: Path, series: dict[str, str], *expected: tuple[str, str, dict[str, float]]) -> None:
    """Run the rules over series of a sample a minute; each expectation is a time, a query and its results by labels."""
    test = {
        "rule_files": [str(directory / name) for name in ("calls.yaml", "errors.yaml", "latency.yaml", "slo.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": time,
                        "exp_samples": [{"labels": labels, "value": value} for labels, value in results.items()],
                    }
                    for time, query, results in expected
                ],
            }
        ],
    }
    path = directory / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    result = promtool("test", "rules", path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack of which Prometheus alone runs."""
    settings = settings_at(tmp_path_factory.mktemp("stack"))
    try:
        up(settings, only={"prometheus"})
        yield settings
    finally:
        down(settings)


@contextmanager
def meter(settings: Settings) -> Iterator[Meter]:
    """A meter whose metrics are in Prometheus when it is left."""
    exporter = OTLPMetricExporter(f"{settings.prometheus_url}/api/v1/otlp/v1/metrics")
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)])
    yield provider.get_meter("test")
    provider.shutdown()


# --- The file --------------------------------------------------------------------------------------------------------


def test_the_shipped_objectives_are_of_every_kind_and_hold_for_all_services() -> None:
    slos = Slos.load().slos.values()
    assert [slo.kind for slo in slos] == ["availability", "latency", "time_to_first_token", "quality"]
    assert {slo.service for slo in slos} == {"all"}


ONE = "slos:\n  x: {kind: latency, objective: 95%, service: all, within: 5, min_events: 100}\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: latency", "kind: speed", "x.kind must be one of availability, latency, time_to_first_token, quality,"),
        ("95%", "100%", "must be a percentage above 0 % and below 100 %, such as 99.5%, but is '100%'"),
        ("95%", "0%", "slos.x.objective must be a percentage above 0 % and below 100 %"),
        ("95%", "-5%", "slos.x.objective must be a percentage above 0 % and below 100 %"),
        ("95%", "100.5%", "slos.x.objective must be a percentage above 0 % and below 100 %"),
        ("95%", "0.95", "must be a percentage above 0 % and below 100 %, such as 99.5%, but is '0.95'"),
        ("95%", "[95%]", "slos.x.objective must be a percentage above 0 % and below 100 %"),
        ("within: 5", "within: 4", f"x.within must be a boundary of a bucket of {CALL_DURATION.prometheus}, as"),
        ("within: 5", "within: 4", "is 4; there are 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 10, 15, 30, 60, "),
        ("within: 5", "within: soon", "slos.x.within must be a number, but is 'soon'"),
        ("within: 5, ", "", "slos.x.within is missing: latency needs it"),
        ("within: 5", "within: 5, above: 0.5", "slos.x.above is no part of latency"),
        ("within: 5", "within: 5, evaluation: a", "slos.x.evaluation is no part of latency"),
        ("within: 5", "within: 5, window: 7d", "slos.x.window is unknown; known here: kind, objective, service,"),
        ("within: 5", "within: 5, feature: a, operation: chat", "slos.x.operation cannot be combined with a feature"),
        ("latency,", "time_to_first_token, operation: chat,", "slos.x.operation is no part of time_to_first_token"),
        ("latency, objective: 95%, service: all, within: 5", "quality, objective: 95%, service: all, above: 0.5",
         "slos.x.evaluation is missing: quality needs it"),
        ("latency, objective: 95%, service: all, within: 5",
         "quality, objective: 95%, service: all, evaluation: a, above: 1", "but is 1; there are 0, 0.1, "),
        ("service: all", "service: 'a\"}'", "slos.x.service must be \"all\" or a name; also several"),
        ("service: all", "service: '(a'", "slos.x.service must be \"all\" or a name"),
        ("service: all, ", "", "slos.x.service is missing"),
        ("min_events: 100", "min_events: 0", "slos.x.min_events must be a whole number of 1 or more, but is '0'"),
        ("  x:", "  The shop:", "must be a name of small letters, digits and underscores, but is 'The shop'"),
        ("slos:", "slo:", "slo is unknown; known here: slos"),
    ],
)  # fmt: skip
def test_a_faulty_value_is_named_with_its_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in ONE
    with pytest.raises(SlosError) as raised:
        load(tmp_path, ONE.replace(old, new, 1))
    line = 1 if old == "slos:" else 2
    assert str(raised.value).startswith(f"{tmp_path}/slos.yaml, line {line}: ")
    assert message in str(raised.value)


def test_a_name_that_is_given_twice_is_refused_with_the_second_line(tmp_path: Path) -> None:
    with pytest.raises(SlosError, match=r"line 3: slos\.x is given twice\."):
        load(tmp_path, ONE + ONE.splitlines()[1] + "\n")


def test_nothing_is_written_with_faulty_objectives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "slos.yaml").write_text(ONE.replace("95%", "100%"))
    assert main(["--slos", str(tmp_path / "slos.yaml"), "--directory", str(tmp_path / "rules")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "rules").exists()


# --- What it makes of the rules --------------------------------------------------------------------------------------


def test_without_objectives_there_are_no_rules_for_them(tmp_path: Path) -> None:
    assert alerts(rules(tmp_path, "slos: {}\n")) == []


@pytest.mark.parametrize(
    ("objective", "factors"),
    [("99.9%", {"14.4", "6", "3", "1"}), ("93%", {"6", "3", "1"}), ("83%", {"3", "1"}), ("60%", {"1"})],
)
def test_a_speed_that_no_share_can_reach_has_no_rule(tmp_path: Path, objective: str, factors: set[str]) -> None:
    found = alerts(rules(tmp_path, ONE.replace("95%", objective)))
    assert {factor for alert in found for factor in re.findall(r"> ([\d.]+)", alert["expr"])} == factors


CALLS = CALL_DURATION.series("count")


def test_a_strict_objective_pages_where_another_alert_only_warns(tmp_path: Path) -> None:
    """4 % of errors: a warning of GenAIErrorRatioHigh, but 8 times the budget of 99.5 %."""
    expect(
        rules(tmp_path, "slos:\n  x: {kind: availability, objective: 99.5%, service: all, min_events: 1000}\n"),
        {
            f'{CALLS}{{job="shop",genai_observability_outcome="success"}}': "0+960x120",
            f'{CALLS}{{job="shop",genai_observability_outcome="error"}}': "0+40x120",
        },
        (
            "110m",
            'count by (alertname, severity) (ALERTS{alertstate="firing"})',
            {
                '{alertname="GenAIErrorRatioHigh",severity="warning"}': 1,
                '{alertname="GenAISLOBurn",severity="critical"}': 1,
            },
        ),
    )


def test_every_objective_of_the_guide_counts_what_the_guide_says(tmp_path: Path) -> None:
    buckets, streams = CALL_DURATION.series("bucket"), CALL_TIME_TO_FIRST_TOKEN.prometheus
    expect(
        rules(tmp_path, EXAMPLE),
        {
            # Of 1000 calls of the shop 10 fail and 500 are cancelled besides; another service is not promised.
            f'{CALLS}{{job="shop",app_feature="search",genai_observability_outcome="success"}}': "0+990x30",
            f'{CALLS}{{job="shop",app_feature="search",genai_observability_outcome="error"}}': "0+10x30",
            f'{CALLS}{{job="shop",app_feature="search",genai_observability_outcome="cancelled"}}': "0+500x30",
            f'{CALLS}{{job="shop-search",genai_observability_outcome="success"}}': "0+1000x30",
            f'{CALLS}{{job="shop-other",genai_observability_outcome="error"}}': "0+1000x30",
            # Of the feature search a tenth is slow, of mail a half; calls of no feature are not promised.
            f'{buckets}{{job="shop",app_feature="search",genai_observability_outcome="success",le="5"}}': "0+90x30",
            f'{buckets}{{job="shop",app_feature="search",genai_observability_outcome="success",le="+Inf"}}': "0+100x30",
            f'{buckets}{{job="shop",app_feature="mail",genai_observability_outcome="success",le="5"}}': "0+50x30",
            f'{buckets}{{job="shop",app_feature="mail",genai_observability_outcome="success",le="+Inf"}}': "0+100x30",
            f'{buckets}{{job="shop",genai_observability_outcome="success",le="5"}}': "0x30",
            f'{buckets}{{job="shop",genai_observability_outcome="success",le="+Inf"}}': "0+100x30",
            f'{streams}_bucket{{job="shop",app_feature="chat-widget",le="2"}}': "0+98x30",
            f'{streams}_count{{job="shop",app_feature="chat-widget"}}': "0+100x30",
            f'{streams}_bucket{{job="shop",app_feature="search",le="2"}}': "0x30",
            f'{streams}_count{{job="shop",app_feature="search"}}': "0+100x30",
            'gen_ai_evaluation_score_bucket{job="docs",gen_ai_evaluation_name="groundedness",le="0.8"}': "0+20x30",
            'gen_ai_evaluation_score_count{job="docs",gen_ai_evaluation_name="groundedness"}': "0+100x30",
        },
        (
            "20m",
            "round(job:genai_slo_errors:ratio5m, 0.001)",
            {
                '{job="shop",slo="shop_availability"}': 0.01,
                '{job="shop-search",slo="shop_availability"}': 0,
                '{job="shop",app_feature="search",slo="shop_latency"}': 0.1,
                '{job="shop",app_feature="mail",slo="shop_latency"}': 0.5,
                '{job="shop",app_feature="chat-widget",slo="widget_first_token"}': 0.02,
                '{job="docs",slo="grounded"}': 0.2,
            },
        ),
        (
            "20m",
            'round(job:genai_slo_burn_rate:ratio5m{slo=~"shop_availability|grounded"}, 0.001)',
            {
                '{job="shop",slo="shop_availability"}': 2,
                '{job="shop-search",slo="shop_availability"}': 0,
                '{job="docs",slo="grounded"}': 2,
            },
        ),
    )


@pytest.mark.parametrize("metric", [pytest.param(metric, id=metric.name) for metric in dict.fromkeys(METRICS.values())])
def test_every_bucket_is_found_in_the_real_prometheus(metric: Metric, settings: Settings) -> None:
    """A bound is a text there, which is written in one of two ways: a bucket that is not found would count nothing."""
    with meter(settings) as applications:
        histogram = applications.create_histogram(
            metric.name, metric.unit, explicit_bucket_boundaries_advisory=list(metric.buckets)
        )
        histogram.record(metric.buckets[0])
    for bound in metric.buckets:
        (sample,) = Prometheus(settings.prometheus_url).query(f"{metric.prometheus}_bucket{{{at_most(bound)}}}")
        assert sample.value == 1


def test_the_series_that_the_guide_names_are_recorded() -> None:
    named = set(re.findall(r"`((?:job|slo):\w+:\w+)`", GUIDE.read_text(encoding="utf-8")))
    text = (SETTINGS.root / "prometheus" / "rules" / "slo.yaml").read_text()
    assert len(named) == 6
    assert named <= set(re.findall(r"record: (\S+)", text))
