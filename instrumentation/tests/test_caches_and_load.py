"""Caches, fallbacks, circuit breakers and queues: what the application says of them is what is exported."""

import logging
import queue
from collections.abc import Iterator
from typing import Any

import genai_observability
import pytest
from genai_observability import signals
from genai_observability._record import measures as _gauges

from instrumentation.tests.recording import Recording


@pytest.fixture(autouse=True)
def _no_gauges() -> Iterator[None]:
    yield
    for sources in _gauges._sources.values():
        sources.clear()


def values(recording: Recording, metric: signals.Metric) -> dict[tuple[str, ...], float]:
    return {tuple(point.labels.values()): point.value for point in recording.points(metric.name)}


def test_hits_misses_and_false_hits_are_counted_with_what_they_saved(recording: Recording) -> None:
    cache = genai_observability.cache("semantic")
    with genai_observability.attributed_to(feature="search", user="alice"):
        cache.hit(similarity=0.97, age=30, saved_usd=0.002, saved_seconds=1.5)
        cache.hit(saved_usd=0.001)
        cache.miss(similarity=0.41)
        cache.false_hit(similarity=0.91)
    requests = values(recording, signals.CACHE_REQUESTS)
    assert requests == {
        ("semantic", "hit", "search"): 2,
        ("semantic", "miss", "search"): 1,
        ("semantic", "false_hit", "search"): 1,
    }
    similarity = values(recording, signals.CACHE_SIMILARITY)
    assert similarity == {("semantic", "hit"): 0.97, ("semantic", "miss"): 0.41, ("semantic", "false_hit"): 0.91}
    assert values(recording, signals.CACHE_SAVED_COST) == {("semantic", "search"): pytest.approx(0.003)}
    assert values(recording, signals.CACHE_SAVED_TIME) == {("semantic", "search"): 1.5}
    assert values(recording, signals.CACHE_AGE) == {("semantic",): 30}


def test_evictions_are_counted_and_the_size_is_exported_until_it_changes(recording: Recording) -> None:
    cache = genai_observability.cache("exact")
    cache.eviction(entries=3)
    cache.eviction()
    cache.size(10)
    assert values(recording, signals.CACHE_EVICTIONS) == {("exact",): 4}
    assert values(recording, signals.CACHE_SIZE) == {("exact",): 10}
    cache.size(lambda: 11)
    assert values(recording, signals.CACHE_SIZE) == {("exact",): 11}
    cache.size(None)
    assert values(recording, signals.CACHE_SIZE) == {}


def test_a_fallback_is_counted_from_where_to_where_and_why(recording: Recording) -> None:
    genai_observability.fallback(
        from_provider="openai", from_model="gpt-4o", to_provider="azure.ai.openai", to_model="gpt-4o", reason="timeout"
    )
    genai_observability.fallback(from_model="gpt-4o", to_model="gpt-4o-mini")
    assert sorted(values(recording, signals.FALLBACKS)) == [
        ("gpt-4o", "gpt-4o-mini"),
        ("openai", "gpt-4o", "azure.ai.openai", "gpt-4o", "timeout"),
    ]


def test_a_circuit_breaker_is_in_one_state_and_not_in_the_others(recording: Recording) -> None:
    genai_observability.circuit_breaker("openai", state="closed")
    genai_observability.circuit_breaker("openai", state="open")
    assert values(recording, signals.BREAKERS) == {
        ("openai", "closed"): 0,
        ("openai", "open"): 1,
        ("openai", "half_open"): 0,
    }


def test_a_state_that_there_is_not_is_said_and_left_out(recording: Recording, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        states: list[Any] = ["half-open", None, []]
        for state in states:
            genai_observability.circuit_breaker("openai", state=state)
    assert caplog.text.count("is none of: closed, open, half_open") == 3
    assert values(recording, signals.BREAKERS) == {}


def test_the_depth_of_a_queue_is_asked_for_at_each_export_also_of_one_named_before_instrument() -> None:
    waiting: queue.Queue[int] = queue.Queue()
    genai_observability.queue_depth("ingest", waiting.qsize)
    genai_observability.queue_depth("fixed", 7)
    recording = Recording()
    try:
        waiting.put(1)
        assert values(recording, signals.QUEUE_DEPTH) == {("ingest",): 1, ("fixed",): 7}
        waiting.put(2)
        genai_observability.queue_depth("fixed", None)
        assert values(recording, signals.QUEUE_DEPTH) == {("ingest",): 2}
    finally:
        recording.close()


def fail() -> float:
    raise RuntimeError("the queue is gone")


@pytest.mark.parametrize("depth", [fail, lambda: "many", lambda: float("nan"), float("inf"), "7", object()])
def test_a_depth_that_is_none_costs_that_gauge_alone(recording: Recording, depth: Any) -> None:
    genai_observability.queue_depth("broken", depth)
    genai_observability.queue_depth("sound", 1)
    assert values(recording, signals.QUEUE_DEPTH) == {("sound",): 1}


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "0.1", object()])
def test_an_amount_that_is_none_is_left_out_and_the_hit_still_counts(recording: Recording, amount: Any) -> None:
    genai_observability.cache("semantic").hit(saved_usd=amount, similarity=amount, age=amount, saved_seconds=amount)
    assert values(recording, signals.CACHE_REQUESTS) == {("semantic", "hit"): 1}
    assert values(recording, signals.CACHE_SAVED_COST) == {}


def test_names_that_no_one_bounds_end_as_other_or_are_left_out(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(120):
        genai_observability.cache(f"cache {number}").miss()
        genai_observability.queue_depth(f"queue {number}", number)
    assert len(values(recording, signals.CACHE_REQUESTS)) == 101
    assert ("_other", "miss") in values(recording, signals.CACHE_REQUESTS)
    assert len(values(recording, signals.QUEUE_DEPTH)) == 100
    assert "queue 119 is not exported" in caplog.text


def test_without_instrument_all_of_it_does_nothing() -> None:
    cache = genai_observability.cache("semantic")
    cache.hit(saved_usd=1)
    cache.miss()
    cache.eviction()
    genai_observability.fallback(from_model="a", to_model="b")
    recording = Recording()
    assert not recording.metric_names() & {signals.CACHE_REQUESTS.name, signals.FALLBACKS.name}
    recording.close()


def test_every_metric_has_the_labels_and_the_unit_of_the_catalogue(recording: Recording) -> None:
    with genai_observability.attributed_to(feature="search", team="growth", tenant="acme", endpoint="/"):
        genai_observability.cache("semantic").hit(similarity=1, age=1, saved_usd=1, saved_seconds=1)
        genai_observability.cache("semantic").size(1)
        genai_observability.fallback(from_model="a", to_model="b", from_provider="c", to_provider="d", reason="e")
        genai_observability.circuit_breaker("openai", state="open")
        with genai_observability.retrieval("handbook") as step:
            step.documents([("d-1", 0.5)])
    catalogue = {metric.name: metric for metric in signals.METRICS}
    names = recording.metric_names()
    assert {signals.CACHE_SIZE.name, signals.FALLBACKS.name, signals.STEP_DURATION.name} <= names <= catalogue.keys()
    for name in names:
        allowed = {label.name for label in catalogue[name].labels}
        for point in recording.points(name):
            assert point.labels.keys() <= allowed
