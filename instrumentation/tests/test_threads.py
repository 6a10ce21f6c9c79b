"""Threads work for whoever starts them, and threads of a pool for whoever gives them something to do."""

import contextvars
import gc
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import genai_observability
import openai
import pytest
from genai_observability import signals
from genai_observability._context import attribution as _attribution
from genai_observability._context import threads as _threads
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from instrumentation.tests.recording import QUESTION, Recording


@pytest.fixture
def followed() -> Iterator[None]:
    end = _threads.follow()
    yield
    end()


def attribution() -> dict[str, Any]:
    return dict(_attribution.current())


def in_thread(function: Callable[[], object]) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


SEARCH = {"app.feature": "search"}


def test_a_call_in_a_thread_belongs_to_whoever_started_the_thread_and_to_its_trace(
    client: openai.OpenAI, recording: Recording
) -> None:
    def call() -> None:
        client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)

    with genai_observability.attributed_to(feature="search"), genai_observability.workflow("answer"):
        in_thread(call)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(call).result()
    *calls, workflow = recording.spans
    assert [span.parent and span.parent.span_id for span in calls] == [workflow.context.span_id] * 2
    assert [record[signals.FEATURE.name] for record in recording.records] == ["search"] * 2


@pytest.mark.usefixtures("followed")
def test_threads_of_every_kind_of_class_follow() -> None:
    found: list[object] = []

    class Own(threading.Thread):
        def run(self) -> None:
            found.append(attribution())

    with genai_observability.attributed_to(feature="search"):
        timer = threading.Timer(0, lambda: found.append(attribution()))
        threads = (threading.Thread(target=lambda: found.append(attribution())), Own(), timer)
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert found == [SEARCH] * 3
    assert in_thread(attribution) == {}


@pytest.mark.usefixtures("followed")
@pytest.mark.parametrize("daemon", [False, True])
def test_a_thread_works_for_its_starter_also_after_that_has_ended(daemon: bool) -> None:
    ended = threading.Event()
    found: list[object] = []

    def work() -> None:
        ended.wait(10)
        found.append(attribution())

    thread = threading.Thread(target=work, daemon=daemon)
    with genai_observability.attributed_to(feature="search"):
        thread.start()
    ended.set()
    thread.join()
    assert found == [SEARCH]


@pytest.mark.usefixtures("followed")
def test_a_thread_that_serves_all_requests_is_started_outside_of_them_and_each_job_brings_its_own() -> None:
    jobs: queue.SimpleQueue[tuple[contextvars.Context, Callable[[], object]] | None] = queue.SimpleQueue()
    found: list[object] = []

    def serve() -> None:
        found.append(attribution())
        while job := jobs.get():
            context, function = job
            found.append(context.run(function))
        found.append((attribution(), trace.get_current_span()))

    thread = threading.Thread(target=serve, daemon=True)
    span = TracerProvider(shutdown_on_exit=False).get_tracer("app").start_as_current_span("the first request")
    with genai_observability.attributed_to(feature="search"), span:
        contextvars.Context().run(thread.start)
        jobs.put((contextvars.copy_context(), attribution))
    jobs.put((contextvars.copy_context(), attribution))
    jobs.put(None)
    thread.join()
    assert found == [{}, SEARCH, {}, ({}, trace.INVALID_SPAN)]


@pytest.mark.usefixtures("followed")
def test_threads_of_a_pool_keep_nothing_of_the_request_that_started_them() -> None:
    with ThreadPoolExecutor(1) as pool:
        with genai_observability.attributed_to(feature="search"):
            assert pool.submit(attribution).result() == SEARCH  # starts the thread
            assert list(pool.map(lambda _: attribution(), range(2))) == [SEARCH] * 2
        assert pool.submit(attribution).result() == {}
        with genai_observability.attributed_to(feature="other"):
            assert pool.submit(attribution).result() == {"app.feature": "other"}
            assert attribution() == {"app.feature": "other"}


@pytest.mark.usefixtures("followed")
def test_threads_of_a_pool_of_multiprocessing_belong_to_no_request() -> None:
    with genai_observability.attributed_to(feature="search"), ThreadPool(1) as pool:
        assert pool.apply(attribution) == {}
        assert pool.apply(contextvars.copy_context().run, (attribution,)) == SEARCH


@pytest.mark.usefixtures("followed")
def test_other_context_variables_are_as_python_has_them_and_so_is_the_thread() -> None:
    variable = contextvars.ContextVar("variable", default="default")
    with genai_observability.attributed_to(feature="search"):
        variable.set("mine")
        assert in_thread(variable.get) == "default"
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    assert "run" not in vars(thread)
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()


@pytest.mark.usefixtures("followed")
def test_a_finished_thread_is_forgotten_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        with genai_observability.attributed_to(feature="search"):
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
        reference = weakref.ref(thread)
        del thread
        assert reference() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("followed")
def test_what_a_function_in_a_pool_raises_and_returns_is_the_callers() -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise KeyError(args, tuple(kwargs.items()))

    with genai_observability.attributed_to(feature="search"), ThreadPoolExecutor(1) as pool:
        with pytest.raises(KeyError) as error:
            pool.submit(fail, 1, two=2).result()
        assert error.value.args == ((1,), (("two", 2),))
        pool.shutdown()
        with pytest.raises(RuntimeError, match="cannot schedule new futures"):
            pool.submit(fail)
        assert attribution() == SEARCH


def test_nothing_follows_where_that_is_switched_off_and_python_gets_its_methods_back() -> None:
    methods = threading.Thread.start, ThreadPoolExecutor.submit
    recording = Recording(threads=False)
    span = recording.tracer_provider.get_tracer("app").start_as_current_span("a")
    with genai_observability.attributed_to(feature="search"), span:
        assert in_thread(attribution) == {}
        assert in_thread(trace.get_current_span) is trace.INVALID_SPAN
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == methods
    recording.close()
    end = _threads.follow()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) != methods
    end()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == methods
