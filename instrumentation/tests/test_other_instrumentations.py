"""Other instrumentations in the process: what they see is recorded too, and what both see is counted once."""

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from genai_observability import signals
from genai_observability._call import Call, Tokens, utc
from genai_observability._capture.clients import OWN_SCOPE
from genai_observability._capture.open_calls import OpenCalls
from genai_observability._record.duplicates import Duplicates
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from instrumentation.clients.providers import Figures
from instrumentation.clients.recorded import Recorded
from instrumentation.tests.aimock_process import aimock
from instrumentation.tests.otlp_capture import Capture, values
from tests.environments import environment

CLIENTS: Final = "instrumentation/tests/clients"
(GUIDES_PROGRAM,) = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "clients.md").read_text(), re.DOTALL
)
OURS: Final = OWN_SCOPE
OPENLLMETRY: Final = "opentelemetry.instrumentation.openai.v1"
LANGCHAIN: Final = "opentelemetry.instrumentation.langchain"


@dataclass(frozen=True)
class Run:
    """What one run of the program said and recorded."""

    complaints: str
    calls: list[dict[str, Any]]
    spans: list[dict[str, Any]]
    metrics: Figures


def run(name: str, url: str) -> Run:
    folder = environment("others", ["-r", f"{CLIENTS}/others.txt", "./instrumentation[openai]"])
    program = ["-c", GUIDES_PROGRAM] if name == "guide" else [f"{CLIENTS}/others.py", name, f"{url}/v1"]
    with Capture() as capture:
        ended = subprocess.run(
            [folder / "python", *program],
            env=os.environ
            | {"OTEL_EXPORTER_OTLP_ENDPOINT": capture.url, "GENAI_OBSERVABILITY_STREAM_USAGE": "always"}
            | {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "test"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        records = [values(record.attributes) for record in capture.records]
        return Run(
            complaints=ended.stderr,
            calls=[record for record in records if record.get(signals.EVENT_NAME.name) == signals.CALL_EVENT],
            spans=[values(span.attributes) for span in capture.spans],
            metrics=Recorded(capture).figures()["metrics"],
        )


@pytest.fixture(scope="module")
def runs(provider: str) -> Iterator[dict[str, Run]]:
    """One run with each other instrumentation, side by side."""
    with aimock() as foreign_provider, ThreadPoolExecutor(3) as threads:
        names = ("inside", "around", "openinference", "langchain", "guide")
        urls = [provider] * 4 + [foreign_provider]
        yield dict(zip(names, threads.map(run, names, urls), strict=True))


def test_the_calls_of_another_client_are_attributed_priced_and_logged(runs: dict[str, Run]) -> None:
    seen = runs["guide"]
    (call,) = seen.calls
    (span,) = (span for span in seen.spans if signals.DUPLICATE_OF.name not in span)
    assert call[signals.PROVIDER.name] == "anthropic"
    assert (call[signals.INPUT_TOKENS.name], call[signals.OUTPUT_TOKENS.name]) == (1000, 200)
    # claude-sonnet-4-5: $3 a million tokens of input, $15 of output
    assert call[signals.COST.name] == span[signals.COST.name] == pytest.approx((3 * 1000 + 15 * 200) / 1e6)
    assert seen.metrics.cost == pytest.approx(call[signals.COST.name])
    assert seen.metrics.calls == 1
    assert call[signals.FEATURE.name] == span[signals.FEATURE.name] == "greeting"
    assert call[signals.OUTCOME.name] == "success"


@pytest.mark.parametrize(
    ("name", "counted_by", "other", "calls"),
    [
        ("inside", OURS, OPENLLMETRY, 5),
        ("around", OURS, OPENLLMETRY, 5),
        ("langchain", OURS, LANGCHAIN, 6),  # its instrumentation makes no span of embeddings
        ("guide", "com.anthropic.sdk.python", "opentelemetry.instrumentation.anthropic", 1),  # the client's own
    ],
)
def test_what_two_instrumentations_see_is_counted_once_and_said_once(
    name: str, counted_by: str, other: str, calls: int, runs: dict[str, Run]
) -> None:
    seen = runs[name]
    counted = [span for span in seen.spans if signals.DUPLICATE_OF.name not in span]
    duplicates = [span for span in seen.spans if signals.DUPLICATE_OF.name in span]
    assert len(seen.calls) == len(counted) == calls
    assert len(duplicates) == min(calls, 5)
    assert {span[signals.DUPLICATE_OF.name] for span in duplicates} == {counted_by}
    assert all(signals.COST.name not in span and signals.FEATURE.name in span for span in duplicates)
    assert seen.metrics.cost == pytest.approx(sum(call.get(signals.COST.name, 0) for call in seen.calls))
    assert seen.complaints == (
        f"Two instrumentations see the same calls: {counted_by} and {other}. Each call is counted once, by the former; "
        f"the spans of the latter are exported with {signals.DUPLICATE_OF.name}.\n"
    )


@pytest.mark.parametrize("name", ["inside", "around", "langchain"])
def test_the_span_that_counts_is_the_one_of_which_most_is_known(name: str, runs: dict[str, Run]) -> None:
    for call in runs[name].calls:
        assert call[signals.PROVIDER_REQUEST_ID.name].startswith("req_")
        assert call[signals.PHASE_SECONDS["provider"].name] > 0


def test_spans_by_other_conventions_get_the_attribution_and_nothing_else(runs: dict[str, Run]) -> None:
    seen = runs["openinference"]
    theirs = [span for span in seen.spans if "openinference.span.kind" in span]
    assert len(theirs) == len(seen.calls) == 5
    assert all(span[signals.FEATURE.name] == "openinference" for span in theirs)
    assert not any(signals.COST.name in span or signals.OUTCOME.name in span for span in theirs)
    assert seen.complaints == ""


class Trace:
    """Spans of one trace that end one after the other; times are in seconds."""

    def __init__(self) -> None:
        self._duplicates = Duplicates()

    def ended(
        self,
        scope: str,
        span: int,
        *,
        within: int | None = None,
        times: tuple[float, float] = (0, 1),
        operation: str = "chat",
        model: str = "gpt-4o",
        response_id: str | None = None,
        tokens: int | None = None,
    ) -> str | None:
        """By which instrumentation the call was counted before."""
        start, end = (int(second * 1e9) for second in times)
        ended = ReadableSpan(
            "chat",
            context=SpanContext(1, span, is_remote=False),
            parent=SpanContext(1, within, is_remote=False) if within else None,
            instrumentation_scope=InstrumentationScope(scope),
            start_time=start,
            end_time=end,
        )
        call = Call(
            operation=operation,
            provider="openai",
            started=utc(start),
            duration=(end - start) / 1e9,
            request_model=model,
            response_id=response_id,
            tokens=Tokens(input=tokens, output=tokens),
        )
        return self._duplicates.counted_by(call, ended, None)


def test_an_agent_s_span_around_several_calls_is_a_call_of_its_own() -> None:
    trace = Trace()
    assert trace.ended("client", 2, within=1, times=(1, 2), response_id="a", tokens=10) is None
    assert trace.ended("client", 3, within=1, times=(3, 4), response_id="b", tokens=10) is None
    assert trace.ended("agent", 1, times=(0, 5), tokens=20) is None


def test_a_framework_s_span_around_a_call_and_its_repetition_is_that_of_the_same_answer() -> None:
    trace = Trace()
    assert trace.ended("client", 2, within=1, times=(1, 2)) is None
    assert trace.ended("client", 3, within=1, times=(3, 4), response_id="b", tokens=10) is None
    assert trace.ended("framework", 1, times=(0, 5), response_id="b", tokens=10) == "client"


def test_an_embedding_within_a_chat_is_a_call_of_its_own() -> None:
    trace = Trace()
    assert trace.ended("client", 2, within=1, operation="embeddings", model="text-embedding-3-small") is None
    assert trace.ended("framework", 1) is None


def test_a_call_within_a_call_of_another_model_or_with_other_tokens_is_one_of_its_own() -> None:
    trace = Trace()
    assert trace.ended("client", 2, within=1, tokens=10) is None
    assert trace.ended("framework", 1, model="claude", tokens=10) is None
    assert trace.ended("client", 4, within=3, tokens=10) is None
    assert trace.ended("framework", 3, tokens=11) is None


def test_calls_side_by_side_are_duplicates_in_pairs() -> None:
    trace = Trace()
    assert trace.ended("client", 2, within=1, times=(1, 2)) is None
    assert trace.ended("framework", 3, within=1, times=(0, 3)) == "client"
    assert trace.ended("framework", 4, within=1, times=(0, 3)) is None


def test_the_same_id_at_another_time_is_another_call() -> None:
    trace = Trace()
    assert trace.ended("client", 1, times=(0, 1), response_id="chatcmpl-1") is None
    assert trace.ended("framework", 2, times=(2, 3), response_id="chatcmpl-1") is None


def test_calls_of_one_instrumentation_are_never_duplicates_of_each_other() -> None:
    trace = Trace()
    assert trace.ended("client", 2, within=1, response_id="a") is None
    assert trace.ended("client", 1, response_id="a") is None


def test_what_is_remembered_of_calls_is_bounded() -> None:
    trace = Trace()
    trace.ended("framework", 1)
    for span in range(2, 4_000):  # three places each
        trace.ended("client", span, response_id=f"chatcmpl-{span}")
    assert len(trace._duplicates._places) == 5_000


def test_a_call_that_two_instrumentations_see_is_in_flight_once() -> None:
    for outer, inner in ((OURS, OPENLLMETRY), (OPENLLMETRY, OURS)):
        open_calls = OpenCalls(frozenset({OURS}))
        for scope, span, parent in ((outer, 1, None), (inner, 2, 1)):
            open_calls.begin(
                ReadableSpan(
                    "chat",
                    context=SpanContext(1, span, is_remote=False),
                    parent=SpanContext(1, parent, is_remote=False) if parent else None,
                    attributes={signals.PROVIDER.name: "openai", signals.REQUEST_MODEL.name: "gpt-4o"},
                    instrumentation_scope=InstrumentationScope(scope),
                ),
                {},
            )
        assert open_calls.by_model() == {("openai", "gpt-4o"): 1}
