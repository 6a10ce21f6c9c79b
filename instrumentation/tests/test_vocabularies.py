"""Under which names of the conventions the metrics of calls are: the old ones, the new ones, or both."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import product
from typing import Any

import openai
import pytest
from genai_observability import signals
from genai_observability.signals import Metric, Part, Place, emitted, places, vocabularies

from instrumentation.tests.recording import QUESTION, Point, Recording
from instrumentation.tests.test_usage import record_span

Recorded = Callable[[str], Recording]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """Starts a recording with a value of the variable that chooses."""
    with ExitStack() as started:

        def start(opt_in: str) -> Recording:
            monkeypatch.setenv(signals.OPT_IN_VARIABLE, opt_in)
            recording = Recording()
            started.callback(recording.close)
            return recording

        yield start


@pytest.fixture
def client(provider: str) -> Iterator[openai.OpenAI]:
    """Without a recording: each test starts its own."""
    with openai.OpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
        yield client


def make_calls(client: openai.OpenAI, recording: Recording) -> None:
    """Some of every kind: answered, streamed, cached, with reasoning, with audio, failed, and embeddings."""
    long: Any = [{"role": "user", "content": "What is a trace, and what is a span? " * 200}]
    for messages, model in ((long, "gpt-4o-mini"), (long, "gpt-4o-mini"), (QUESTION, "o4-mini")):
        client.chat.completions.create(model=model, messages=messages)
    options: Any = {"include_usage": True}
    list(client.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True, stream_options=options))
    client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, extra_headers={"x-demo-fault": "server_error"}
        )
    _record_audio(recording)


def _record_audio(recording: Recording) -> None:
    given = {
        "INPUT_TOKENS": 1_000, "AUDIO_INPUT_TOKENS": 800, "IMAGE_INPUT_TOKENS": 30, "CACHED_TOKENS": 100,
        "AUDIO_CACHED_TOKENS": 70, "CACHE_WRITE_TOKENS": 50, "OUTPUT_TOKENS": 500, "AUDIO_OUTPUT_TOKENS": 450,
        "IMAGE_OUTPUT_TOKENS": 5, "REASONING_TOKENS": 20,
    }  # fmt: skip
    kind = {signals.OPERATION.name: "chat", signals.PROVIDER.name: "openai", signals.REQUEST_MODEL.name: "gpt-audio"}
    counts = {getattr(signals, name).name: count for name, count in given.items()}
    recording.tracer_provider.get_tracer("another").start_span("chat", attributes={**kind, **counts}).end()


def value(point: Point, part: Part) -> float:
    return point.count if part == "count" else point.value


def total(recording: Recording, place: Place) -> dict[str, float]:
    """The sum of the series of a place, by the type of token that they are of or stand for."""
    found: dict[str, float] = {}
    means = {attribute.name: meaning for attribute, meaning in place.means}
    for point in recording.points(place.metric.name):
        if all(point.labels.get(attribute.name) == chosen for attribute, chosen in place.only):
            kind = str({**point.labels, **means}.get(signals.TOKEN_TYPE.name, ""))
            found[kind] = found.get(kind, 0) + value(point, place.part)
    return found


@pytest.mark.parametrize(
    ("opt_in", "expected"),
    [
        ("", ("old",)),
        ("http,database/dup", ("old",)),
        ("gen_ai_latest_experimental", ("new",)),
        ("http, gen_ai_latest_experimental ,database", ("new",)),
        ("gen_ai_latest_experimental/dup", ("old", "new")),
        ("gen_ai_latest_experimental,gen_ai_latest_experimental/dup", ("old", "new")),
    ],
)
def test_the_standard_variable_chooses_the_names_among_values_for_others(
    opt_in: str, expected: tuple[signals.Vocabulary, ...]
) -> None:
    assert vocabularies(opt_in) == expected


@pytest.mark.parametrize("opt_in", ["", "gen_ai_latest_experimental"])
def test_no_metric_is_emitted_in_the_names_that_were_not_chosen(
    opt_in: str, client: openai.OpenAI, recorded: Recorded
) -> None:
    recording = recorded(opt_in)
    make_calls(client, recording)
    (chosen,) = vocabularies(opt_in)
    of_calls = {metric.name for metric in emitted(chosen)} - {metric.name for metric in _neither()}
    assert recording.metric_names() & {metric.name for metric in emitted("old", "new")} >= of_calls
    assert recording.metric_names() <= {metric.name for metric in emitted(chosen)}


def _neither() -> set[Metric]:
    """What is called alike in both."""
    return set(emitted("old")) & set(emitted("new"))


@pytest.mark.parametrize("opt_in", ["gen_ai_latest_experimental", "gen_ai_latest_experimental/dup"])
def test_the_labels_of_the_new_names_are_those_of_the_catalogue(
    opt_in: str, client: openai.OpenAI, recorded: Recorded
) -> None:
    recording = recorded(opt_in)
    make_calls(client, recording)
    for metric in signals.NEW_METRICS:
        for point in recording.points(metric.name):
            assert set(point.labels) <= {label.name for label in metric.labels}, metric.name
            assert metric in signals.OF_EMBEDDINGS or point.labels[signals.OPERATION.name] == "chat"


def test_both_vocabularies_say_the_same_of_the_same_calls(client: openai.OpenAI, recorded: Recorded) -> None:
    recording = recorded("gen_ai_latest_experimental/dup")
    make_calls(client, recording)
    compared = 0
    for metric in (signals.CALL_DURATION, signals.CALL_TOKENS, signals.CALL_TOKENS_DETAIL):
        for part in set(metric.parts) - {"bucket"}:
            (old,) = places(metric, part, "old")
            new: dict[str, float] = {}
            for place in places(metric, part, "new"):
                for kind, amount in total(recording, place).items():
                    new[kind] = new.get(kind, 0) + amount
            assert new == pytest.approx(total(recording, old)), (metric.name, part)
            compared += len(new)
    assert compared == 2 + 2 * 2 + 7


def test_tokens_are_told_apart_by_modality_where_the_provider_does(client: openai.OpenAI, recorded: Recorded) -> None:
    recording = recorded("gen_ai_latest_experimental")
    _record_audio(recording)
    client.chat.completions.create(model="o4-mini", messages=QUESTION)

    def by_modality(metric: Metric, model: str) -> dict[str, float]:
        points = [point for point in recording.points(metric.name) if point.labels["gen_ai.request.model"] == model]
        return {point.labels[signals.TOKEN_MODALITY.name]: point.value for point in points}

    assert by_modality(signals.USED_INPUT, "gpt-audio") == {"audio": 800, "image": 30, "text": 170}
    assert by_modality(signals.USED_CACHED, "gpt-audio") == {"audio": 70, "text": 30}
    assert by_modality(signals.USED_OUTPUT, "gpt-audio") == {"audio": 450, "image": 5, "text": 45}
    assert by_modality(signals.USED_REASONING, "gpt-audio") == {"unknown": 20}
    assert set(by_modality(signals.USED_INPUT, "o4-mini")) == {"unknown"}


def test_counts_by_modality_that_exceed_the_whole_are_not_believed(recorded: Recorded) -> None:
    recording = recorded("gen_ai_latest_experimental")
    record_span(recording, REQUEST_MODEL="gpt-audio", INPUT_TOKENS=100, OUTPUT_TOKENS=10, AUDIO_INPUT_TOKENS=500)
    (used,) = recording.points(signals.USED_INPUT.name)
    assert (used.value, used.labels[signals.TOKEN_MODALITY.name]) == (100, "unknown")


def test_the_first_chunk_is_counted_in_the_new_names_beside_the_first_token(
    client: openai.OpenAI, recorded: Recorded
) -> None:
    recording = recorded("gen_ai_latest_experimental")
    list(client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True))
    (chunk,) = recording.points(signals.INFERENCE_TIME_TO_FIRST_CHUNK.name)
    (token,) = recording.points(signals.CALL_TIME_TO_FIRST_TOKEN.name)
    assert 0 < chunk.value < token.value


def test_no_two_metrics_of_a_query_have_series_with_the_same_labels_however_many_labels_there_are(
    recorded: Recorded,
) -> None:
    """Prometheus refuses a query that finds two: all rules and panels over calls would fail."""
    recording = recorded("gen_ai_latest_experimental")
    tracer = recording.tracer_provider.get_tracer("another")
    for feature, team, operation in product(range(20), range(10), ("chat", "embeddings")):
        attributes = {signals.FEATURE.name: f"f{feature}", signals.TEAM.name: f"t{team}"}
        tracer.start_span("call", attributes={**attributes, signals.OPERATION.name: operation}).end()
    inferences, embeddings = (
        [frozenset(point.labels.items()) for point in recording.points(metric.name)]
        for metric in (signals.INFERENCE_DURATION, signals.EMBEDDINGS_DURATION)
    )
    assert len(inferences) + len(embeddings) == 301, "the last one has what is beyond the bound"
    assert not set(inferences) & set(embeddings)
