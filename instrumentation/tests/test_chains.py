"""The steps of a chain: each with its time, its outcome and the money spent inside, in one trace."""

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import genai_observability
import openai
import pytest
from genai_observability import signals
from genai_observability._instrument import recorder
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.programs import CLIENT, Run
from instrumentation.tests.recording import QUESTION, Point, Recording

STEPS = (
    genai_observability.workflow("answer"),
    genai_observability.agent("planner", version="2", model="gpt-4o"),
    genai_observability.tool("search_orders", call_id="call_1", type="function"),
    genai_observability.retrieval("handbook", top_k=3),
    genai_observability.rerank("cross-encoder", model="bge-reranker", top_k=2),
)


def ask(client: openai.OpenAI, model: str = "gpt-4o-mini") -> None:
    client.chat.completions.create(model=model, messages=QUESTION)


def by_name(spans: tuple[ReadableSpan, ...]) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans}


def step_points(recording: Recording, metric: signals.Metric) -> dict[tuple[str, str], Point]:
    points = recording.points(metric.name)
    return {(str(p.labels[signals.OPERATION.name]), str(p.labels[signals.STEP_NAME.name])): p for p in points}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_every_kind_of_step_is_a_span_of_the_conventions_below_the_one_around_it(recording: Recording) -> None:
    with genai_observability.attributed_to(feature="support"):
        workflow, agent, tool, retrieval, rerank = STEPS
        with workflow, agent, tool, retrieval, rerank:
            pass
    spans = recording.spans
    assert [span.name for span in reversed(spans)] == [
        "invoke_workflow answer",
        "invoke_agent planner",
        "execute_tool search_orders",
        "retrieval handbook",
        "rerank cross-encoder",
    ]
    for inner, outer in itertools.pairwise(spans):
        assert inner.parent
        assert outer.context
        assert inner.parent.span_id == outer.context.span_id
    found = [attributes(span) for span in spans]
    assert all(each[signals.FEATURE.name] == "support" for each in found)
    assert found[3][signals.AGENT_VERSION.name] == "2"
    assert found[2][signals.TOOL_CALL_ID.name] == "call_1"
    assert found[1][signals.TOP_K.name] == 3
    assert found[0][signals.REQUEST_MODEL.name] == "bge-reranker"
    assert trace.get_current_span() is trace.INVALID_SPAN


class RefusedError(Exception):
    """Of this module."""


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "status", "more"),
    [
        (None, (StatusCode.UNSET, None), {}),
        (KeyError("order"), (StatusCode.ERROR, "'order'"), {"error.type": "KeyError"}),
        (RefusedError("no"), (StatusCode.ERROR, "no"), {"error.type": f"{__name__}.RefusedError"}),
        (UnprintableError(), (StatusCode.ERROR, "unprintable"), {"error.type": f"{__name__}.UnprintableError"}),
        (asyncio.CancelledError(), (StatusCode.ERROR, ""), {"error.type": "asyncio.exceptions.CancelledError"}),
    ],
)
def test_the_span_of_each_kind_of_step_is_as_the_conventions_say(
    recording: Recording, error: BaseException | None, status: tuple[Any, Any], more: dict[str, Any]
) -> None:
    for opening in (*STEPS, genai_observability.embedding("bge", provider="local"), genai_observability.agent("bare")):
        with contextlib.suppress(BaseException), opening:
            if error is not None:
                raise error
    found = [(span.name, span.kind, attributes(span)) for span in recording.spans]
    assert {(span.status.status_code, span.status.description) for span in recording.spans} == {status}
    operation, source, model = "gen_ai.operation.name", "gen_ai.data_source.id", "gen_ai.request.model"
    agent = {operation: "invoke_agent", "gen_ai.agent.name": "planner", "gen_ai.agent.version": "2", model: "gpt-4o"}
    tool = {operation: "execute_tool", "gen_ai.tool.name": "search_orders", "gen_ai.tool.call.id": "call_1"}
    retrieval = {operation: "retrieval", source: "handbook", "gen_ai.retrieval.top_k": 3}
    rerank = {operation: "rerank", source: "cross-encoder", model: "bge-reranker", "gen_ai.retrieval.top_k": 2}
    embedding = {operation: "embeddings", model: "bge", "gen_ai.provider.name": "local"}
    bare = {operation: "invoke_agent", "gen_ai.agent.name": "bare"}
    assert found == [
        (
            "invoke_workflow answer",
            SpanKind.INTERNAL,
            {operation: "invoke_workflow", "gen_ai.workflow.name": "answer", **more},
        ),
        ("invoke_agent planner", SpanKind.INTERNAL, {**agent, **more}),
        ("execute_tool search_orders", SpanKind.INTERNAL, {**tool, "gen_ai.tool.type": "function", **more}),
        ("retrieval handbook", SpanKind.CLIENT, {**retrieval, **more}),
        ("rerank cross-encoder", SpanKind.CLIENT, {**rerank, **more}),
        ("embeddings bge", SpanKind.CLIENT, {**embedding, **more}),
        ("invoke_agent bare", SpanKind.INTERNAL, {**bare, **more}),
    ]


SEARCH = genai_observability.retrieval("orders")


def test_one_object_may_be_opened_inside_itself(recording: Recording) -> None:
    with SEARCH as outer, SEARCH as middle, contextlib.suppress(KeyError), SEARCH as inner:
        for count, step in enumerate((outer, middle, inner), 1):
            step.documents(["d"] * count)
        raise KeyError
    first, second, third = recording.spans
    assert [attributes(span)[signals.DOCUMENT_COUNT.name] for span in (first, second, third)] == [3, 2, 1]
    assert [signals.ERROR_TYPE.name in attributes(span) for span in (first, second, third)] == [True, False, False]
    assert (first.parent, second.parent, third.parent) == (second.context, third.context, None)
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert not SEARCH._opened


def test_one_object_may_be_open_in_many_threads_and_tasks_at_once(recording: Recording) -> None:
    tracer = recording.tracer_provider.get_tracer("app")

    async def search(number: int) -> None:
        with tracer.start_as_current_span(f"around {number}"), SEARCH as step:
            await asyncio.sleep(0.01 * (number % 5))
            step.documents(["d"] * number)

    async def searches(first: int) -> None:
        await asyncio.gather(*(search(first + number) for number in range(10)))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda first: asyncio.run(searches(first)), (0, 10, 20, 30)))
    around = {span.context.span_id: span.name for span in recording.spans if span.context}
    steps = [span for span in recording.spans if span.name == "retrieval orders"]
    assert len(steps) == 40
    for span in steps:
        assert span.parent
        assert around[span.parent.span_id] == f"around {attributes(span)[signals.DOCUMENT_COUNT.name]}"


def test_a_decorated_function_may_call_itself(recording: Recording) -> None:
    @genai_observability.tool("count")
    def count(down: int) -> int:
        return count(down - 1) + 1 if down else 0

    assert count(3) == 3
    depths = [span.parent and span.parent.span_id for span in recording.spans]
    assert depths == [*(span.context.span_id for span in recording.spans[1:] if span.context), None]


def test_documents_are_kept_as_ids_and_scores_whatever_they_come_as_and_never_with_content(
    recording: Recording,
) -> None:
    content = SimpleNamespace(id="d-5", score=0.5, page_content="secret")
    with genai_observability.retrieval("handbook") as step:
        step.documents(
            [
                ("d-1", 0.9),
                {"id": "d-2", "score": 0.8, "text": "secret"},
                "d-3",
                (SimpleNamespace(id=UUID(int=4), page_content="secret"), 0.7),
                content,
                ("d-6", float("nan")),
                (SimpleNamespace(page_content="secret"), 0.1),
                object(),
            ]
        )
    (span,) = recording.spans
    assert json.loads(attributes(span)[signals.DOCUMENTS.name]) == [
        {"id": "d-1", "score": 0.9},
        {"id": "d-2", "score": 0.8},
        {"id": "d-3"},
        {"id": str(UUID(int=4)), "score": 0.7},
        {"id": "d-5", "score": 0.5},
        {"id": "d-6"},
        {"id": None, "score": 0.1},
        {"id": None},
    ]
    assert attributes(span)[signals.DOCUMENT_COUNT.name] == 8
    assert attributes(span)[signals.BEST_SCORE.name] == 0.9
    assert "secret" not in span.to_json()
    (documents,) = recording.points(signals.STEP_DOCUMENTS.name)
    (score,) = recording.points(signals.STEP_SCORES.name)
    assert (documents.value, score.value) == (8, 0.9)


def test_of_many_documents_all_are_counted_and_a_hundred_kept(recording: Recording) -> None:
    with genai_observability.retrieval("handbook") as step:
        step.documents([str(number) for number in range(1000)])
    with genai_observability.retrieval("handbook") as step:
        step.documents([])
    full, empty = map(attributes, recording.spans)
    assert (len(json.loads(full[signals.DOCUMENTS.name])), full[signals.DOCUMENT_COUNT.name]) == (100, 1000)
    assert empty[signals.DOCUMENT_COUNT.name] == 0


def test_an_iterator_of_documents_is_left_to_the_application(recording: Recording) -> None:
    found: Any = iter(["d-1", "d-2"])
    with genai_observability.retrieval("handbook") as step:
        step.documents(found)
    assert list(found) == ["d-1", "d-2"]
    assert signals.DOCUMENTS.name not in attributes(recording.spans[0])


@pytest.mark.parametrize("documents", [None, 7, [{"id": {"a": 1}, "score": "high"}], [(1, 2, 3)], [None]])
def test_documents_of_any_shape_never_break_the_application(recording: Recording, documents: Any) -> None:
    with genai_observability.retrieval("handbook") as step:
        step.documents(documents)
    (span,) = recording.spans
    assert span.name == "retrieval handbook"


def test_money_and_calls_below_a_step_count_for_every_step_around_them(
    client: openai.OpenAI, recording: Recording
) -> None:
    with genai_observability.workflow("answer"):
        ask(client)
        with (
            genai_observability.agent("planner"),
            recording.tracer_provider.get_tracer("app").start_as_current_span("a"),
        ):
            ask(client)
            with genai_observability.tool("lookup"):
                pass
    ask(client)  # outside
    costs = [float(record[signals.COST.name]) for record in recording.records]
    points = step_points(recording, signals.STEP_COSTS)
    assert points.keys() == {("invoke_workflow", "answer"), ("invoke_agent", "planner")}
    assert points["invoke_agent", "planner"].value == pytest.approx(costs[1])
    assert points["invoke_workflow", "answer"].value == pytest.approx(costs[0] + costs[1])


def test_a_stream_that_is_read_after_its_step_counts_for_it(client: openai.OpenAI, recording: Recording) -> None:
    with genai_observability.workflow("answer"):
        stream = client.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    recording.settle()
    assert step_points(recording, signals.STEP_COSTS) == {}
    list(stream)
    cost = recording.record[signals.COST.name]
    assert step_points(recording, signals.STEP_COSTS)["invoke_workflow", "answer"].value == pytest.approx(cost)


def test_steps_of_other_instrumentations_count_too(client: openai.OpenAI, recording: Recording) -> None:
    tracer = recording.tracer_provider.get_tracer("framework")
    agent = {signals.OPERATION.name: "invoke_agent", signals.AGENT_NAME.name: "theirs"}
    with tracer.start_as_current_span("agent", attributes=agent):
        ask(client)
    assert step_points(recording, signals.STEP_COSTS)["invoke_agent", "theirs"].value > 0


def test_steps_are_counted_and_charged_whatever_the_sampler_drops(provider: str) -> None:
    recording = Recording(TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False))
    dropped = recording.tracer_provider.get_tracer("app").start_as_current_span("dropped")
    client = openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0)
    with client, genai_observability.workflow("answer"), dropped:
        ask(client)
    assert recording.spans == ()
    assert step_points(recording, signals.STEP_DURATION)["invoke_workflow", "answer"].count == 1
    assert step_points(recording, signals.STEP_COSTS)["invoke_workflow", "answer"].value > 0
    recording.close()


def test_a_step_that_fails_says_so_and_lets_the_error_through(recording: Recording) -> None:
    with pytest.raises(KeyError), genai_observability.tool("lookup"):
        raise KeyError
    with pytest.raises(TimeoutError), genai_observability.tool("slow"):
        raise TimeoutError
    points = step_points(recording, signals.STEP_DURATION)
    failed, slow = points["execute_tool", "lookup"].labels, points["execute_tool", "slow"].labels
    assert (failed[signals.OUTCOME.name], failed[signals.ERROR_TYPE.name]) == ("error", "KeyError")
    assert slow[signals.OUTCOME.name] == "timeout"


def test_as_a_decorator_each_call_is_a_step_of_its_own_also_at_the_same_time(recording: Recording) -> None:
    @genai_observability.tool("wait")
    async def wait(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    @genai_observability.tool("plain")
    def plain(value: int) -> int:
        return value

    async def both() -> list[float]:
        with genai_observability.workflow("answer"):
            return list(await asyncio.gather(wait(0.02), wait(0.01)))

    assert asyncio.run(both()) == [0.02, 0.01]
    assert plain(1) == 1
    *waits, workflow, alone = recording.spans
    assert [span.name for span in waits] == ["execute_tool wait"] * 2
    assert all(span.parent and span.parent.span_id == workflow.context.span_id for span in waits)
    assert alone.parent is None


def test_a_decorated_generator_is_one_step_whose_span_its_consumer_never_sees(
    client: openai.OpenAI, recording: Recording
) -> None:
    @genai_observability.workflow("stream")
    def answers() -> Iterator[int]:
        for number in range(2):
            ask(client)
            yield number

    @genai_observability.workflow("stream")
    async def closed_early() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def leave_midway() -> None:
        generator = closed_early()
        await anext(generator)
        assert trace.get_current_span() is trace.INVALID_SPAN
        await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]

    for _ in answers():
        assert trace.get_current_span() is trace.INVALID_SPAN
    asyncio.run(leave_midway())
    first, second, whole, left = recording.spans
    assert whole.context
    assert [call.parent and call.parent.span_id for call in (first, second)] == [whole.context.span_id] * 2
    assert attributes(left)[signals.ERROR_TYPE.name] == "GeneratorExit"
    outcomes = {point.labels[signals.OUTCOME.name] for point in recording.points(signals.STEP_DURATION.name)}
    assert outcomes == {"success", "cancelled"}


def test_a_step_in_a_generator_that_is_closed_in_another_context_ends_without_a_complaint(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    async def stream() -> AsyncIterator[int]:
        with genai_observability.workflow("stream"):
            yield 1

    async def close_elsewhere() -> None:
        generator = stream()
        await asyncio.create_task(anext(generator))  # type: ignore[arg-type]
        await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]

    asyncio.run(close_elsewhere())
    assert [span.name for span in recording.spans] == ["invoke_workflow stream"]
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


def test_an_embedding_of_ones_own_is_a_model_call(recording: Recording) -> None:
    with genai_observability.embedding("bge-small", provider="sentence_transformers") as step:
        step.tokens(12)
    assert recording.record[signals.PROVIDER.name] == "sentence_transformers"
    assert (recording.record[signals.INPUT_TOKENS.name], recording.record[signals.UNPRICED.name]) == (
        12,
        "unknown_model",
    )


@pytest.mark.parametrize("name", ["text-embedding-3-small", "my search"])
def test_an_embedding_of_ones_own_around_calls_of_a_client_is_not_counted_besides(
    client: openai.OpenAI, recording: Recording, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with (
        genai_observability.workflow("answer"),
        genai_observability.embedding(name, provider="openai") as step,
        recording.tracer_provider.get_tracer("app").start_as_current_span("in between"),
    ):
        step.tokens(7)
        for _ in range(2):
            client.embeddings.create(model="text-embedding-3-small", input="Where is my order?")
    assert all(record[signals.COST.name] > 0 for record in recording.records)
    assert len(recording.records) == 2
    (own,) = [
        span
        for span in recording.spans
        if span.name == f"embeddings {name}" and signals.DUPLICATE_OF.name in attributes(span)
    ]
    assert attributes(own)[signals.DUPLICATE_OF.name] != "genai_observability"
    spent = sum(record[signals.COST.name] for record in recording.records)
    assert step_points(recording, signals.STEP_COSTS)["invoke_workflow", "answer"].value == pytest.approx(spent)
    assert not caplog.messages


def test_without_instrument_and_after_its_end_steps_do_nothing_and_cost_nothing(recording: Recording) -> None:
    recording.close()
    assert recorder() is None
    for opening in STEPS:
        with opening as step:
            step.documents([("d-1", 0.9)])
            step.tokens(1)
            assert trace.get_current_span() is trace.INVALID_SPAN
    with pytest.raises(KeyError), STEPS[0]:
        raise KeyError


def test_names_that_no_one_bounds_end_as_other(recording: Recording) -> None:
    for number in range(120):
        with genai_observability.tool(f"tool {number}"):
            pass
    names = {point.labels[signals.STEP_NAME.name] for point in recording.points(signals.STEP_DURATION.name)}
    assert len(names) == 101
    assert "_other" in names


def test_steps_that_have_ended_leave_nothing_behind(client: openai.OpenAI, recording: Recording) -> None:
    with genai_observability.workflow("answer"), recording.tracer_provider.get_tracer("app").start_as_current_span("a"):
        ask(client)
    found = recorder()
    assert found
    assert found.open_steps._by_span == {}


@pytest.mark.parametrize("name", [None, 7, object(), "x" * 10_000])
def test_a_name_of_any_kind_never_breaks_the_application(recording: Recording, name: Any) -> None:
    with genai_observability.tool(name), genai_observability.retrieval(name, top_k="many"):  # type: ignore[arg-type]
        pass
    assert len(recording.spans) == 2


def test_everything_on_the_span_of_a_step_is_in_the_catalogue(recording: Recording) -> None:
    with STEPS[0], STEPS[1], STEPS[2], STEPS[3] as step:
        step.documents([("d-1", 0.9)])
    known = {attribute.name for attribute in signals.attributes()}
    assert set().union(*map(attributes, recording.spans)) <= known


def test_steps_need_no_client_and_nothing_that_comes_with_one(run: Run, capture: Capture) -> None:
    program = """
import sys
sys.modules |= dict.fromkeys(("openai", "opentelemetry.util.genai"))  # as if they were not installed
import genai_observability
genai_observability.instrument(service_name="shop")
with genai_observability.workflow("answer"), genai_observability.embedding("bge", provider="local") as step:
    step.tokens(12)
"""
    done = run(sys.executable, "app.py", program=program)
    assert done.returncode == 0
    assert "Steps are not recorded" not in done.stderr
    assert {span.name for span in capture.spans} == {"invoke_workflow answer", "embeddings bge"}


PROGRAM = """
import genai_observability
genai_observability.instrument(service_name="shop")
with genai_observability.workflow("answer"):
    with genai_observability.agent("planner"):
        ask()
        ask("nobody-knows-it")
    ask()
    try:
        with genai_observability.tool("lookup"):
            raise ValueError("no order of alice@example.com")
    except ValueError:
        pass
"""


def test_the_exported_span_of_a_step_says_what_was_spent_inside_it(run: Run, capture: Capture) -> None:
    done = run(sys.executable, "-W", "error", "app.py", program=CLIENT + PROGRAM)
    assert (done.returncode, done.stderr) == (0, "")
    spans = {span.name: values(span.attributes) for span in capture.spans}
    costs = [cost for span in capture.spans if (cost := values(span.attributes).get(signals.COST.name))]
    workflow, agent, tool = (
        spans[name] for name in ("invoke_workflow answer", "invoke_agent planner", "execute_tool lookup")
    )
    assert workflow[signals.STEP_COST.name] == pytest.approx(sum(costs))
    assert agent[signals.STEP_COST.name] == pytest.approx(costs[0])
    assert (workflow[signals.STEP_CALLS.name], workflow[signals.STEP_UNPRICED.name]) == (3, 1)
    assert (tool[signals.STEP_CALLS.name], tool[signals.OUTCOME.name]) == (0, "error")
    assert signals.STEP_COST.name not in tool
    assert b"alice" not in capture.everything
    assert len({span.trace_id for span in capture.spans}) == 1
