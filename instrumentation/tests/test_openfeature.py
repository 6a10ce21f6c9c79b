"""Feature flags of OpenFeature: each evaluation an event, an experiment's variant part of the attribution."""

import asyncio
from collections.abc import Iterator

import genai_observability
import openai
import pytest
from genai_observability import signals
from genai_observability._context import attribution as _attribution
from genai_observability.openfeature import FeatureFlagHook
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from instrumentation.tests.recording import QUESTION, Recording

ALICE = EvaluationContext(targeting_key="alice@example.com")


@pytest.fixture
def flags() -> Iterator[OpenFeatureClient]:
    style = InMemoryFlag("short", {"short": "Be brief.", "long": "Explain."})
    provider = InMemoryProvider({"answer-style": style, "dark-mode": InMemoryFlag("on", {"on": True, "off": False})})
    api.set_provider_and_wait(provider)
    api.add_hooks([FeatureFlagHook(experiments=["answer-style", "missing"])])
    yield api.get_client()
    api.clear_hooks()
    api.clear_providers()


def test_the_variant_of_an_experiment_is_that_of_the_calls_in_its_block(
    flags: OpenFeatureClient, client: openai.OpenAI, recording: Recording
) -> None:
    with genai_observability.attributed_to(feature="search"):
        with genai_observability.attributed_to(session="s-1"):
            assert flags.get_string_value("answer-style", "", ALICE) == "Be brief."
            client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
        client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    inside, outside = (record for record in recording.records if record["event.name"] == signals.CALL_EVENT)
    assert inside[signals.VARIANT.name] == "short"
    assert signals.VARIANT.name not in outside


def test_each_evaluation_is_an_event_of_the_conventions_without_value_and_person(
    flags: OpenFeatureClient, recording: Recording
) -> None:
    with genai_observability.workflow("answer"), genai_observability.attributed_to(feature="search"):
        flags.get_boolean_value("dark-mode", default_value=False, evaluation_context=ALICE)
        flags.get_string_value("missing", "default", ALICE)
    evaluated, failed = recording.records
    assert {name: evaluated[name] for name in evaluated if name.startswith(("feature_flag", "event", "app"))} == {
        "event.name": "feature_flag.evaluation",
        "feature_flag.key": "dark-mode",
        "feature_flag.result.variant": "on",
        "feature_flag.result.reason": "static",
        "feature_flag.provider.name": "In-Memory Provider",
        "app.feature": "search",
    }
    assert (failed["feature_flag.result.reason"], failed["error.type"]) == ("error", "FlagNotFoundError")
    (span,) = recording.spans
    assert span.context
    assert evaluated["trace_id"] == span.context.trace_id
    assert "alice" not in repr(recording.records)
    known = {field.name for field in signals.FLAG_FIELDS}
    assert all(record.keys() - {"severity", "body", "trace_id"} <= known for record in (evaluated, failed))


def test_a_flag_that_is_no_experiment_and_one_outside_of_every_block_attribute_nothing(
    flags: OpenFeatureClient, recording: Recording
) -> None:
    flags.get_string_value("answer-style", "", ALICE)
    assert _attribution.current() == {}
    with genai_observability.attributed_to(feature="search"):
        flags.get_boolean_value("dark-mode", default_value=False)
        assert _attribution.current() == {"app.feature": "search"}


def test_evaluations_of_concurrent_requests_do_not_mix(flags: OpenFeatureClient) -> None:
    async def request(*, evaluates: bool) -> object:
        with genai_observability.attributed_to(feature="search"):
            if evaluates:
                await flags.get_string_value_async("answer-style", "", ALICE)
            await asyncio.sleep(0.01)
            return _attribution.current().get(signals.VARIANT.name)

    async def both() -> list[object]:
        return list(await asyncio.gather(request(evaluates=True), request(evaluates=False)))

    assert asyncio.run(both()) == ["short", None]
