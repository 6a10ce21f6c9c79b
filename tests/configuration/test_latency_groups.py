"""Calls with limits of their own: each is measured by those of the first group that it fits, and by no others."""

import subprocess
from dataclasses import replace
from pathlib import Path

import yaml
from genai_observability import signals

from stack.reader import Name
from stack.rules.__main__ import render
from stack.settings import Settings
from stack.thresholds import CriticalOnly, Duration, Limit, Limits, OtherLatency, Thresholds

MINUTE = Duration("1m")
GROUPS = {
    Name("batch"): OtherLatency(
        services=(Name("importer"),),
        features=(Name("digest.mail"),),
        p95=Limits(warning=Limit(60, MINUTE), critical=Limit(90, MINUTE)),
        min_calls=20,
    ),
    Name("instant"): OtherLatency(
        features=(Name("typeahead"), Name("digest.mail")),
        p99=CriticalOnly(critical=Limit(1, MINUTE)),
        min_calls=20,
    ),
    Name("nightly"): OtherLatency(operations=(Name("embeddings"),), min_calls=20),
}
ALERTED = {
    ("shop", "search", "chat"): ("interactive", "p95"),
    ("shop-2", "typeahead", "chat"): ("instant", "p99"),
    ("importer", "typeahead", "chat"): None,  # of two groups that fit, the first, which bears it
    ("shop-3", "digest.mail", "chat"): None,
    ("shop-4", "digest-mail", "chat"): ("interactive", "p95"),  # a dot of a name is a dot
    ("shop-5", "search", "embeddings"): None,  # a group without limits never alerts
    ("importer", "digest.mail", "embeddings"): None,
}
"""Calls of 20 s, by service, feature and operation, and what alerts: the group and the measure."""


def test_calls_are_measured_by_the_limits_of_the_first_group_that_they_fit(tmp_path: Path) -> None:
    for name, text in render(replace(Thresholds.load(), latency_of=GROUPS)).items():
        (tmp_path / name).write_text(text)
    expected = [(service, *alerted) for (service, _, _), alerted in ALERTED.items() if alerted]
    check = {
        "rule_files": ["calls.yaml", "errors.yaml", "latency.yaml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [series for calls in ALERTED for series in slow_calls(*calls)],
                "promql_expr_test": [
                    {
                        "expr": 'count by (job, traffic, measure) (ALERTS{severity="critical",alertstate="firing"})',
                        "eval_time": "20m",
                        "exp_samples": [
                            {"labels": f'{{job="{job}",traffic="{traffic}",measure="{measure}"}}', "value": 1}
                            for job, traffic, measure in expected
                        ],
                    },
                    {  # each call counts once, also where two conditions of a group fit it
                        "expr": 'round(job_traffic:genai_calls_succeeded:increase5m{job="importer"})',
                        "eval_time": "20m",
                        "exp_samples": [
                            {
                                "labels": f'{{job="importer",traffic="batch",gen_ai_operation_name="{operation}"}}',
                                "value": 2000,
                            }
                            for operation in ("chat", "embeddings")
                        ],
                    },
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(check))
    promtool = Settings.load().binaries / "promtool"
    result = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def slow_calls(service: str, feature: str, operation: str) -> list[dict[str, str]]:
    labels = f'job="{service}",{signals.FEATURE.label}="{feature}",{signals.OPERATION.label}="{operation}"'
    buckets = {"10": "0x120", "30": "0+100x120", "+Inf": "0+100x120"}
    return [
        {
            "series": f"{signals.CALL_DURATION.prometheus}_bucket"
            f'{{{labels},{signals.OUTCOME.label}="success",le="{bound}"}}',
            "values": values,
        }
        for bound, values in buckets.items()
    ]
