"""Every panel of every dashboard has data after the demonstration, in the stores and on the preview page."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from stack.clients import Loki, Prometheus
from stack.dashboards import Window, dashboards, queries
from stack.settings import Settings
from tests import layout
from tests.browser import browser
from tests.end_to_end.live import ROOT, Demonstration, eventually

PICTURES = ROOT / ".stack" / "pictures"


def test_every_query_of_every_dashboard_finds_data(stack: Settings, demonstration: Demonstration) -> None:
    prometheus, loki = Prometheus(stack.prometheus_url), Loki(stack.loki_url)
    end = datetime.now(UTC)
    window = Window(length=end - min(demonstration.began, end - timedelta(minutes=5)))
    empty: list[str] = []
    asked = 0
    for name, dashboard in dashboards().items():
        for query in queries(dashboard, window):
            asked += 1
            start = end - query.length
            found: object
            if query.store == "prometheus" and query.instant:
                found = prometheus.query(query.expr, at=end)
            elif query.store == "prometheus":
                found = prometheus.query_range(query.expr, start=start, end=end, step=query.step)
            elif query.instant:
                found = loki.query(query.expr, at=end)
            else:
                found = loki.entries(query.expr, start=start, end=end)
            if not found:
                empty.append(f"{name}, {query.panel}, {query.ref}")
    assert asked > 20
    assert not empty, "\n".join(empty)


def test_the_preview_shows_every_panel_of_every_dashboard_whole_and_with_data(
    stack: Settings, demonstration: Demonstration
) -> None:
    folder = stack.state / "preview"
    length = round((datetime.now(UTC) - demonstration.began + timedelta(seconds=30)).total_seconds())
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
            faults += [f"{name}, {fault}" for fault in layout.faults_of_both_themes(opened)]
            opened.picture(PICTURES / f"{name}-dark.png")
    assert not faults, "\n".join(faults)


def test_an_exemplar_in_prometheus_leads_to_a_trace_in_the_trace_store(
    stack: Settings, demonstration: Demonstration
) -> None:
    import httpx
    from genai_observability import signals

    from stack.clients import Jaeger

    answer = httpx.get(
        f"{stack.prometheus_url}/api/v1/query_exemplars",
        params={
            "query": f"{signals.CALL_DURATION.prometheus}_bucket",
            "start": demonstration.began.timestamp(),
            "end": demonstration.ended.timestamp(),
        },
    ).json()
    linked = {exemplar["labels"]["trace_id"] for series in answer["data"] for exemplar in series["exemplars"]}
    stored = {
        span.trace_id
        for span in eventually(
            lambda: Jaeger(stack.jaeger_url).spans("demo", start=demonstration.began, end=demonstration.ended)
        )
    }
    assert linked
    assert linked <= stored
