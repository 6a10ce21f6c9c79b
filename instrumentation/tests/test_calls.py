"""What is recorded of each kind of call."""

import asyncio
import json

import genai_observability
import openai
import pytest
from genai_observability import signals

from instrumentation.tests.recording import QUESTION, Recording


def test_a_chat_call_is_one_log_record_with_its_model_tokens_cost_and_outcome(
    client: openai.OpenAI, recording: Recording
) -> None:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, temperature=0.2, max_tokens=64)
    assert answer.usage
    record = recording.record
    assert record[signals.EVENT_NAME.name] == signals.CALL_EVENT
    assert record[signals.OPERATION.name] == "chat"
    assert record[signals.PROVIDER.name] == "openai"
    assert record[signals.REQUEST_MODEL.name] == "gpt-4o-mini"
    assert record[signals.RESPONSE_MODEL.name] == "gpt-4o-mini-2024-07-18"
    assert record[signals.RESPONSE_ID.name] == answer.id
    assert record[signals.INPUT_TOKENS.name] == answer.usage.prompt_tokens
    assert record[signals.OUTPUT_TOKENS.name] == answer.usage.completion_tokens
    assert record[signals.TEMPERATURE.name] == 0.2
    assert record[signals.MAX_TOKENS.name] == 64
    assert record[signals.OUTCOME.name] == "success"
    assert record["severity"] == "INFO"
    # gpt-4o-mini: $0.15 a million input tokens, half of that cached, and $0.60 a million output tokens
    cached = answer.usage.prompt_tokens_details.cached_tokens if answer.usage.prompt_tokens_details else 0
    uncached = answer.usage.prompt_tokens - (cached or 0)
    expected = uncached * 0.15e-6 + (cached or 0) * 0.075e-6 + answer.usage.completion_tokens * 0.60e-6
    assert record[signals.COST.name] == pytest.approx(expected, rel=1e-9)
    assert record[signals.COST_CURRENCY.name] == "USD"


def test_the_metrics_of_a_call_add_up_to_what_the_provider_reported(
    client: openai.OpenAI, recording: Recording
) -> None:
    answers = [client.chat.completions.create(model="o4-mini", messages=QUESTION) for _ in range(3)]
    usages = [answer.usage for answer in answers if answer.usage]
    (duration,) = recording.points(signals.CALL_DURATION.name)
    assert duration.count == 3
    assert duration.labels[signals.OUTCOME.name] == "success"
    by_type = {
        point.labels[signals.TOKEN_TYPE.name]: point.value for point in recording.points(signals.CALL_TOKENS.name)
    }
    assert by_type["input"] == sum(usage.prompt_tokens for usage in usages)
    assert by_type["output"] == sum(usage.completion_tokens for usage in usages)
    detail = {
        point.labels[signals.TOKEN_TYPE.name]: point.value
        for point in recording.points(signals.CALL_TOKENS_DETAIL.name)
    }
    reasoning = [
        usage.completion_tokens_details.reasoning_tokens for usage in usages if usage.completion_tokens_details
    ]
    assert detail["reasoning"] == sum(count or 0 for count in reasoning) > 0
    (cost,) = recording.points(signals.CALL_COST.name)
    assert cost.value == pytest.approx(sum(record[signals.COST.name] for record in recording.records))


def test_an_exemplar_of_the_duration_leads_to_the_trace_of_the_call(
    client: openai.OpenAI, recording: Recording
) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    (span,) = recording.spans
    (duration,) = recording.points(signals.CALL_DURATION.name)
    assert span.context
    assert [exemplar.trace_id for exemplar in duration.exemplars] == [span.context.trace_id]
    assert recording.record["trace_id"] == span.context.trace_id


def test_a_streamed_answer_has_a_time_to_first_token_and_a_speed(client: openai.OpenAI, recording: Recording) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].usage
    record = recording.record
    assert 0 < record[signals.TIME_TO_FIRST_TOKEN.name] <= record[signals.DURATION.name]
    assert record[signals.OUTPUT_TOKENS.name] == chunks[-1].usage.completion_tokens
    assert record[signals.STREAM.name] is True
    writing = record[signals.DURATION.name] - record[signals.TIME_TO_FIRST_TOKEN.name]
    assert record[signals.OUTPUT_RATE.name] == pytest.approx(chunks[-1].usage.completion_tokens / writing)
    assert len(recording.points(signals.CALL_TIME_TO_FIRST_TOKEN.name)) == 1
    assert len(recording.points(signals.CALL_OUTPUT_RATE.name)) == 1


def test_a_response_of_the_responses_api_is_recorded_plain_and_streamed(
    client: openai.OpenAI, recording: Recording
) -> None:
    answer = client.responses.create(model="gpt-4.1-mini", input="What is a trace?")
    for _event in client.responses.create(model="gpt-4.1-mini", input="What is a span?", stream=True):
        pass
    plain, streamed = recording.records
    assert answer.usage
    assert plain[signals.RESPONSE_ID.name] == answer.id
    assert plain[signals.INPUT_TOKENS.name] == answer.usage.input_tokens
    assert streamed[signals.STREAM.name] is True
    assert streamed[signals.OUTCOME.name] == plain[signals.OUTCOME.name] == "success"
    assert plain[signals.COST.name] > 0
    assert streamed[signals.COST.name] > 0


def test_an_embedding_is_recorded_with_its_input_tokens_and_cost(client: openai.OpenAI, recording: Recording) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    record = recording.record
    assert record[signals.OPERATION.name] == "embeddings"
    assert record[signals.INPUT_TOKENS.name] == answer.usage.prompt_tokens
    assert record[signals.COST.name] == pytest.approx(answer.usage.prompt_tokens * 0.02e-6, rel=1e-9)  # $0.02 a million


def test_async_calls_are_each_attributed_to_their_own_user(provider: str, recording: Recording) -> None:
    async def ask(client: openai.AsyncOpenAI, user: str) -> str:
        with genai_observability.attributed_to(session=user):
            answer = await client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
            return answer.id

    async def ask_all() -> dict[str, str]:
        async with openai.AsyncOpenAI(base_url=f"{provider}/v1", api_key="test", max_retries=0) as client:
            users = [f"user-{number}" for number in range(10)]
            ids = await asyncio.gather(*(ask(client, user) for user in users))
            return dict(zip(ids, users, strict=True))

    users = asyncio.run(ask_all())
    recorded = {record[signals.RESPONSE_ID.name]: record[signals.SESSION.name] for record in recording.records}
    assert recorded == users


def test_a_model_that_no_price_table_knows_is_counted_as_unpriced_and_never_as_free(
    client: openai.OpenAI, recording: Recording
) -> None:
    client.chat.completions.create(model="acme-internal-7b", messages=QUESTION)
    assert signals.COST.name not in recording.record
    assert recording.record[signals.UNPRICED.name] == "unknown_model"
    (unpriced,) = recording.points(signals.CALLS_UNPRICED.name)
    assert unpriced.value == 1
    assert unpriced.labels[signals.REQUEST_MODEL.name] == "acme-internal-7b"
    assert recording.points(signals.CALL_COST.name) == []


def test_no_prompt_and_no_answer_is_in_what_is_recorded(client: openai.OpenAI, recording: Recording) -> None:
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "My password is swordfish"}]
    )
    text = answer.choices[0].message.content
    assert text
    recorded = "".join(span.to_json() for span in recording.spans) + json.dumps(recording.records, default=str)
    assert "swordfish" not in recorded
    assert text not in recorded
    assert text[:20] not in recorded


def test_feedback_is_joined_to_the_trace_feature_and_model_of_the_answer(
    client: openai.OpenAI, recording: Recording
) -> None:
    with genai_observability.attributed_to(feature="search", team="growth"):
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    genai_observability.feedback("down", response_id=answer.id)
    genai_observability.evaluation("groundedness", score=0.75, label="pass", response_id=answer.id)
    call, feedback, score = recording.records
    assert feedback[signals.EVENT_NAME.name] == score[signals.EVENT_NAME.name] == signals.EVALUATION_EVENT
    assert feedback["trace_id"] == score["trace_id"] == call["trace_id"] != 0
    assert feedback[signals.EVALUATION_SCORE.name] == 0.0
    assert feedback[signals.EVALUATION_LABEL.name] == "down"
    assert score[signals.EVALUATION_SCORE.name] == 0.75
    points = {point.labels[signals.EVALUATION_NAME.name]: point for point in recording.points(signals.EVALUATIONS.name)}
    assert points["user_feedback"].labels[signals.FEATURE.name] == "search"
    assert points["groundedness"].labels[signals.REQUEST_MODEL.name] == "gpt-4o-mini"
    assert points["groundedness"].value == 0.75


def test_feedback_for_an_answer_of_another_process_is_kept_without_a_trace(recording: Recording) -> None:
    genai_observability.feedback("up", response_id="chatcmpl-elsewhere")
    assert recording.record[signals.RESPONSE_ID.name] == "chatcmpl-elsewhere"
    assert recording.record["trace_id"] == 0


def test_feedback_of_no_known_kind_is_left_out_with_one_sentence(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    assert not genai_observability.feedback("meh")  # type: ignore[arg-type]
    (message,) = caplog.messages
    assert message.startswith("Feedback is left out: 'meh' with None stars is none of: up, down, ")
    assert recording.records == []


def test_scores_of_wrong_types_are_recorded_as_far_as_they_can_be_and_raise_nothing(recording: Recording) -> None:
    genai_observability.evaluation(7, score="good", label=True, explanation=["a"], response_id=5)  # type: ignore[arg-type]
    genai_observability.evaluation("broken", score=float("nan"))
    first, second = recording.records
    assert first[signals.EVALUATION_NAME.name] == "7"
    assert first[signals.EVALUATION_LABEL.name] == "True"
    assert first[signals.EVALUATION_EXPLANATION.name] == "['a']"
    assert signals.EVALUATION_SCORE.name not in first.keys() | second.keys()
    assert recording.points(signals.EVALUATIONS.name) == []


def test_everything_that_a_call_emits_is_in_the_catalogue(client: openai.OpenAI, recording: Recording) -> None:
    with genai_observability.attributed_to(
        feature="f", team="t", tenant="n", endpoint="/e", user="u", user_tier="pro", session="s", conversation="c",
        request="r", prompt_name="p", prompt_version="1", variant="a",
    ):  # fmt: skip
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=QUESTION, temperature=0.1, top_p=0.9, max_tokens=9
        )
        genai_observability.evaluation("groundedness", score=1.0, response_id=answer.id, explanation="because")
        client.chat.completions.create(model="acme-internal-7b", messages=QUESTION)
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(
                model="gpt-4o-mini", messages=QUESTION, extra_headers={"x-demo-fault": "rate_limit"}
            )
    known = {attribute.name for attribute in signals.attributes()}
    for record in recording.records:
        assert set(record) - {"severity", "body", "trace_id"} <= known
    catalogue = {metric.name: metric for metric in signals.METRICS}
    assert recording.metric_names() <= set(catalogue)
    for name in recording.metric_names():
        labels = {label.name for label in catalogue[name].labels}
        for point in recording.points(name):
            assert set(point.labels) <= labels, name


def test_the_tokens_of_a_raw_embeddings_answer_are_read_and_the_answer_is_the_applications(
    client: openai.OpenAI, recording: Recording
) -> None:
    raw = client.embeddings.with_raw_response.create(model="text-embedding-3-small", input="a trace")
    assert recording.record[signals.INPUT_TOKENS.name] == raw.parse().usage.prompt_tokens > 0
    assert isinstance(raw.parse().data[0].embedding[0], float)
