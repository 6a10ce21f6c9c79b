"""The examples of the guides to chains and to attribution run as written, and do what is written beside them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from genai_observability import signals
from genai_observability._context.attribution import NAMES

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.programs import Run, eventually
from tests.serving import free_port

DOCS = Path(__file__).parents[2] / "docs"
CHAINS, ATTRIBUTION = (DOCS / "chains.md").read_text(), (DOCS / "attribution.md").read_text()
CHAIN, LOAD, FLAGS = re.findall(r"```python\n(.*?)```", CHAINS, re.DOTALL)
THREADS, GATEWAY, ANSWERS, _TO_OPENAI = re.findall(r"```python\n(.*?)```", ATTRIBUTION, re.DOTALL)


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"OPENAI_BASE_URL": f"{environment['PROVIDER']}/v1", "OPENAI_API_KEY": "test"}


def finish(run: Run, program: str) -> None:
    done = run(sys.executable, "-W", "error", "app.py", program=program)
    assert (done.returncode, done.stderr) == (0, "")


def tree(spans: list[Any], parent: bytes = b"", *, depth: int = 0) -> Iterator[tuple[int, str]]:
    """Names of spans with their depth, in the order in which they began."""
    for span in sorted(spans, key=lambda span: span.start_time_unix_nano):
        if span.parent_span_id == parent:
            yield depth, span.name
            yield from tree(spans, span.span_id, depth=depth + 1)


def drawn(guide: str) -> list[tuple[int, str]]:
    """The tree that a guide draws."""
    lines = re.findall(r"^ {4}((?:[│├└─ ]{3})*)(\w+ [\w.-]+)$", guide, re.MULTILINE)
    return [(len(branches) // 3, name) for branches, name in lines]


def test_the_chain_is_the_trace_that_is_drawn_with_its_money(run: Run, capture: Capture) -> None:
    finish(run, CHAIN)
    assert list(tree(capture.spans)) == drawn(CHAINS)
    spans = {span.name: values(span.attributes) for span in capture.spans}
    costs = {name: span[signals.COST.name] for name, span in spans.items() if signals.COST.name in span}
    assert len(costs) == 2
    assert spans["invoke_workflow answer"][signals.STEP_COST.name] == pytest.approx(sum(costs.values()))
    assert spans["invoke_agent support"][signals.STEP_COST.name] == pytest.approx(costs["chat gpt-4o-mini"])
    assert spans["retrieval handbook"][signals.DOCUMENT_COUNT.name] == 2
    assert all(span[signals.FEATURE.name] == "support" for span in spans.values())
    assert len({span.trace_id for span in capture.spans}) == 1


def test_caches_fallbacks_and_load_become_the_metrics_of_the_table(run: Run, capture: Capture) -> None:
    finish(run, LOAD)
    catalogue = {metric.name: metric.prometheus for metric in signals.METRICS}
    exported = {catalogue[metric.name] for metric in capture.metrics}
    table = CHAINS[CHAINS.index("## Caches") : CHAINS.index("## Feature flags")]
    named = set(re.findall(r"`(genai_observability_\w+)`", table)) - {"genai_observability_cache_result"}
    assert named <= exported
    assert len(named) == 10


def test_the_flags_example_attributes_its_call_to_the_variant(run: Run, capture: Capture) -> None:
    finish(run, FLAGS)
    flag, call = (values(record.attributes) for record in capture.records)
    assert (flag["event.name"], flag["feature_flag.key"]) == (signals.FLAG_EVENT, "answer-style")
    assert call[signals.VARIANT.name] == flag[signals.FLAG_VARIANT.name] == "short"


def test_the_threads_example_makes_three_calls_for_search_and_one_for_nobody(run: Run, capture: Capture) -> None:
    finish(run, THREADS)
    records = [values(record.attributes) for record in capture.records]
    assert [record.get(signals.FEATURE.name) for record in records] == ["search", "search", "search", None]
    assert [record.get(signals.ENDPOINT.name) for record in records] == [None, None, "/stream", None]


def test_the_call_of_the_second_service_is_in_the_trace_of_the_first_and_for_whom_it_says(
    environment: dict[str, str], run: Run, capture: Capture, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "answers.py").write_text(ANSWERS)
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "error", "answers:app"],
        cwd=tmp_path,
        env=environment,
    )
    try:
        assert eventually(lambda: _answers(f"http://127.0.0.1:{port}/"))
        finish(run, GATEWAY.replace("http://localhost:8000", f"http://127.0.0.1:{port}"))
    finally:
        server.terminate()
        server.wait(20)
    (record,) = (
        values(r.attributes) for r in capture.records if values(r.attributes).get("event.name") == signals.CALL_EVENT
    )
    assert (record[signals.FEATURE.name], record[signals.TEAM.name]) == ("search", "growth")
    assert signals.USER_HASH.name not in record
    spans = {span.name: span for span in capture.spans}
    assert {"invoke_workflow answer", "GET", "chat gpt-4o-mini"} == spans.keys()
    assert len({span.trace_id for span in spans.values()}) == 1
    assert signals.STEP_COST.name not in values(spans["invoke_workflow answer"].attributes)
    assert signals.COST.name in values(spans["chat gpt-4o-mini"].attributes)


def _answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.TransportError:
        return False
    return True


def test_the_guides_name_every_step_every_metric_of_theirs_and_everything_that_travels() -> None:
    for step in ("workflow", "agent", "tool", "retrieval", "rerank", "embedding"):
        assert f"| `{step}(" in CHAINS
    for metric in (signals.STEP_COSTS, signals.STEP_DURATION, signals.STEP_DOCUMENTS, signals.STEP_SCORES):
        assert f"`{metric.prometheus}`" in CHAINS
    for name in NAMES:
        assert f"`{name}`" in ATTRIBUTION
