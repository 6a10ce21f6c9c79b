"""The stack and its demonstration as a user has them who chooses the new names of metrics: all is as with the old ones.

What the tests imported here prove of the usual stack they prove of this one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from genai_observability import signals

from stack.clients import Prometheus
from stack.native import down, up
from stack.settings import Settings
from tests.end_to_end.live import ROOT, Demonstration
from tests.end_to_end.test_dashboard_numbers import (
    test_a_graph_of_growth_a_second_holds_every_call,
    test_a_panel_shows_exactly_what_was_counted_and_spent,
    test_a_quantile_is_in_the_bucket_of_the_true_one,
    test_over_days_what_is_recorded_every_minute_adds_up_to_the_same,
    truth,
)
from tests.end_to_end.test_dashboards import (
    began,
    test_every_query_of_every_dashboard_finds_data,
    test_the_points_of_graphs_of_latency_cost_and_errors_lead_to_traces,
)
from tests.end_to_end.test_demo import (
    test_the_alert_reaches_the_inbox_within_a_minute_of_the_fault,
    test_the_demo_ends_with_figures_that_agree_in_every_store,
    test_the_demo_gives_data_to_every_metric_that_ordinary_traffic_has,
)
from tests.end_to_end.test_doctor import test_a_call_is_read_back_from_every_store_and_costs_nothing
from tests.stores import settings_at
from tests.vocabulary import LATEST, new_names

__all__ = [
    "began",
    "test_a_call_is_read_back_from_every_store_and_costs_nothing",
    "test_a_graph_of_growth_a_second_holds_every_call",
    "test_a_panel_shows_exactly_what_was_counted_and_spent",
    "test_a_quantile_is_in_the_bucket_of_the_true_one",
    "test_every_query_of_every_dashboard_finds_data",
    "test_over_days_what_is_recorded_every_minute_adds_up_to_the_same",
    "test_the_alert_reaches_the_inbox_within_a_minute_of_the_fault",
    "test_the_demo_ends_with_figures_that_agree_in_every_store",
    "test_the_demo_gives_data_to_every_metric_that_ordinary_traffic_has",
    "test_the_points_of_graphs_of_latency_cost_and_errors_lead_to_traces",
    "truth",
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which the new names are chosen, and rules and dashboards are generated for them."""
    copy = tmp_path_factory.mktemp("clone") / "repository"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (copy / ".env").write_text(f"{signals.OPT_IN_VARIABLE}={LATEST}\n")
    for module in ("stack.rules", "stack.dashboards"):
        subprocess.run([sys.executable, "-m", module], cwd=copy, env=_environment(), check=True, timeout=120)
    return copy


@pytest.fixture(scope="module")
def stack(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The running stack; this process asks for the new names, too."""
    with new_names():
        settings = replace(settings_at(tmp_path_factory.mktemp("stack")), root=repository, opt_in=LATEST)
        up(settings)
        yield settings
        down(settings, volumes=True)


@pytest.fixture(scope="module")
def demonstration(repository: Path, stack: Settings) -> Demonstration:
    """The demonstration as a user runs it, who has set the variable in `.env` alone."""
    start = datetime.now(UTC)
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=repository, env=_environment(stack), capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return Demonstration(start, datetime.now(UTC), done.stdout)


def _environment(stack: Settings | None = None) -> dict[str, str]:
    variables = os.environ | (stack.variables() if stack else {})
    return {name: value for name, value in variables.items() if name != signals.OPT_IN_VARIABLE}


def test_prometheus_has_the_metrics_of_the_demo_in_the_new_names_alone(
    stack: Settings, demonstration: Demonstration
) -> None:
    names = '{__name__=~"gen_ai_client_.*|genai_observability_tokens_detail.*", job="demo"}'
    found = {
        sample.labels["__name__"]
        for sample in Prometheus(stack.prometheus_url).query(
            f"group by (__name__) (last_over_time({names}[1h]))", at=demonstration.ended
        )
    }
    new = {metric.series(part) for metric in signals.NEW_METRICS for part in metric.parts}
    assert found <= new
    assert {signals.INFERENCE_DURATION.series("count"), signals.EMBEDDINGS_INPUT.series("sum")} <= found


def test_every_rule_is_evaluated_without_a_fault(stack: Settings, demonstration: Demonstration) -> None:
    answer: dict[str, Any] = httpx.get(f"{stack.prometheus_url}/api/v1/rules", trust_env=False).json()
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert len(rules) > 200
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] == "err"] == []
    asked = " ".join(rule["query"] for rule in rules)
    assert signals.USED_INPUT.series() in asked
    assert signals.CALL_TOKENS.series("sum") not in asked
