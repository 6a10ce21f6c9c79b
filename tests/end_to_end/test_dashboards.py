"""Every panel of every dashboard has data after the demonstration, in the stores and on the preview page."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from stack.clients import Where, log_store
from stack.dashboards import Stores, Window, ask, dashboards, queries
from stack.settings import Settings
from tests import layout
from tests.browser import browser
from tests.end_to_end.live import ROOT, Demonstration, application, eventually
from tests.usage import value

PICTURES = ROOT / ".stack" / "pictures"


_LATER = {
    "overview": {"Needs attention", "Burn rate"},
    "cost": {
        "Today and yesterday", "This month", "Against the time before", "The month and its forecast",
        "Cost a day, by model", "Budgets of services", "Budgets in the application", "Calls beyond a budget",
        "Calls without a price", "Of the bill", "Not in the bill",
    },
    "latency": {
        "Times the usual", "p95 against the usual", "Features against their usual", "p95 over 30 days, by operation",
        "p95 over 30 days, by model",
    },
    "tokens": {"Last hour", "Tokens a day, in and out", "Tokens a day, by feature"},
    "errors": {"Failed and refused, by day", "Fallbacks", "Open breakers"},
    "quality": {
        "Mean score", "Satisfaction", "Thumbs down", "Thumbs down by feature", "Each day of the last 30 days",
        "Drift from the usual", "Answer length by feature",
    },
    "rag": {
        "Hit rate", "Of the usual hit rate", "Hit rate by cache", "Caches", "False hits", "Similarity of false hits",
        "Hit rate, each day of the last 30 days",
    },
    "security": {
        "Prompt injections", "Personal data", "Leaks of the system prompt", "Prompt injections by service",
        "Personal data by service", "Findings, each day of the last 30 days", "Calls beyond a budget",
        "Refused by a budget", "Findings by kind", "What and where", "Findings by feature", "Findings by tenant",
        "Findings by model",
    },
    "slo": {
        "Broken promises", "Least budget left", "Objectives", "Error budget left", "Bad events of 30 days",
        "Burn rate over 1h", "Burn rate over 6h", "Burn rate over 1d", "Burn rate over 3d", "Fastest burn of the hour",
        "Burning now", "Error budget used", "Bad events, by day",
    },
    "health": {"Left out by the instrumentation", "Budgets not checked", "Disk full in"},
}  # fmt: skip
"""What a few minutes of traffic leave empty, always or by chance: it takes days of history, or an incident. These
panels' queries to Prometheus find data in tests/configuration/test_dashboard_history.py."""


@pytest.fixture(scope="module")
def began(stack: Settings, demonstration: Demonstration) -> datetime:
    """When the traffic began, of which some calls were unusual."""
    subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.unusual_calls"],
        cwd=ROOT, env=application(stack), check=True, timeout=120,
    )  # fmt: skip
    now = datetime.now(UTC)
    error = Where("service.name", "=", "unusual"), Where("severity_text", "=", "ERROR"), Where("event.name", "=", "")
    window = {"start": now - timedelta(minutes=5), "end": now + timedelta(minutes=5)}
    assert eventually(lambda: any(log_store(stack).lines(*error, **window)))
    assert eventually(lambda: value(stack, "SELECT count(*) FROM calls WHERE service = 'unusual'") == 3)
    return min(demonstration.began, now - timedelta(minutes=5))


def test_every_query_of_every_dashboard_finds_data(stack: Settings, began: datetime) -> None:
    stores = Stores.of(stack)
    end = datetime.now(UTC)
    window = Window(length=end - began)
    empty: list[str] = []
    asked = 0
    for name, dashboard in dashboards().items():
        for query in queries(dashboard, window):
            asked += 1
            found = ask(query, end=end, stores=stores)
            later = query.store == "prometheus" and query.panel in _LATER.get(name.removesuffix(".json"), ())
            if not found and not later:
                empty.append(f"{name}, {query.panel}, {query.ref}")
    assert asked > 20
    assert not empty, "\n".join(empty)


def test_the_preview_shows_every_panel_of_every_dashboard_whole_and_with_data(stack: Settings, began: datetime) -> None:
    folder = stack.state / "preview"
    length = round((datetime.now(UTC) - began + timedelta(seconds=30)).total_seconds())
    done = subprocess.run(
        [sys.executable, "-m", "stack.preview", "--range", f"{length // 60 + 1}m", "--output", folder],
        cwd=ROOT, env=os.environ | stack.variables(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{folder / 'index.html'}\n"), done.stderr
    names = [name.removesuffix(".json") for name in dashboards()]
    assert {path.stem for path in folder.iterdir()} == {"index", *names}
    faults: list[str] = []
    with browser() as opened:
        for name in ("index", *names):
            opened.open(folder / f"{name}.html")
            later = {f"{title}: is empty" for title in _LATER.get(name, ())}
            found = layout.faults_of_both_themes(opened)
            faults += [f"{name}, {fault}" for fault in found if fault.partition(": ")[2] not in later]
            opened.picture(PICTURES / f"{name}-dark.png")
    assert not faults, "\n".join(faults)


def test_the_points_of_graphs_of_latency_cost_and_errors_lead_to_traces(stack: Settings, began: datetime) -> None:
    end = datetime.now(UTC)
    length = end - began
    marked = {
        (name.removesuffix(".json"), query.panel): query.expr
        for name, page in dashboards().items()
        for query in queries(page, Window(length))
        if query.exemplars
    }
    assert {page for page, _ in marked} >= {"overview", "latency", "cost", "errors"}
    found = {panel: _traces_of_exemplars(stack, expr, began, end) for panel, expr in marked.items()}
    assert [panel for panel, traces in found.items() if not traces] == []
    assert [trace for trace in set().union(*found.values()) if not _is_stored(stack, trace)] == []


def _is_stored(stack: Settings, trace: str) -> bool:
    return httpx.get(f"{stack.jaeger_url}/api/v3/traces/{trace}", trust_env=False).is_success


def _traces_of_exemplars(stack: Settings, expr: str, start: datetime, end: datetime) -> set[str]:
    """As Grafana asks for them; https://prometheus.io/docs/prometheus/latest/querying/api/#querying-exemplars."""
    params: dict[str, str | float] = {"query": expr, "start": start.timestamp(), "end": end.timestamp()}
    answer = httpx.get(f"{stack.prometheus_url}/api/v1/query_exemplars", params=params).raise_for_status().json()
    return {exemplar["labels"]["trace_id"] for series in answer["data"] for exemplar in series["exemplars"]}
