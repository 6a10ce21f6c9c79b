"""The instrumented application is left as it was: no exception, no wait, no leak, its own set-up kept."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from genai_observability import signals

from instrumentation.tests.otlp_capture import Capture, values
from tests.serving import free_port

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(provider: str, tmp_path: Path) -> Run:
    """Runs a program with ``client`` and ``ask()`` ready, as an application of its own."""
    prelude = """
import logging, os, sys, time
import openai
client = openai.OpenAI(base_url=os.environ["PROVIDER"] + "/v1", api_key="test", max_retries=0)
def ask(model="gpt-4o-mini", **more):
    question = [{"role": "user", "content": "What is a trace?"}]
    return client.chat.completions.create(model=model, messages=question, **more)
"""

    def run(program: str, *, python: str = sys.executable, **environment: str) -> "subprocess.CompletedProcess[str]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        places = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "TMPDIR": str(tmp_path)}  # nothing of other tests
        return subprocess.run(
            [python, "-W", "error", "-c", prelude + program],
            env=clean | {"PROVIDER": provider} | places | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


INSTRUMENT = """
import genai_observability
handle = genai_observability.instrument(service_name="shop", logs=True)
"""


def test_a_script_that_ends_at_once_still_delivers_its_call(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT
        + """
with genai_observability.attributed_to(feature="search", user="alice@example.com", metadata={"order": 7}):
    print(ask().choices[0].message.content)
logging.getLogger("shop").warning("sold out")
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
        GENAI_OBSERVABILITY_USER_KEY="key",
    )
    assert (done.returncode, done.stderr) == (0, "sold out\n")
    (span,) = capture.spans
    attributes = values(span.attributes)
    assert attributes["app.feature"] == "search"
    assert attributes[signals.COST.name] > 0
    assert attributes[signals.OUTCOME.name] == "success"
    call, application = sorted(capture.records, key=lambda record: record.body.string_value == "sold out")
    assert values(call.attributes)[signals.EVENT_NAME.name] == signals.CALL_EVENT
    assert call.trace_id == span.trace_id
    assert application.body.string_value == "sold out"
    assert signals.CALL_DURATION.name in {metric.name for metric in capture.metrics}
    assert b"alice" not in capture.everything
    assert done.stdout.strip().encode()[:20] not in capture.everything
    assert b"What is a trace?" not in capture.everything


def test_a_script_that_has_exported_before_its_end_leaves_no_connection_open(run: Run, capture: Capture) -> None:
    done = run(INSTRUMENT + "ask()\nhandle.force_flush()\nask()\n", OTEL_EXPORTER_OTLP_ENDPOINT=capture.url)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "",
        "",
    )  # where Python names what is left open
    assert len(capture.spans) == 2


def test_the_exported_error_is_scrubbed(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT
        + """
try:
    ask(model=None, extra_headers={"x-tag": "'What is a trace?'"})
except openai.BadRequestError as error:
    print(error)
try:
    ask(extra_headers={"x-demo-fault": "rate_limit"})
except openai.RateLimitError as error:
    print(type(error).__name__)
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert done.returncode == 0, done.stderr
    assert [span.status.code for span in capture.spans] == [2, 2]
    assert "Rate limit reached" in capture.spans[-1].status.message


def test_application_records_carry_the_trace_they_were_written_in(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT
        + """
from opentelemetry import trace
with trace.get_tracer("shop").start_as_current_span("request") as span:
    logging.getLogger("shop").warning("in the request")
    print(format(span.get_span_context().trace_id, "032x"))
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    (record,) = capture.records
    assert record.trace_id.hex() == done.stdout.strip()


@pytest.mark.parametrize(
    ("how", "environment", "sent"),
    [
        ("", {}, 0),
        ("", {"OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "true"}, 1),
        ("logs=False", {"OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "true"}, 0),
    ],
)
def test_application_records_stay_at_home_unless_they_are_asked_for(
    run: Run, capture: Capture, how: str, environment: dict[str, str], sent: int
) -> None:
    done = run(
        f"""
import genai_observability
genai_observability.instrument(service_name="shop", {how})
logging.getLogger("shop").error("private")
ask()
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
        **environment,
    )
    assert done.returncode == 0, done.stderr
    assert len(capture.records) == 1 + sent
    assert (b"private" in capture.everything) == (sent == 1)


def test_an_object_in_a_log_record_is_sent_as_text_without_a_warning(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT + "import pathlib; logging.getLogger('shop').warning('sold out', extra={'at': pathlib.Path('/a')})",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert (done.returncode, done.stderr) == (0, "sold out\n")
    (record,) = capture.records
    assert values(record.attributes)["at"] == "/a"


def test_debug_logging_of_the_application_does_not_leak_prompts(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT
        + """
logging.basicConfig(level=logging.DEBUG)
ask()
logging.getLogger("openai._base_client").debug("Request options: What is a trace?")  # as the client up to 2.x writes
logging.getLogger("shop").info("asked")
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert "What is a trace?" in done.stderr, "basicConfig works as ever"
    assert b"asked" in capture.everything
    assert b"What is a trace?" not in capture.everything


def test_standard_variables_name_the_service_its_attributes_and_the_exporters(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT + "ask()",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
        OTEL_SERVICE_NAME="shop-canary",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=staging,service.instance.id=pod-7",
        OTEL_METRICS_EXPORTER="none",
    )
    assert done.returncode == 0, done.stderr
    (resource,) = capture.resources
    assert resource["service.name"] == "shop-canary"
    assert resource["deployment.environment.name"] == "staging"
    assert resource["service.instance.id"] == "pod-7"
    assert set(capture.bodies) == {"/v1/traces", "/v1/logs"}


def test_the_sdk_switch_turns_everything_off(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT + "ask(); print(handle.recording, handle.force_flush())",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
        OTEL_SDK_DISABLED="true",
    )
    assert (done.returncode, done.stdout) == (0, "False True\n"), done.stderr
    assert capture.bodies == {}


def test_processes_of_one_service_share_no_instance_id_and_a_restart_takes_it_over(run: Run, capture: Capture) -> None:
    program = (
        INSTRUMENT
        + """
import subprocess
ask()
if len(sys.argv) == 1 and os.environ.get("TWIN"):
    subprocess.run([sys.executable, "-c", os.environ["TWIN"]], check=True)
"""
    )
    twin = "import genai_observability as g; g.instrument(service_name='shop'); from opentelemetry import trace\n"
    twin += "with trace.get_tracer('t').start_as_current_span('twin'): pass"
    run(program, OTEL_EXPORTER_OTLP_ENDPOINT=capture.url, TWIN=twin)
    together = {resource["service.instance.id"] for resource in capture.resources}
    assert len(together) == 2
    capture.bodies.clear()
    run(program, OTEL_EXPORTER_OTLP_ENDPOINT=capture.url)
    assert {resource["service.instance.id"] for resource in capture.resources} <= together


def test_providers_that_the_application_set_up_are_kept_and_used(run: Run, capture: Capture) -> None:
    done = run(
        """
from opentelemetry import trace, metrics
from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk._logs import LoggerProvider
spans = InMemorySpanExporter()
own = TracerProvider(), MeterProvider(), LoggerProvider()
own[0].add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(own[0]); metrics.set_meter_provider(own[1]); set_logger_provider(own[2])
"""
        + INSTRUMENT
        + """
with genai_observability.attributed_to(feature="search"):
    ask()
assert (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()) == own
handle.shutdown()
with own[0].get_tracer("shop").start_as_current_span("after"):
    pass
print([(span.name, span.attributes.get("app.feature")) for span in spans.get_finished_spans()])
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert done.stdout == "[('chat gpt-4o-mini', 'search'), ('after', None)]\n", done.stderr
    assert capture.bodies == {}


def test_calling_instrument_twice_changes_nothing(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT + "print(genai_observability.instrument(service_name='other') is handle); ask()",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert done.stdout == "True\n", done.stderr
    assert len(capture.spans) == 1
    assert {resource["service.name"] for resource in capture.resources} == {"shop"}


def test_an_absent_collector_delays_neither_a_call_nor_the_end(run: Run) -> None:
    started = time.monotonic()
    done = run(
        INSTRUMENT
        + """
for _ in range(20):
    ask()
begun = time.perf_counter(); ask(); print("ok", time.perf_counter() - begun < 1)
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
    )
    assert (done.returncode, done.stdout) == (0, "ok True\n"), done.stderr
    assert time.monotonic() - started < 10
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3, "at most one complaint of each kind of telemetry"


def test_a_collector_that_never_answers_delays_the_end_by_two_seconds_at_most(run: Run) -> None:
    done = run(
        """
import socket
hanging = socket.create_server(("127.0.0.1", 0))
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{hanging.getsockname()[1]}"
"""
        + INSTRUMENT
        + """
ask()
import atexit
ended = time.perf_counter()
atexit._run_exitfuncs()
print(time.perf_counter() - ended < 3)  # 2 s, and room for a busy machine
os._exit(0) if sys.stdout.flush() is None else None
"""
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize("endpoint", ["localhost:4318", "htp://localhost:4318", "http://", "http://[bad", "http://h:x"])
def test_a_wrong_endpoint_is_named_and_the_call_goes_on(run: Run, endpoint: str) -> None:
    done = run(INSTRUMENT + "print(ask().object)", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert (done.returncode, done.stdout) == (0, "chat.completion\n"), done.stderr
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint} is no address such as http://localhost:4318." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_standard_variable_that_the_sdk_refuses_is_said_and_the_call_goes_on(run: Run) -> None:
    done = run(INSTRUMENT + "print(ask().object, handle.recording)", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="-5")
    assert (done.returncode, done.stdout) == (0, "chat.completion False\n"), done.stderr
    assert done.stderr.startswith("Model calls are not recorded: ")
    assert "Traceback" not in done.stderr


def test_a_metric_interval_that_is_no_number_is_said_and_the_default_is_used(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT + "print(ask().object)",
        OTEL_METRIC_EXPORT_INTERVAL="often",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert done.stdout == "chat.completion\n", done.stderr
    assert done.stderr == "OTEL_METRIC_EXPORT_INTERVAL=often is no number of milliseconds: 5000 is used.\n"
    assert signals.CALL_DURATION.name in {metric.name for metric in capture.metrics}


def test_a_protocol_whose_exporter_is_not_installed_is_said_and_the_call_goes_on(run: Run) -> None:
    done = run(INSTRUMENT + "print(ask().object)", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert done.stdout == "chat.completion\n", done.stderr
    assert "opentelemetry-exporter-otlp-proto-grpc" in done.stderr


def test_calls_are_recorded_without_any_other_instrumentation(run: Run, capture: Capture) -> None:
    done = run(
        """
sys.modules["opentelemetry.instrumentation.genai"] = None  # as where it is not installed
sys.modules["opentelemetry.util.genai"] = None
"""
        + INSTRUMENT
        + "print(ask().object)",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert (done.stdout, done.stderr) == ("chat.completion\n", "")
    assert len(capture.records) == 1


def test_a_child_made_by_fork_records_its_own_calls_once(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT
        + """
ask()
import warnings
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    with genai_observability.attributed_to(feature="child"):
        ask()
    handle.force_flush()
    os._exit(0)
os.waitpid(child, 0)
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(values(span.attributes).get("app.feature", "parent") for span in capture.spans) == ["child", "parent"]


def test_after_shutdown_the_client_is_as_it_was_and_instrument_works_again(run: Run, capture: Capture) -> None:
    done = run(
        INSTRUMENT
        + """
ask()
handle.shutdown()
ask()
again = genai_observability.instrument(service_name="shop")
print(again is handle, again.recording)
ask()
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=capture.url,
    )
    assert done.stdout == "False True\n", done.stderr
    assert len(capture.spans) == 2
