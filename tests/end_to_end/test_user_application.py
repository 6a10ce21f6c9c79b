"""A user's own application, as the README shows it: installed in an environment of its own."""

import re
import subprocess
import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from genai_observability import signals

from stack.clients import Jaeger, Loki, Prometheus
from stack.settings import Settings
from tests.end_to_end.live import ROOT, eventually, without_otel

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python into which the README's command, and the client, have been installed."""
    (command,) = re.findall(r"^ *pip install (.*instrumentation\[openai\].*)$", README, re.MULTILINE)
    environment = tmp_path_factory.mktemp("shop")
    venv.create(environment, with_pip=True)
    packages = [word.strip("'") for word in command.split()]
    pip = [environment / "bin" / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", "openai", *packages]
    subprocess.run(pip, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return environment / "bin" / "python"


def test_the_example_of_the_readme_is_counted_priced_logged_and_traced(
    stack: Settings, python: Path, provider: str, tmp_path: Path
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    began = datetime.now(UTC)
    done = subprocess.run(
        [python, "-W", "error", "-c", program],
        cwd=tmp_path,
        env=without_otel(
            OTEL_EXPORTER_OTLP_ENDPOINT=stack.otlp_http_url,
            OPENAI_BASE_URL=f"{provider}/v1",
            OPENAI_API_KEY="test",
            GENAI_OBSERVABILITY_USER_KEY="key",
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

    prometheus = Prometheus(stack.prometheus_url)
    calls = f'sum by (app_feature) (increase({signals.CALL_DURATION.prometheus}_count{{job="shop"}}[5m] anchored))'
    counted = eventually(lambda: prometheus.query(calls))  # the first event of a new series, of a script of a second
    assert [(sample.labels, sample.value) for sample in counted] == [({"app_feature": "search"}, 1.0)]
    (cost,) = prometheus.query(f'increase({signals.CALL_COST.prometheus}{{job="shop"}}[5m] anchored)')

    later = datetime.now(UTC) + timedelta(seconds=5)
    search = '{service_name="shop"} | app_feature="search"'
    (line,) = eventually(lambda: Loki(stack.loki_url).entries(search, start=began, end=later))
    (span,) = eventually(lambda: Jaeger(stack.jaeger_url).spans("shop", start=began, end=later))
    assert line.labels["trace_id"] == span.trace_id
    assert float(line.labels[signals.COST.label]) == pytest.approx(cost.value)
    assert span.attributes[signals.COST.name] == pytest.approx(cost.value)
    assert span.attributes[signals.USER_HASH.name] == line.labels[signals.USER_HASH.label]
    assert "alice@example.com" not in repr((line, span))
