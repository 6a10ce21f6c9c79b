"""What is left of LogQL, which Grafana asks Loki: by Grafana's own grammar, and by Loki where it is installed."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from stack.clients import Loki, StoreError
from stack.dashboards import Window, dashboards, queries
from stack.native import down, up
from tests.npm import installed, toolchain
from tests.stores import settings_at

_ROOT = Path(__file__).resolve().parents[2]
_SCHEMA = _ROOT / "tests" / "schema"


def _of_dashboards() -> Iterator[tuple[str, str]]:
    for name, page in dashboards().items():
        for query in queries(page, Window(timedelta(hours=1))):
            if query.store == "loki":
                yield f"{name}, {query.panel}", query.expr


def _of_links() -> Iterator[tuple[str, str]]:
    """From a trace to its lines; Grafana's variables with a value each."""
    sources = yaml.safe_load((_ROOT / "grafana/provisioning/datasources/datasources.yaml").read_text())["datasources"]
    [query] = [source["jsonData"]["tracesToLogsV2"]["query"] for source in sources if source["uid"] == "tempo"]
    yield "trace to lines", query.replace("$${__tags}", 'service_name="shop"').replace("$${__span.traceId}", "4f2a")


def _of_docs() -> Iterator[tuple[str, str]]:
    for page in sorted((_ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        queries = re.findall(r"^ +(.*\{service_name=.*)$", text, re.MULTILINE)
        for number, query in enumerate(queries, start=1):
            commands = re.findall(r"--data-urlencode 'query=(.*?)'", query)
            yield from ((f"{page.stem}, {number}", each) for each in commands or [query])
        yield from ((page.stem, each) for each in re.findall(r"`(\{service_name=[^`]*)`", text))


QUERIES = [*_of_dashboards(), *_of_links(), *_of_docs()]


def _stumbles(queries: list[str]) -> list[list[str]]:
    """Where the grammar does not understand each query."""
    node, npm = toolchain()
    program = installed(_SCHEMA, npm) / "logql.mjs"
    shutil.copy(_SCHEMA / "logql.mjs", program)
    done = subprocess.run(
        [node, program], input=json.dumps(queries), capture_output=True, text=True, encoding="utf-8", check=True
    )
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_there_are_queries_of_dashboards_links_and_guides() -> None:
    assert {"errors.json, Errors in the application's log", "trace to lines"} <= {where for where, _ in QUERIES}
    assert len(QUERIES) > 5


def test_grafanas_grammar_understands_every_query() -> None:
    faults = zip(QUERIES, _stumbles([query for _, query in QUERIES]), strict=True)
    assert [f"{where}: {query}: {found}" for (where, query), found in faults if found] == []


def test_grafanas_grammar_names_what_is_wrong() -> None:
    right, wrong = '{service_name="a"} | b="c"', 'topk(2, sum by (a) (count_over_time({b="c"} | d= [5m])))'
    found = _stumbles([right, wrong])
    assert found[0] == []
    assert found[1]


@pytest.mark.skipif(not shutil.which("loki"), reason="Loki is not built here: it is asked where it is on the PATH")
def test_loki_accepts_every_query(tmp_path: Path) -> None:
    settings = settings_at(tmp_path, logs="loki")
    now = datetime.now(UTC)
    faults = []
    try:
        up(settings, only={"loki"})
        loki = Loki(settings.loki_url)
        for where, query in QUERIES:
            try:
                if query.startswith("{"):
                    loki.entries(query, start=now - timedelta(hours=1), end=now)
                else:
                    loki.query(query)
            except StoreError as error:
                faults.append(f"{where}: {error}")
    finally:
        down(settings)
    assert faults == []
