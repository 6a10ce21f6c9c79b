"""Prices against arithmetic written out by hand, in dollars a million tokens of the providers' price lists."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_observability._call import Call, Price, Tokens
from genai_observability._pricing import PriceTable

MILLION = Decimal(1_000_000)


def call(model: str, tokens: Tokens, *, provider: str = "openai", **more: str) -> Call:
    return Call(
        operation="chat",
        provider=provider,
        started=datetime(2026, 3, 1, tzinfo=UTC),
        duration=1.0,
        request_model=model,
        response_id="answer-1",
        tokens=tokens,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("model", "tokens", "dollars"),
    [
        # input and output
        ("gpt-4o-mini", Tokens(input=1000, output=500), (1000 * Decimal("0.15") + 500 * Decimal("0.60")) / MILLION),
        ("gpt-4o", Tokens(input=1000, output=500), (1000 * Decimal("2.50") + 500 * 10) / MILLION),
        ("gpt-4.1-mini", Tokens(input=1000, output=500), (1000 * Decimal("0.40") + 500 * Decimal("1.60")) / MILLION),
        # cached input costs less and is part of the input
        (
            "gpt-4o-mini",
            Tokens(input=1000, cached=800, output=0),
            (200 * Decimal("0.15") + 800 * Decimal("0.075")) / MILLION,
        ),
        (
            "gpt-4.1-mini",
            Tokens(input=2048, cached=1024, output=10),
            (1024 * Decimal("0.40") + 1024 * Decimal("0.10") + 10 * Decimal("1.60")) / MILLION,
        ),
        # reasoning tokens are part of the output and cost the same
        (
            "o4-mini",
            Tokens(input=100, output=900, reasoning=800),
            (100 * Decimal("1.10") + 900 * Decimal("4.40")) / MILLION,
        ),
        # embeddings have input only
        ("text-embedding-3-small", Tokens(input=1000), 1000 * Decimal("0.02") / MILLION),
        ("gpt-4o-mini", Tokens(input=0, output=0), Decimal(0)),
    ],
)
def test_the_price_is_the_tokens_of_each_kind_times_their_price(model: str, tokens: Tokens, dollars: Decimal) -> None:
    assert PriceTable().price(call(model, tokens)) == Price(amount=dollars)


def test_the_answering_model_is_priced_not_the_name_that_was_asked_for() -> None:
    priced = PriceTable().price(call("my-deployment", Tokens(input=1000, output=0), response_model="gpt-4o-2024-08-06"))
    assert priced.amount == 1000 * Decimal("2.50") / MILLION


def test_an_unknown_model_is_unpriced_and_never_free() -> None:
    assert PriceTable().price(call("acme-internal-7b", Tokens(input=1, output=1))) == Price(unpriced="unknown_model")


def test_a_known_model_of_an_unknown_provider_is_unpriced() -> None:
    unknown = call("gpt-4o", Tokens(input=1, output=1), provider="nowhere")
    assert PriceTable().price(unknown) == Price(unpriced="unknown_model")


def test_an_answer_without_usage_is_unpriced_and_a_failure_without_usage_costs_nothing() -> None:
    answered = call("gpt-4o", Tokens())
    failed = Call(operation="chat", provider="openai", started=answered.started, duration=1.0, outcome="error")
    assert PriceTable().price(answered) == Price(unpriced="no_usage")
    assert PriceTable().price(failed) == Price()


def test_counts_that_contradict_each_other_are_unpriced() -> None:
    assert PriceTable().price(call("gpt-4o", Tokens(input=1, cached=5, output=1))) == Price(unpriced="invalid_usage")
