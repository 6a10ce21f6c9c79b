"""Whatever the application does, what we hold in memory and what we send stays bounded, and its calls go on."""

import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import genai_observability
import openai
import pytest
from genai_observability import signals
from genai_observability._call import utc
from genai_observability._capture.steps import OpenSteps
from genai_observability._record.instruments import OTHER, LabelBudget
from genai_observability._record.read import read_call
from genai_observability._record.scores import RecentCalls
from genai_observability._worker import Worker
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from instrumentation.tests.recording import Recording


def test_ten_thousand_feature_names_become_a_hundred_and_the_overflow_is_counted() -> None:
    overflows: list[None] = []
    budget = LabelBudget(on_overflow=lambda: overflows.append(None))
    features = {budget.bound({"app.feature": f"feature-{number}"}).values["app.feature"] for number in range(10_000)}
    assert len(features) == 101
    assert OTHER in features
    assert len(overflows) == 9_900


def test_combinations_of_labels_are_bounded_too() -> None:
    budget = LabelBudget(values=1000, combinations=300, on_overflow=lambda: None)
    bounded = [budget.bound({"app.feature": f"f{n % 50}", "app.team": f"t{n // 50}"}) for n in range(2_500)]
    assert len({tuple(labels.values.items()) for labels in bounded}) == 301
    assert bounded[0].values == {"app.feature": "f0", "app.team": "t0"}, "what came first keeps its labels"
    assert budget.bound({"app.feature": "f0", "app.team": "t0"}).values == {"app.feature": "f0", "app.team": "t0"}


def test_calls_beyond_the_label_bound_are_still_counted_under_other(
    client: openai.OpenAI, recording: Recording
) -> None:
    for number in range(105):
        with genai_observability.attributed_to(feature=f"feature-{number}"):
            client.embeddings.create(model="text-embedding-3-small", input="a")
    durations = recording.points(signals.CALL_DURATION.name)
    assert sum(point.count for point in durations) == 105
    other = [point.count for point in durations if point.labels[signals.FEATURE.name] == OTHER]
    assert other == [5]
    (dropped,) = recording.points(signals.DROPPED.name)
    assert (dropped.labels["genai_observability.dropped.kind"], dropped.value) == ("label", 5)


def test_calls_in_flight_beyond_the_label_bound_are_all_counted_and_none_is_dropped(recording: Recording) -> None:
    tracer = recording.tracer_provider.get_tracer("app")
    call = {signals.OPERATION.name: "chat", signals.PROVIDER.name: "openai"}
    spans = [tracer.start_span("chat", attributes={**call, signals.REQUEST_MODEL.name: f"m{n}"}) for n in range(105)]
    counts = {
        point.labels[signals.REQUEST_MODEL.name]: point.value
        for point in recording.points(signals.CALLS_IN_FLIGHT.name)
    }
    assert sum(counts.values()) == 105
    assert counts[OTHER] == 5
    assert recording.points(signals.DROPPED.name) == []
    for span in spans:
        span.end()
    assert recording.points(signals.CALLS_IN_FLIGHT.name) == []


def test_a_full_table_of_steps_costs_a_new_one_no_more_and_never_fails_in_many_threads() -> None:
    steps = OpenSteps()
    tool = {signals.OPERATION.name: "execute_tool"}
    contexts = (SpanContext(1, number, is_remote=False) for number in itertools.count(1))
    nothing = Resource({})

    def spans(count: int) -> list[ReadableSpan]:
        return [ReadableSpan("", next(contexts), resource=nothing, attributes=tool) for _ in range(count)]

    def begin(spans: list[ReadableSpan]) -> float:
        started = time.thread_time()
        for span in spans:
            steps.begin(span, None, is_call=False)
        return time.thread_time() - started

    empty = begin(spans(10_000))
    begin(spans(10_000))  # and now 20,000 that nobody ends
    assert max(begin(spans(10_000)) for _ in range(5)) < 3 * empty
    shares = [spans(5_000) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(begin, shares))
    finally:
        sys.setswitchinterval(interval)


def test_a_full_queue_refuses_more_and_goes_on_afterwards() -> None:
    gate = threading.Event()
    worker = Worker(capacity=10, warm_up=gate.wait)
    done: list[int] = []
    accepted = [worker.submit(lambda number=number: done.append(number)) for number in range(50)]  # type: ignore[misc]
    gate.set()
    assert worker.run(lambda: None, timeout=5)
    assert accepted.count(True) == len(done) in (9, 10)  # the waiting warm-up may or may not have left the queue
    assert done == sorted(done)


def test_a_task_that_fails_does_not_stop_the_next_one_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(capacity=10, warm_up=lambda: None)
    worker.submit(lambda: 1 / 0)
    worker.submit(lambda: 1 / 0)
    assert worker.run(lambda: None, timeout=5)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_the_memory_for_feedback_forgets_the_oldest_calls() -> None:
    recent = RecentCalls(capacity=3)
    for number in range(10):
        span = SpanContext(trace_id=1, span_id=number + 1, is_remote=False)
        recent.remember(ReadableSpan("chat", span, attributes={signals.RESPONSE_ID.name: str(number)}), None)
    known = [recent.find(str(number)).span for number in range(10)]
    assert [span.span_id if span else None for span in known] == [None] * 7 + [8, 9, 10]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": -1, "gen_ai.response.finish_reasons": 3},
        {"gen_ai.request.model": 7, "gen_ai.response.model": "", "gen_ai.response.time_to_first_chunk": "soon"},
        {"gen_ai.usage.input_tokens": True, "gen_ai.response.time_to_first_chunk": float("inf"), "error.type": 5},
    ],
)
def test_a_span_with_values_of_wrong_types_is_still_a_call(attributes: dict[str, object]) -> None:
    call = read_call(ReadableSpan("chat", start_time=2_000_000_000, end_time=1), None, attributes)
    assert call.duration == 0
    assert call.started == utc(2_000_000_000)
    assert call.tokens.input is None
    assert call.request_model is None
    assert call.time_to_first_token is None


def test_the_older_name_of_the_provider_is_understood() -> None:
    assert read_call(ReadableSpan("chat"), None, {"gen_ai.system": "anthropic"}).provider == "anthropic"
