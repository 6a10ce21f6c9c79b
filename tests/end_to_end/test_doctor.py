"""`genai-observability doctor --check` on the running stack."""

import subprocess
import sys
from pathlib import Path

from genai_observability import signals

from stack.clients import Prometheus
from stack.native import down, up
from stack.settings import Settings
from tests.end_to_end.live import application
from tests.stores import settings_at

COMMAND = Path(sys.executable).with_name("genai-observability")
NOBODY = "http://127.0.0.1:1"


def check(stack: Settings, *options: str, **environment: str) -> tuple[int, dict[str, str]]:
    """The exit code, and what is said of the test call and of each store."""
    stores = {"--prometheus": stack.prometheus_url, "--logs": stack.victorialogs_url, "--traces": stack.jaeger_url}
    stores["--warehouse"] = stack.usage_url
    done = subprocess.run(
        [COMMAND, "doctor", "--check", *(word for store in stores.items() for word in store), *options],
        env=application(stack, **environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    lines = (line for line in done.stdout.splitlines() if not line[7:].startswith("Collector"))
    return done.returncode, {line[7:].split("  ")[0]: line for line in lines}


def test_a_call_is_read_back_from_every_store_and_costs_nothing(stack: Settings) -> None:
    code, report = check(stack)
    assert code == 0, report
    for store, url in (
        ("Prometheus", stack.prometheus_url),
        ("logs", stack.victorialogs_url),
        ("warehouse", stack.usage_url),
        ("traces", stack.jaeger_url),
    ):
        assert report[store].startswith("ok ")
        assert f"{url} has it" in report[store]
    job = '{job="genai-observability-doctor"}'
    prometheus = Prometheus(stack.prometheus_url)
    assert [sample.value for sample in prometheus.query(f"{signals.CALL_COST.prometheus}{job}")] == [0]
    assert prometheus.query(f"{signals.CALL_TOKENS.prometheus}_count{job}") == []
    assert prometheus.query(f"{signals.CALLS_UNPRICED.prometheus}{job}") == []


def test_what_is_missing_is_named_with_what_to_look_at(stack: Settings) -> None:
    """No log store at its address, another server at that of the traces, and metrics that Prometheus does not take."""
    code, report = check(
        stack,
        *("--logs", NOBODY, "--traces", stack.prometheus_url, "--within", "1"),
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
    )
    assert code == 1
    assert report["test call"].startswith("ok ")
    assert report["logs"].startswith(f"WRONG  logs                no answer from {NOBODY} (")
    assert report["logs"].endswith("start it, or say where it is with --logs")
    for store, option in (("Prometheus", "--prometheus"), ("traces", "--traces")):
        assert report[store].startswith(f"WRONG  {store:18}  nothing of it at {stack.prometheus_url} after ")
        assert report[store].endswith(f"its log says what became of it, unless it writes to another store: {option}")


def test_a_store_that_is_down_is_named_and_the_others_are_still_asked(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    try:
        up(settings, only={"collector", "victorialogs", "jaeger"})
        code, report = check(settings)
    finally:
        down(settings)
    assert code == 1
    assert f"no answer from {settings.prometheus_url} (" in report["Prometheus"]
    assert [report[subject][:5] for subject in ("test call", "logs", "traces")] == ["ok   "] * 3
