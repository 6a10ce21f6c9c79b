"""Prices against arithmetic written out by hand, in dollars of the providers' price lists."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from genai_observability import signals
from genai_observability._call import Call, Outcome, Price, Tokens
from genai_observability._pricing import Prices
from genai_observability._pricing.table import TIERS, Entry
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GenAiProviderNameValues

MILLION = 1_000_000
THOUSAND = 1_000
HOUR = 3_600
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
D = Decimal


def call(
    model: str,
    *,
    provider: str = "openai",
    input: int | None = None,  # noqa: A002
    output: int | None = None,
    cached: int = 0,
    cache_write: int = 0,
    reasoning: int = 0,
    at: datetime = NOW,
    tier: str | None = None,
    outcome: Outcome = "success",
    response_model: str | None = None,
    response_id: str | None = None,
    reported_cost: Decimal | None = None,
    **usage: float,
) -> Call:
    """A call; other usage by the names that ``USAGE`` below has for it."""
    return Call(
        operation="embeddings" if "embed" in model else "chat",
        provider=provider,
        started=at,
        duration=1.0,
        outcome=outcome,
        request_model=model,
        response_model=response_model,
        response_id=response_id,
        tokens=Tokens(input=input, output=output, cached=cached, cache_write=cache_write, reasoning=reasoning),
        usage={USAGE[name]: count for name, count in usage.items()},
        service_tier=tier,
        reported_cost=reported_cost,
    )


USAGE = {
    "audio_input": signals.AUDIO_INPUT_TOKENS.name,
    "audio_output": signals.AUDIO_OUTPUT_TOKENS.name,
    "audio_cached": signals.AUDIO_CACHED_TOKENS.name,
    "image_input": signals.IMAGE_INPUT_TOKENS.name,
    "image_output": signals.IMAGE_OUTPUT_TOKENS.name,
    "image_cached": signals.IMAGE_CACHED_TOKENS.name,
    "text_cached": signals.TEXT_CACHED_TOKENS.name,
    "characters": signals.CHARACTERS.name,
    "audio_seconds": signals.AUDIO_SECONDS.name,
    "images": signals.IMAGES.name,
    "web_searches": signals.WEB_SEARCHES.name,
    "file_searches": signals.FILE_SEARCHES.name,
}


@pytest.mark.parametrize(
    ("used", "dollars"),
    [
        # input and output
        (call("gpt-4o-mini", input=1_000, output=500), (1_000 * D("0.15") + 500 * D("0.60")) / MILLION),
        (call("gpt-4o", input=1_000, output=500), (1_000 * D("2.50") + 500 * 10) / MILLION),
        (call("gpt-4.1-mini", input=1_000, output=500), (1_000 * D("0.40") + 500 * D("1.60")) / MILLION),
        (call("gpt-5-nano", input=123_456, output=7), (123_456 * D("0.05") + 7 * D("0.40")) / MILLION),
        (call("gpt-4-turbo", input=1, output=1), (1 * D(10) + 1 * D(30)) / MILLION),
        (call("gpt-4o-mini", input=0, output=0), D(0)),
        (call("claude-2", provider="anthropic", input=10, output=20), (10 * D(8) + 20 * D(24)) / MILLION),
        (call("command-a", provider="cohere", input=10, output=20), (10 * D("2.50") + 20 * D(10)) / MILLION),
        (call("grok-4-0709", provider="x_ai", input=10, output=20), (10 * D(3) + 20 * D(15)) / MILLION),
        # the model that answered is priced, not the name that was asked for
        (call("my-deployment", response_model="gpt-4o-2024-08-06", input=1_000, output=0), 1_000 * D("2.50") / MILLION),
        # cached input costs less and is part of the input
        (
            call("gpt-4o-mini", input=1_000, cached=400, output=0),
            ((1_000 - 400) * D("0.15") + 400 * D("0.075")) / MILLION,
        ),
        (
            call("gpt-4.1-mini", input=2_048, cached=1_024, output=10),
            ((2_048 - 1_024) * D("0.40") + 1_024 * D("0.10") + 10 * D("1.60")) / MILLION,
        ),
        (
            call("gpt-5", input=10_000, cached=9_000, output=0),
            ((10_000 - 9_000) * D("1.25") + 9_000 * D("0.125")) / MILLION,
        ),
        # a model without a price for cached input: it costs what input costs
        (call("gpt-4-turbo", input=1_000, cached=400, output=0), 1_000 * D(10) / MILLION),
        # writing to the cache costs more, and is part of the input
        (
            call("claude-sonnet-4-0", provider="anthropic", input=5_000, cached=1_000, cache_write=3_000, output=100),
            ((5_000 - 1_000 - 3_000) * D(3) + 1_000 * D("0.30") + 3_000 * D("3.75") + 100 * D(15)) / MILLION,
        ),
        (
            call("gpt-6-sol", input=5_000, cached=1_000, cache_write=3_000, output=100),
            ((5_000 - 1_000 - 3_000) * D(2) + 1_000 * D("0.20") + 3_000 * D("2.50") + 100 * D(10)) / MILLION,
        ),
        # reasoning tokens are part of the output and cost the same, unless they have a price
        (call("o4-mini", input=100, output=900, reasoning=800), (100 * D("1.10") + 900 * D("4.40")) / MILLION),
        (
            call("sonar-deep-research", provider="perplexity", input=100, output=900, reasoning=800),
            (100 * D(2) + (900 - 800) * D(8) + 800 * D(3)) / MILLION,
        ),
        # embeddings have input only
        (call("text-embedding-3-small", input=1_000), 1_000 * D("0.02") / MILLION),
        (call("text-embedding-3-large", input=1_000), 1_000 * D("0.13") / MILLION),
        (call("embed-v4.0", provider="cohere", input=1_000), 1_000 * D("0.12") / MILLION),
        # audio in and out
        (
            call("gpt-audio", input=1_000, audio_input=800, output=500, audio_output=450),
            ((1_000 - 800) * D("2.50") + 800 * D(32) + (500 - 450) * D(10) + 450 * D(64)) / MILLION,
        ),
        (
            call("gpt-audio-mini", input=1_000, audio_input=800, output=500),
            ((1_000 - 800) * D("0.60") + 800 * D(10) + 500 * D("2.40")) / MILLION,
        ),
        (
            call("gpt-4o-transcribe", input=1_400, audio_input=1_400, output=300),
            (1_400 * D(6) + 300 * D(10)) / MILLION,
        ),
        (
            call("gemini-2.5-flash", provider="gcp.gemini", input=2_000, audio_input=1_500, output=100),
            ((2_000 - 1_500) * D("0.30") + 1_500 * D(1) + 100 * D("2.50")) / MILLION,
        ),
        # cached audio is part of the audio and of the cached input
        (
            call("gpt-realtime", input=1_000, audio_input=700, cached=500, audio_cached=300, output=0),
            (
                (1_000 - 700 - (500 - 300)) * D(4)  # fresh text
                + (700 - 300) * D(32)  # fresh audio
                + (500 - 300) * D("0.40")  # cached text
                + 300 * D("0.40")  # cached audio
            )
            / MILLION,
        ),
        # all that was cached is said to be text: then no audio was
        (
            call("gemini-2.5-flash", provider="gemini", input=900, output=0, audio_input=600, cached=9, text_cached=9),
            ((900 - 600 - 9) * D("0.30") + 600 * D(1) + 9 * D("0.03")) / MILLION,
        ),
        # images in and out
        (
            call("gpt-image-1", input=500, image_input=450, output=4_160, image_output=4_160),
            ((500 - 450) * D(5) + 450 * D(10) + 4_160 * D(40)) / MILLION,
        ),
        (
            call("gpt-image-1.5", input=500, image_input=400, cached=100, image_cached=100, output=90, image_output=80),
            ((500 - 400) * D(5) + (400 - 100) * D(8) + 100 * D(2) + (90 - 80) * D(10) + 80 * D(32)) / MILLION,
        ),
        # images in the prompt of a chat cost what its text costs
        (
            call("gemini-3.5-flash", provider="gcp.gemini", input=1_000, image_input=900, output=0),
            1_000 * D("1.50") / MILLION,
        ),
        # speech by the character, transcription by the hour
        (call("tts-1", characters=1_234), 1_234 * D(15) / MILLION),
        (call("tts-1-hd", characters=1_234), 1_234 * D(30) / MILLION),
        (call("whisper-1", audio_seconds=90), 90 * D("0.36") / HOUR),
        (call("whisper-1", audio_seconds=12.5), D("12.5") * D("0.36") / HOUR),
        # Groq bills ten seconds at least
        (call("whisper-large-v3", provider="groq", audio_seconds=4), 10 * D("0.111") / HOUR),
        (call("whisper-large-v3", provider="groq", audio_seconds=40), 40 * D("0.111") / HOUR),
        # searches, and a fee for each request
        (
            call("gpt-5", input=1_000, output=100, web_searches=3),
            (1_000 * D("1.25") + 100 * D(10)) / MILLION + 3 * D(10) / THOUSAND,
        ),
        (
            call("gpt-4.1", input=1_000, output=100, file_searches=2),
            (1_000 * D(2) + 100 * D(8)) / MILLION + 2 * D("2.50") / THOUSAND,
        ),
        (
            call("sonar-pro", provider="perplexity", input=1_000, output=100),
            (1_000 * D(3) + 100 * D(15)) / MILLION + 1 * D(14) / THOUSAND,
        ),
        # long context: beyond the threshold the higher price counts for every token
        (call("gpt-6-sol", input=272_000, output=100), (272_000 * D(2) + 100 * D(10)) / MILLION),
        (call("gpt-6-sol", input=272_001, output=100), (272_001 * D(4) + 100 * D(15)) / MILLION),
        (
            call("gpt-6-sol", input=300_000, cached=200_000, output=100),
            ((300_000 - 200_000) * D(4) + 200_000 * D("0.40") + 100 * D(15)) / MILLION,
        ),
        (
            call("claude-haiku-5-5", provider="anthropic", input=100_001, output=10),
            (100_001 * D("0.50") + 10 * D("2.50")) / MILLION,
        ),
        (
            call("gemini-2.5-pro", provider="gcp.gemini", input=200_001, output=10),
            (200_001 * D("2.50") + 10 * D(15)) / MILLION,
        ),
        # service tiers and batches
        (call("gpt-5", tier="default", input=1_000, output=100), (1_000 * D("1.25") + 100 * D(10)) / MILLION),
        (call("gpt-5", tier="flex", input=1_000, output=100), (1_000 * D("0.625") + 100 * D(5)) / MILLION),
        (call("gpt-5", tier="priority", input=1_000, output=100), (1_000 * D("2.50") + 100 * D(20)) / MILLION),
        (
            call("gpt-5", tier="flex", input=1_000, cached=600, output=100, web_searches=1),
            ((1_000 - 600) * D("0.625") + 600 * D("0.0625") + 100 * D(5)) / MILLION + 1 * D(10) / THOUSAND,
        ),
        (call("gpt-4o-mini", tier="batch", input=1_000, output=100), (1_000 * D("0.075") + 100 * D("0.30")) / MILLION),
        (
            call("claude-sonnet-5", provider="anthropic", tier="batch", input=1_000, cached=500, output=100),
            ((1_000 - 500) * D(1) + 500 * D("0.10") + 100 * D(5)) / MILLION,
        ),
        (
            call("gpt-6-sol", tier="batch", input=300_000, output=100),
            (300_000 * D(2) + 100 * D("7.50")) / MILLION,
        ),
        (call("whisper-large-v3", provider="groq", tier="batch", audio_seconds=40), 40 * D("0.0555") / HOUR),
        # the price of the day: o3 became cheaper on 10 June 2025
        (
            call("o3", input=1_000, output=100, at=datetime(2025, 6, 9, 23, 59, tzinfo=UTC)),
            (1_000 * D(10) + 100 * D(40)) / MILLION,
        ),
        (
            call("o3", input=1_000, output=100, at=datetime(2025, 6, 10, 0, 0, tzinfo=UTC)),
            (1_000 * D(2) + 100 * D(8)) / MILLION,
        ),
        # … and of the hour: DeepSeek costs twice as much from 1 to 4 and from 6 to 10 o'clock UTC
        (
            call("deepseek-flash", provider="deepseek", input=1_000, output=100, at=NOW.replace(hour=3, minute=59)),
            (1_000 * D("0.30") + 100 * D("1.20")) / MILLION,
        ),
        (
            call("deepseek-flash", provider="deepseek", input=1_000, output=100, at=NOW.replace(hour=4)),
            (1_000 * D("0.15") + 100 * D("0.60")) / MILLION,
        ),
        # other providers' offers of a model
        (
            call("gpt-4o", provider="azure.ai.openai", input=1_000, output=100),
            (1_000 * D("2.50") + 100 * D(10)) / MILLION,
        ),
        (
            call("amazon.nova-lite-v1:0", provider="aws.bedrock", input=1_000, cached=100, output=100),
            ((1_000 - 100) * D("0.06") + 100 * D("0.015") + 100 * D("0.24")) / MILLION,
        ),
        (
            call("mistral-large-2512", provider="mistral_ai", input=1_000, output=100),
            (1_000 * D("0.50") + 100 * D("1.50")) / MILLION,
        ),
        # free indeed
        (call("omni-moderation-latest"), D(0)),
    ],
    ids=lambda value: value.request_model if isinstance(value, Call) else f"${value}",
)  # fmt: skip
def test_the_price_is_what_was_used_of_each_kind_times_its_price(used: Call, dollars: Decimal) -> None:
    assert Prices().price(used) == Price(amount=dollars)


def test_every_model_of_the_table_costs_what_the_library_says_to_the_last_digit() -> None:
    chance = random.Random(1)
    priced = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            entry = Entry(model, provider)
            kinds = [_some_kinds(chance) for _ in range(3)]
            for _ in range(8):
                counts = _counts(chance.choice(kinds), chance)
                at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(2 * 365 * 24 * 60))
                tier = chance.choice([None, *(TIERS if model.price_variants else ())])
                price = entry.price(counts, at, tier)
                what = (provider.id, model.id, counts, at, tier)
                try:
                    expected = model.calc_price(
                        Usage(**counts),
                        provider,
                        genai_request_timestamp=at,
                        price_context=TIERS[tier] if tier else None,
                    ).total_price
                except ValueError:
                    assert price.amount is None, what
                else:
                    assert price.amount == expected or price.unpriced in ("no_price", "no_usage"), what
                    priced += price.amount is not None
    assert priced > 8_000


def _some_kinds(chance: random.Random) -> tuple[str, ...]:
    kinds = ["input_tokens"]
    for kind, share in (
        ("output_tokens", 0.9), ("cache_read_tokens", 0.5), ("cache_write_tokens", 0.3),
        ("output_reasoning_tokens", 0.2), ("input_audio_tokens", 0.1), ("cache_audio_read_tokens", 0.1),
        ("output_audio_tokens", 0.1), ("input_image_tokens", 0.1), ("output_image_tokens", 0.05),
        ("input_characters", 0.1), ("audio_seconds", 0.1), ("web_searches", 0.05),
    ):  # fmt: skip
        if chance.random() < share:
            kinds.append(kind)
    return tuple(kinds)


def _counts(kinds: tuple[str, ...], chance: random.Random) -> dict[str, int | float]:
    """Mostly counts that agree with each other, on both sides of every threshold of the table."""
    most = {"input_tokens": 1_200_000, "output_tokens": 60_000, "input_characters": 4_096, "web_searches": 9}
    counts: dict[str, int | float] = {}
    for kind in kinds:
        container = counts.get("output_tokens" if kind.startswith("output") else "input_tokens", 0)
        upper = most.get(kind, int(container // 3))
        counts[kind] = chance.choice([chance.randint(0, upper), chance.randint(0, max(upper // 8, 1)), upper])
    if "audio_seconds" in counts:
        counts["audio_seconds"] = chance.choice([3, 12.5, 7_200])
    return counts


@pytest.mark.parametrize("name", [value.value for value in GenAiProviderNameValues])
def test_every_provider_of_the_conventions_is_the_right_one_of_the_table(name: str) -> None:
    model, dollars_a_million = {
        "openai": ("gpt-4o", D("2.50")),
        "azure.ai.openai": ("babbage", D("0.40")),  # $0.50 at OpenAI itself
        "azure.ai.inference": ("phi-4", D("0.125")),
        "anthropic": ("claude-sonnet-5", D(2)),
        "aws.bedrock": ("amazon.nova-lite-v1:0", D("0.06")),
        "cohere": ("command-a", D("2.50")),
        "deepseek": ("deepseek-v3.2-exp", D("0.27")),
        "gcp.gemini": ("gemini-2.5-flash", D("0.30")),
        "gcp.gen_ai": ("gemini-2.5-flash", D("0.30")),
        "gcp.vertex_ai": ("gemini-2.5-flash", D("0.30")),
        "groq": ("llama-3.3-70b-versatile", D("0.59")),
        "mistral_ai": ("mistral-large-2512", D("0.50")),
        "perplexity": ("r1-1776", D(2)),
        "x_ai": ("grok-4-0709", D(3)),
        "ibm.watsonx.ai": ("ibm/granite-3-8b-instruct", None),  # the table lacks that provider
    }[name]
    price = Prices().price(call(model, provider=name, input=MILLION, output=0))
    assert price == (Price(unpriced="unknown_model") if dollars_a_million is None else Price(amount=dollars_a_million))


def test_an_unknown_model_is_unpriced_and_never_free() -> None:
    assert Prices().price(call("acme-internal-7b", input=1, output=1)) == Price(unpriced="unknown_model")


def test_a_known_model_of_an_unknown_provider_is_unpriced() -> None:
    assert Prices().price(call("gpt-4o", input=1, output=1, provider="nowhere")) == Price(unpriced="unknown_model")


def test_an_answer_without_usage_is_unpriced_and_a_failure_without_usage_costs_nothing() -> None:
    assert Prices().price(call("gpt-4o", response_id="answer-1")) == Price(unpriced="no_usage")
    assert Prices().price(call("gpt-4o")) == Price(unpriced="no_usage")
    assert Prices().price(call("gpt-4o", outcome="error")) == Price()
    assert Prices().price(call("gpt-4o", outcome="cancelled")) == Price()
    assert Prices().price(call("acme-internal-7b", outcome="rate_limited")) == Price()


def test_half_a_report_of_usage_is_unpriced_rather_than_too_cheap() -> None:
    assert Prices().price(call("gpt-4o", input=10)) == Price(unpriced="no_usage")
    assert Prices().price(call("gpt-4o", output=10)) == Price(unpriced="no_usage")


def test_speech_that_failed_costs_nothing_and_speech_that_was_cancelled_costs_its_characters() -> None:
    assert Prices().price(call("tts-1", characters=100, outcome="error")) == Price()
    assert Prices().price(call("tts-1", characters=100, outcome="cancelled")).amount == 100 * D(15) / MILLION


@pytest.mark.parametrize(
    "used",
    [
        call("gpt-4o", input=1, cached=5, output=1),
        call("claude-sonnet-5", provider="anthropic", input=10, cached=6, cache_write=6, output=1),
        call("gpt-audio", input=10, audio_input=11, output=1),
        call("gpt-4o", input=10**13, output=1),
        # cached tokens, and audio, of a model that prices cached audio apart: how many of the cached were audio?
        call("gemini-2.5-flash", provider="gcp.gemini", input=1_000, audio_input=600, cached=200, output=1),
    ],
)
def test_counts_that_contradict_each_other_or_leave_the_price_open_are_unpriced(used: Call) -> None:
    prices = Prices()
    assert prices.price(call(used.request_model or "", provider=used.provider, input=1, output=1)).amount is not None
    assert prices.price(used) == Price(unpriced="invalid_usage")


@pytest.mark.parametrize(
    "used",
    [
        call("gpt-4o-transcribe", audio_seconds=30),  # is priced by tokens
        call("gpt-4o-mini-tts", characters=30),
        call("whisper-1", input=10, output=10),  # is priced by the hour
        call("tts-1", audio_seconds=10),
    ],
)
def test_usage_in_other_units_than_those_of_the_price_is_unpriced_and_never_free(used: Call) -> None:
    assert Prices().price(used) == Price(unpriced="no_usage")


def test_units_that_come_beside_those_of_the_price_cost_nothing_more() -> None:
    used = call("gpt-4o-transcribe", audio_seconds=30, input=100, audio_input=100, output=10)
    assert Prices().price(used).amount == (100 * D(6) + 10 * D(10)) / MILLION


@pytest.mark.parametrize(
    "used",
    [
        call("gpt-4o-audio-preview", input=100, audio_input=90, output=10),  # the table has its text prices only
        call("gpt-4o-audio-preview", input=100, output=10, audio_output=9),
        call("gpt-5.1-codex-mini", input=100, output=10, web_searches=1),
        call("gpt-4o", tier="flex", input=100, output=10),  # there is no such offer
        call("text-embedding-3-small", tier="batch", input=100),
        call("gpt-4o", provider="azure.ai.openai", tier="batch", input=100, output=10),
        call("gpt-5", tier="flex", input=100, output=10, at=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_kind_of_usage_or_a_tier_without_a_price_is_unpriced_rather_than_wrong(used: Call) -> None:
    assert Prices().price(used) == Price(unpriced="no_price")


def test_a_tier_that_no_price_list_knows_is_the_standard_tier() -> None:
    assert Prices().price(call("gpt-4o", tier="on_demand", input=MILLION, output=0)).amount == D("2.50")


def test_what_the_provider_says_it_charged_is_the_price() -> None:
    charged = call("acme-internal-7b", input=1, output=1, reported_cost=D("0.0123"))
    assert Prices().price(charged) == Price(amount=D("0.0123"), source="provider")


def test_endless_model_names_do_not_fill_the_memory() -> None:
    prices = Prices()
    for number in range(3_000):
        prices.price(call(f"acme-{number}", input=1, output=1))
        prices.price(call(f"gpt-4o-{number}", input=1, output=1))
    assert prices._table
    assert prices._table._find.cache_info().currsize <= 1_024
    assert len(get_snapshot()._lookup_cache) + len(get_snapshot()._provider_misses) < 1_024


def test_the_library_is_asked_once_for_calls_that_differ_in_their_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def calc_price(*args: Any, **more: Any) -> Any:
            asked.append(args)
            return original(*args, **more)

        return calc_price

    for kind in (ModelInfo, ModelPrice):
        monkeypatch.setattr(kind, "calc_price", counted(kind.calc_price))
    prices = Prices()
    amounts = {
        prices.price(call("gpt-4o-mini", input=count, cached=500, output=100)).amount for count in range(600, 900)
    }
    assert len(amounts) == 300
    assert 0 < len(asked) <= 2  # with the cache, and without it
